import { html, type Markup } from './markup.ts'

/** Rounds that have a bar: more would be hairlines. */
const maxBars = 48
const width = 320
const height = 84
const baseline = 70

export interface BarsInit {
  readonly title: string
  /** `{ round, value }`, the oldest first. */
  readonly points: readonly { readonly round: number; readonly value: number }[]
  readonly say: (value: number) => string
}

/** A figure of each round as bars from zero, with the newest one in words. */
export function renderBars({ title, points, say }: BarsInit): Markup {
  const shown = points.filter(({ value }) => Number.isFinite(value) && value >= 0).slice(-maxBars)
  const newest = shown.at(-1)
  const first = shown[0]
  const top = Math.max(...shown.map(({ value }) => value), Number.MIN_VALUE)
  const step = width / Math.max(12, shown.length)
  const spoken =
    newest === undefined || first === undefined
      ? `${title}: no round is certified yet.`
      : `${title}, rounds ${first.round} to ${newest.round}: ${say(newest.value)} in the newest, ${say(top)} at most.`
  return html`<figure class="bars"><figcaption>${title} <strong>${newest === undefined ? '–' : say(newest.value)}</strong></figcaption>
<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${spoken}">
<line class="grid" x1="0" x2="${width}" y1="${baseline + 0.5}" y2="${baseline + 0.5}"/>${shown.map(
    ({ round, value }, i) => {
      const tall = Math.max(1, Math.round((value / top) * (baseline - 4) * 10) / 10)
      const x = Math.round(i * step * 10) / 10
      return html`<rect class="bar${i === shown.length - 1 ? ' newest' : ''}" x="${x}" y="${Math.round((baseline - tall) * 10) / 10}" width="${Math.round(Math.max(1, step - 2) * 10) / 10}" height="${tall}"><title>Round ${round}: ${say(value)}</title></rect>`
    },
  )}${first !== undefined && html`<text class="tick" x="0" y="${height - 1}">${first.round}</text>`}${
    newest !== undefined &&
    newest !== first &&
    html`<text class="tick" x="${Math.round((shown.length - 0.5) * step * 10) / 10}" y="${height - 1}" text-anchor="middle">${newest.round}</text>`
  }</svg></figure>`
}
