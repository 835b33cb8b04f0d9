import { ascii, braille, Canvas, type Glyphs } from './plot/canvas.ts'
import { linearTicks, logTicks } from './plot/ticks.ts'

export interface PlotSeries {
  readonly name: string
  /** By rising x. A y that is not finite leaves a gap. */
  readonly points: readonly (readonly [x: number, y: number])[]
  readonly paint?: (text: string) => string
  /** To tell it from others where there is no colour. */
  readonly dashed?: boolean
}

export interface PlotInit {
  /** Columns of the whole, and lines: a legend, the plot, an axis and its labels. */
  readonly width: number
  readonly height: number
  /** Points with an x of 0 or less have no place on a logarithmic axis. */
  readonly x?: 'linear' | 'log'
  /** What x is. */
  readonly xName?: string
  readonly ascii?: boolean
}

/** A larger number is as good as infinite: differences of those below are finite. */
const largest = 1e300
const narrowest = 8
const plain = (text: string): string => text

/**
 * A plot as lines for a terminal, or none where there is nothing to draw or no room.
 *
 * @example
 * plotLines([{ name: 'loss', points: [[1, 2.3], [2, 1.9]] }], { width: 80, height: 12, x: 'log' })
 */
export function plotLines(series: readonly PlotSeries[], init: PlotInit): string[] {
  const glyphs = init.ascii === true ? ascii : braille
  const log = init.x === 'log'
  const paths = series.map(({ points }) =>
    points
      .filter(([x]) => Math.abs(x) < largest && (!log || x > 0))
      .map(([x, y]) => (Math.abs(y) < largest ? ([log ? Math.log10(x) : x, y] as const) : null)),
  )
  const shown = paths.flatMap((path) => path.filter((point) => point !== null))
  const rows = init.height - 3
  if (shown.length === 0 || rows < 1) return []
  const [left, right] = rangeOf(shown, 0)
  const [low, high] = rangeOf(shown, 1)
  const whole = series.every(({ points }) => points.every(([x]) => Number.isInteger(x)))

  const labels = yLabels(low, high, rows)
  const gutter = Math.max(...labels.map((label) => label.length)) + 1
  const columns = init.width - gutter - 1
  if (columns < narrowest) return []
  const canvas = new Canvas(columns, rows, glyphs)
  const acrossOf = (x: number, width: number): number => Math.round(((x - left) / (right - left)) * (width - 1))
  const downOf = (y: number): number => Math.round(((high - y) / (high - low)) * (canvas.height - 1))
  for (const [owner, path] of paths.entries()) {
    const dots = path.map((point) => point && ([acrossOf(point[0], canvas.width), downOf(point[1])] as const))
    canvas.trace(dots, owner, series[owner]!.dashed === true)
  }
  const ticks = log ? logTicks(left, right, columns / 6) : linearTicks(left, right, columns / 16, whole ? 1 : 0)
  const placed = ticks.map(({ value, label }) => ({ label, column: acrossOf(value, columns) }))
  const body = canvas.lines((text, owner) => (series[owner]!.paint ?? plain)(text))
  return [
    `${' '.repeat(gutter + 1)}${legend(series, glyphs, columns)}`,
    ...body.map((line, row) => {
      const label = labels[row]!
      return `${label.padStart(gutter - 1)} ${label === '' ? glyphs.vertical : glyphs.yTick}${line}`
    }),
    ...xAxis(placed, columns, init.xName, glyphs).map(
      (line, i) => `${' '.repeat(gutter)}${i === 0 ? glyphs.corner : ' '}${line}`,
    ),
  ].map((line) => line.trimEnd())
}

/**
 * An exponential moving average, without its bias towards 0 (as TensorBoard's smoothing). What is not finite stays, and
 * does not count.
 *
 * @param weight of what came before, 0 to 1, 1 excluded
 */
export function smoothed(values: readonly number[], weight: number): number[] {
  let mean = 0
  let unseen = 1
  return values.map((value) => {
    if (!Number.isFinite(value)) return value
    mean = mean * weight + value * (1 - weight)
    unseen *= weight
    return mean / (1 - unseen)
  })
}

/** Whether the terminal shows braille and lines: not a dumb one, nor Linux' console, nor one of a locale without UTF-8. */
export function showsUnicode(env: NodeJS.ProcessEnv = process.env, platform: string = process.platform): boolean {
  if (env['TERM'] === 'dumb' || env['TERM'] === 'linux') return false
  return platform === 'win32' || /utf-?8/i.test(env['LC_ALL'] || env['LC_CTYPE'] || env['LANG'] || '')
}

/** Smallest and largest; a little around them, where they are the same. */
function rangeOf(points: readonly (readonly [number, number])[], at: 0 | 1): readonly [number, number] {
  let low = Number.POSITIVE_INFINITY
  let high = Number.NEGATIVE_INFINITY
  for (const point of points) {
    low = Math.min(low, point[at])
    high = Math.max(high, point[at])
  }
  // Nearer than this, rounding errors would be drawn.
  const around = Math.max(Math.abs(low), Math.abs(high)) * 1e-9
  if (high - low > around) return [low, high]
  const pad = at === 0 ? 0.5 : Math.abs(low) / 10 || 1
  return [low - pad, high + pad]
}

/** One for each row; most are empty. */
function yLabels(low: number, high: number, rows: number): string[] {
  const labels = Array.from({ length: rows }, () => '')
  for (const { value, label } of linearTicks(low, high, rows / 2.5)) {
    const row = Math.round(((high - value) / (high - low)) * (rows - 1))
    if (labels[row] === '') labels[row] = label
  }
  return labels
}

function legend(series: readonly PlotSeries[], glyphs: Glyphs, columns: number): string {
  let room = columns
  return series
    .flatMap(({ name, points, paint = plain, dashed = false }, owner) => {
      const sample = glyphs.sample(owner, dashed)
      room -= sample.length + 1 + name.length
      const fits = points.length > 0 && room >= 0
      room -= 3
      return fits ? [`${paint(sample)} ${name}`] : []
    })
    .join('   ')
}

/** The axis with its ticks, and the labels below, each in the middle of its tick where they do not touch. */
function xAxis(
  ticks: readonly { readonly label: string; readonly column: number }[],
  columns: number,
  name: string | undefined,
  glyphs: Glyphs,
): readonly [string, string] {
  const axis = Array.from({ length: columns }, () => glyphs.horizontal)
  let labels = ''
  for (const { label, column } of ticks) {
    const from = Math.min(columns - label.length, Math.max(0, column - Math.floor(label.length / 2)))
    if (from < labels.length + (labels === '' ? 0 : 2)) continue
    axis[column] = glyphs.xTick
    labels = labels.padEnd(from) + label
  }
  const fits = name !== undefined && labels.length + 2 + name.length <= columns
  return [axis.join(''), fits ? labels + name.padStart(columns - labels.length) : labels]
}
