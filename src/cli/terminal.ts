/**
 * What commands write: results on standard output, progress and words on standard error. With `--json` results are JSON
 * and nothing else goes to standard output.
 */
export interface Terminal {
  readonly json: boolean
  /** Whether progress can be redrawn in place. */
  readonly live: boolean
  readonly columns: number
  readonly rows: number
  /** A result: the value as JSON with `--json`, else the text. */
  result(value: unknown, text: () => string): void
  /** A line on standard error: progress, advice. */
  say(line: string): void
  /** Redraws the block of lines at the bottom of the terminal; only where `live`. */
  draw(lines: readonly string[]): void
  readonly style: Style
}

export interface Style {
  bold(text: string): string
  dim(text: string): string
  green(text: string): string
  yellow(text: string): string
  red(text: string): string
  cyan(text: string): string
}

export function createTerminal(options: { readonly json: boolean }): Terminal {
  const live = process.stderr.isTTY === true && !options.json && process.env['TERM'] !== 'dumb'
  const colour = live && process.env['NO_COLOR'] === undefined
  const paint = (open: number, close: number) => (text: string) =>
    colour ? `\x1b[${open}m${text}\x1b[${close}m` : text
  let drawn = 0
  const erase = (): string => (drawn === 0 ? '' : `\x1b[${drawn}A\x1b[0J`)
  return {
    json: options.json,
    live,
    get columns() {
      return Math.max(20, process.stderr.columns ?? 100)
    },
    get rows() {
      return process.stderr.rows ?? 24
    },
    result: (value, text) => {
      process.stdout.write(`${options.json ? JSON.stringify(value) : text()}\n`)
    },
    say: (line) => {
      process.stderr.write(`${erase()}${line}\n`)
      drawn = 0
    },
    draw: (lines) => {
      if (!live) return
      process.stderr.write(`${erase()}${lines.map((line) => `${line}\n`).join('')}`)
      drawn = lines.length
    },
    style: {
      bold: paint(1, 22),
      dim: paint(2, 22),
      green: paint(32, 39),
      yellow: paint(33, 39),
      red: paint(31, 39),
      cyan: paint(36, 39),
    },
  }
}

/** Columns aligned by their widest cell; the first row is the heading. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => visibleLength(row[column] ?? ''))))
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell + ' '.repeat((widths[column] ?? 0) - visibleLength(cell)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences are what is measured away.
const escapes = /\x1b\[[0-9;]*m/g

function visibleLength(text: string): number {
  return text.replace(escapes, '').length
}

/** The end of a peer id or CID, by which people tell them apart. */
export function short(id: string): string {
  return id.length > 10 ? `…${id.slice(-8)}` : id
}

/** `[4.1, 3.2, 2.6]` -> `█▅▁`: the highest value is the tallest bar. */
export function sparkline(values: readonly number[]): string {
  const low = Math.min(...values)
  const span = Math.max(...values) - low
  return values.map((value) => '▁▂▃▄▅▆▇█'[span === 0 ? 0 : Math.round(((value - low) / span) * 7)]).join('')
}
