import { html, type Markup } from './markup.ts'
import type { PageState } from './state.ts'
import { bits, cleanName, unitWords } from './words.ts'

interface Size {
  readonly name: string
  readonly width: number
  readonly height: number
}
/** One drawing for wide screens and one for phones, so that the letters are never scaled. */
const sizes: readonly Size[] = [
  { name: 'wide', width: 640, height: 340 },
  { name: 'narrow', width: 350, height: 260 },
]
const margin = { top: 14, right: 58, bottom: 34, left: 30 }
/** The axis shows a few more rounds than there are, so that the line has somewhere to go. */
const minRoundsShown = 8

/** The loss on what the run holds out, after each round. Round 0 is the initial, untrained model. */
export function renderCurve(state: PageState): Markup {
  const points = pointsOf(state)
  const last = points.at(-1)
  return html`<section id="curve" class="panel" aria-labelledby="curve-title">
<h2 id="curve-title">Held-out ${isText(state) ? 'text' : 'examples'} <small>${unitWords(state.run?.unit)}, lower is better</small></h2>
${
  last === undefined
    ? html`<p class="empty">No checkpoint has been measured yet. The curve begins with the initial weights.</p>`
    : sizes.map((size) => draw(size, state, points))
}
</section>`
}

function isText({ run }: PageState): boolean {
  return run === undefined || run === null || run.unit === 'bits/byte'
}

interface Point {
  readonly round: number
  readonly loss: number
}

function pointsOf(state: PageState): Point[] {
  const initial = state.run?.initialLoss ?? null
  return [
    { round: 0, loss: initial },
    ...[...state.rounds].reverse().map(({ round, heldOutLoss }) => ({ round, loss: heldOutLoss })),
  ].filter((point): point is Point => point.loss !== null && Number.isFinite(point.loss))
}

function draw({ name, width, height }: Size, state: PageState, points: readonly Point[]): Markup {
  const lastRound = points.at(-1)?.round ?? 0
  const total = state.run?.totalRounds ?? minRoundsShown
  const rounds = Math.max(1, Math.min(total, Math.max(minRoundsShown, Math.ceil(lastRound * 1.25))), lastRound)
  const values = [...points.map(({ loss }) => loss), ...state.baselines.map(({ bitsPerByte }) => bitsPerByte)]
  const [floor, ceiling] = bounds(Math.min(...values), Math.max(...values))
  const x = (round: number): number => at(margin.left + (round / rounds) * (width - margin.left - margin.right))
  const y = (value: number): number =>
    at(margin.top + ((ceiling - value) / (ceiling - floor)) * (height - margin.top - margin.bottom))
  const right = width - margin.right

  const grid = steps(floor, ceiling, (ceiling - floor) / gridStep(ceiling - floor)).map(
    (value) =>
      html`<line class="grid" x1="${margin.left}" x2="${right}" y1="${y(value)}" y2="${y(value)}"/><text class="tick" x="${margin.left - 8}" y="${y(value) + 4}" text-anchor="end">${value}</text>`,
  )
  const every = Math.max(1, Math.ceil(rounds / (width / 70)))
  const ticks = steps(0, rounds, Math.floor(rounds / every))
    .map((_, i) => i * every)
    .map((round) => html`<text class="tick" x="${x(round)}" y="${height - 14}" text-anchor="middle">${round}</text>`)
  const references = spread(state.baselines.map((line) => ({ ...line, y: y(line.bitsPerByte) }))).map(
    (line) =>
      html`<line class="reference" x1="${margin.left}" x2="${right}" y1="${y(line.bitsPerByte)}" y2="${y(line.bitsPerByte)}"/><text class="reference-name" x="${right + 6}" y="${at(line.y + 4)}">${cleanName(line.name, 9)}</text>`,
  )
  const path = points.map((point, i) => `${i === 0 ? 'M' : 'L'}${x(point.round)} ${y(point.loss)}`).join('')
  const dots = points.map((point, i) => {
    const title = `${point.round === 0 ? 'Initial weights' : `Round ${point.round}`}: ${bits(point.loss)} ${unitWords(state.run?.unit)}`
    return html`<circle class="point${i === points.length - 1 ? ' newest' : ''}" cx="${x(point.round)}" cy="${y(point.loss)}" r="${i === points.length - 1 ? 4.5 : 3}"><title>${title}</title></circle>`
  })
  const last = points.at(-1)
  const first = points[0]
  const summary = `${unitWords(state.run?.unit)} on what is held out: ${bits(first?.loss ?? null)} at round ${first?.round ?? 0}, ${bits(last?.loss ?? null)} at round ${lastRound}.`
  return html`<svg class="curve ${name}" viewBox="0 0 ${width} ${height}" role="img" aria-label="${summary}">
${grid}${ticks}<text class="tick" x="${right + 14}" y="${height - 14}">rounds</text>
${references}<path class="trace" d="${path}"/>${dots}
${last !== undefined && html`<text class="value" x="${x(last.round) + 9}" y="${y(last.loss) - 8}">${bits(last.loss)}</text>`}
</svg>`
}

function at(coordinate: number): number {
  return Math.round(coordinate * 10) / 10
}

/** Whole steps around the values; from 0 when that costs little. */
function bounds(low: number, high: number): readonly [number, number] {
  const step = gridStep(Math.max(high - low, 0.05))
  const floor = Math.max(0, Math.floor((low - step * 0.15) / step) * step)
  // A point may stand a little above the topmost line.
  const ceiling = Math.ceil((high - step * 0.2) / step) * step
  return [tidy(floor), tidy(Math.max(ceiling, floor + step))]
}

function gridStep(range: number): number {
  return [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10].find((step) => range / step <= 8) ?? range / 8
}

function steps(from: number, to: number, parts: number): number[] {
  const wholeParts = Math.max(1, Math.round(parts))
  return Array.from({ length: wholeParts + 1 }, (_, i) => tidy(from + ((to - from) * i) / wholeParts))
}

function tidy(value: number): number {
  return Math.round(value * 1e6) / 1e6
}

/** Moves the names of lines that lie close together apart. */
function spread<T extends { readonly y: number }>(lines: readonly T[]): T[] {
  const placed: T[] = []
  for (const line of [...lines].sort((a, b) => a.y - b.y)) {
    const above = placed.at(-1)
    placed.push(above !== undefined && line.y - above.y < 14 ? { ...line, y: above.y + 14 } : line)
  }
  return placed
}
