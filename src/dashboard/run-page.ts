import type { RunView } from '../federation/index.ts'
import type { Assets } from './assets.ts'
import { renderCurve } from './curve.ts'
import { html, type Markup } from './markup.ts'
import { renderFrame, renderMoment } from './page.ts'
import { renderRound } from './round.ts'
import { renderCourse, renderLineage, renderRefusals, renderRounds } from './run-rounds.ts'
import type { PageState } from './state.ts'
import { bits, cleanName, count, duration, plural, shortPeer, unitWords } from './words.ts'

/** Where a run has its page. */
export function runPath(id: string): string {
  return `/runs/${encodeURIComponent(id)}`
}

/** The parts of a run's page that change, by the id of the element each replaces. */
export function renderRunFragments(state: PageState, run: RunView): Readonly<Record<string, Markup>> {
  return {
    'run-summary': renderSummary(state, run),
    course: renderCourse(state),
    curve: renderCurve(state),
    round: renderRound(state),
    rounds: renderRounds(state),
    refusals: renderRefusals(state),
    plan: renderPlan(run),
    lineage: renderLineage(state, run),
    moment: renderMoment(state),
  }
}

/** All that this peer knows of one run. */
export function renderRunPage(state: PageState, run: RunView, assets: Assets): Markup {
  const parts = renderRunFragments(state, run)
  return renderFrame(state, assets, {
    title: `${cleanName(run.name)}: a run`,
    fragments: `${runPath(run.id)}/fragments`,
    moment: parts['moment'],
    main: html`${parts['run-summary']}
${parts['course']}
${parts['curve']}
${parts['round']}
${parts['rounds']}
${parts['refusals']}
${parts['plan']}
${parts['lineage']}`,
  })
}

/** Where there is no such run, or no longer. */
export function renderNoRun(state: PageState, assets: Assets): Markup {
  return renderFrame(state, assets, {
    title: 'No such run',
    fragments: null,
    moment: renderMoment(state),
    main: html`<section class="summary"><nav class="runs" aria-label="Pages"><a href="/">The mesh</a></nav>
<h1>This peer knows no such run.</h1>
<p class="note">It may follow it no longer. <code>owm run list</code> shows those that it has heard of.</p></section>`,
  })
}

function renderSummary(state: PageState, run: RunView): Markup {
  const measured = state.rounds.find((round) => round.heldOutLoss !== null)?.heldOutLoss ?? null
  const seconds = state.rounds.map((round) => round.seconds).sort((a, b) => a - b)
  const median = seconds[Math.floor(seconds.length / 2)]
  const others = state.runs.filter((other) => other.id !== run.id).slice(0, 8)
  return html`<section id="run-summary" class="summary" aria-label="Summary">
<nav class="runs" aria-label="Pages"><a href="/?run=${encodeURIComponent(run.id)}">The mesh</a> ${others.map(
    (other) => html`<a href="${runPath(other.id)}"><bdi>${cleanName(other.name)}</bdi></a> `,
  )}</nav>
<h1>${headline(run)}</h1>
${standing(run)}
<dl class="figures">
<div class="lead"><dt>${unitWords(run.unit)}</dt><dd>${bits(measured ?? run.initialLoss)}</dd></div>
<div><dt>certified rounds</dt><dd>${count(state.rounds.length)}<span class="of"> / ${count(run.totalRounds)}</span></dd></div>
<div><dt>trainers</dt><dd>${count(run.roster.length)}</dd></div>
<div><dt>a round takes</dt><dd>${median === undefined ? '–' : duration(median)}</dd></div>
<div><dt>parameters</dt><dd>${count(run.parameters)}</dd></div>
</dl>
</section>`
}

function headline(run: RunView): Markup {
  const name = html`<bdi>${cleanName(run.name)}</bdi>`
  const round = Math.min(run.round, run.totalRounds)
  switch (run.status) {
    case 'waiting':
      return html`${name} waits for its first round.`
    case 'training':
      return html`${name} is in round ${round} of ${run.totalRounds}.`
    case 'stalled':
      return html`${name} waits in round ${round} for peers to come back.`
    case 'paused':
      return html`${name} is paused after round ${run.control?.last ?? round}.`
    case 'finished':
      return html`${name} is trained, in ${plural(run.rounds.length, 'round')}.`
    case 'cancelled':
      return html`${name} was cancelled after ${plural(run.rounds.length, 'round')}.`
  }
}

/** Whose run it is, and the owner's word where it has not taken effect yet. */
function standing({ owner, control, status }: RunView): Markup {
  const pending =
    control === null || status === 'paused' || status === 'finished' || status === 'cancelled'
      ? ''
      : control.action === 'pause'
        ? ` Its owner pauses it after round ${control.last}.`
        : control.action === 'finish'
          ? ` Its owner has said that round ${control.last} is the last.`
          : ''
  return html`<p class="standing">Owned by <span class="peer" title="${owner}">${shortPeer(owner)}</span>.${pending}</p>`
}

const planWords: readonly (readonly [string, string])[] = [
  ['localMs', 'Local training, ms'],
  ['localEpochs', 'Passes over the data'],
  ['localSteps', 'Local steps at most'],
  ['batch', 'Examples a step'],
  ['minimumTrainers', 'Trainers at least'],
  ['committeeSize', 'Committee'],
  ['faults', 'Faults borne'],
  ['compression', 'Compression'],
  ['aggregation', 'Aggregation'],
  ['outer', 'Outer optimizer'],
  ['privacy', 'Privacy'],
  ['clipNorm', 'Longest update'],
  ['fields', 'Examples'],
  ['classes', 'Classes'],
  ['optimizer', 'Optimizer'],
  ['graph', 'Graph'],
  ['heldOut', 'Measured on'],
  ['heldOutShare', 'Held out, of 256'],
]
/** What has a place elsewhere on the page. */
const elsewhere = new Set(['name', 'initial', 'rounds', 'createdMs', ...planWords.map(([field]) => field)])

/** What the owner signed. */
function renderPlan(run: RunView): Markup {
  const plan = run.specification
  const rows = [
    ...planWords.flatMap(([field, word]) => (plan[field] === undefined ? [] : [[word, plan[field]] as const])),
    ...Object.entries(plan).filter(([field]) => !elsewhere.has(field)),
  ]
  return html`<section id="plan" class="panel" aria-labelledby="plan-title">
<h2 id="plan-title">What its owner signed</h2>
${rows.length === 0 ? html`<p class="empty">Nothing is known of it.</p>` : html`<dl class="plan">${rows.map(([name, value]) => html`<div><dt>${cleanName(name)}</dt><dd class="said">${renderValue(value)}</dd></div>`)}</dl>`}
</section>`
}

function renderValue(value: unknown): Markup {
  if (typeof value === 'number') return html`${value.toLocaleString('en-US', { maximumSignificantDigits: 6 })}`
  if (Array.isArray(value))
    return html`${cleanName(value.map((each) => (typeof each === 'object' ? JSON.stringify(each) : each)).join(', '), 400)}`
  if (typeof value === 'string') return html`<code title="${value}">${cleanName(value, 24)}</code>`
  if (typeof value === 'object' && value !== null) {
    const parts = Object.entries(value).map(
      ([name, each]) => `${name} ${typeof each === 'object' ? JSON.stringify(each) : each}`,
    )
    return html`${cleanName(parts.join(', '), 400)}`
  }
  return html`${String(value)}`
}
