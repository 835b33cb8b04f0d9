import type { RoundObservation, RoundView, RunView } from '../federation/index.ts'
import { formatBytes } from '../lib/index.ts'
import { renderBars } from './bars.ts'
import { renderCid } from './checkpoints.ts'
import { html, type Markup } from './markup.ts'
import { reasonOf } from './reasons.ts'
import type { PageState } from './state.ts'
import { bits, count, duration, plural, shortPeer } from './words.ts'

/** Newest shown; `owm run show` has all. */
const maxRows = 60
const maxRefusals = 40

/** Participation, bytes and duration of each round, drawn. */
export function renderCourse(state: PageState): Markup {
  const rounds = [...state.rounds].reverse()
  const of = (value: (round: RoundView) => number) =>
    rounds.map((round) => ({ round: round.round, value: value(round) }))
  return html`<section id="course" class="panel wide" aria-labelledby="course-title">
<h2 id="course-title">Round by round</h2>
<div class="course">
${renderBars({ title: 'Updates counted', points: of((round) => round.trainers.length), say: count })}
${renderBars({ title: 'Bytes of updates', points: of((round) => round.updateBytes), say: formatBytes })}
${renderBars({ title: 'Duration', points: of((round) => round.seconds), say: duration })}
</div></section>`
}

/** Every certified round in figures. Up and down is what this peer's own connections carried meanwhile. */
export function renderRounds(state: PageState): Markup {
  const observed = new Map((state.run?.observed ?? []).map((each) => [each.round, each]))
  const shown = state.rounds.slice(0, maxRows)
  const hidden = state.rounds.length - shown.length
  return html`<section id="rounds" class="panel wide" aria-labelledby="rounds-title">
<h2 id="rounds-title">Rounds <small>${plural(state.rounds.length, 'certificate')}</small></h2>
${
  shown.length === 0
    ? html`<p class="empty">None is certified yet.</p>`
    : html`<div class="scroll" role="region" aria-labelledby="rounds-title" tabindex="0"><table class="rounds">
<thead><tr><th scope="col" class="number">Round</th><th scope="col">Leader</th><th scope="col" class="number">Signed</th><th scope="col" class="number">Updates</th><th scope="col" class="number">Refused</th><th scope="col" class="number">Samples</th><th scope="col" class="number">Update bytes</th><th scope="col" class="number"><abbr title="Sent by this peer while the round was under way">Up</abbr></th><th scope="col" class="number"><abbr title="Received by this peer while the round was under way">Down</abbr></th><th scope="col" class="number">Seconds</th><th scope="col" class="number">Held-out</th></tr></thead>
<tbody>${shown.map((round) => renderRow(state, round, observed.get(round.round)))}</tbody></table></div>
${hidden > 0 && html`<p class="note">and ${count(hidden)} earlier ones: <code>owm run show</code> has them.</p>`}`
}
</section>`
}

function renderRow(state: PageState, round: RoundView, seen: RoundObservation | undefined): Markup {
  const passed = seen?.passedOver.length ?? 0
  return html`<tr id="round-${round.round}"><th scope="row" class="number">${round.round}${round.attempt > 0 && html` <abbr title="Attempt ${round.attempt + 1}: the first committee had died">·${round.attempt + 1}</abbr>`}</th>
<td><span class="peer" title="${round.leader}">${shortPeer(round.leader)}</span>${round.leader === state.self && html` <span class="this">this peer</span>`}${passed > 0 && html` <abbr class="mark" title="${plural(passed, 'leader')} passed over before">after ${count(passed)}</abbr>`}</td>
<td class="number">${count(round.signatures)} of ${count(round.committee.length)}</td>
<td class="number strong">${count(round.trainers.length)}</td>
<td class="number">${seen === undefined ? '–' : count(seen.rejected.length)}</td>
<td class="number">${count(round.samples)}</td>
<td class="number">${formatBytes(round.updateBytes)}</td>
<td class="number">${seen === undefined ? '–' : formatBytes(seen.sentBytes)}</td>
<td class="number">${seen === undefined ? '–' : formatBytes(seen.receivedBytes)}</td>
<td class="number">${bits(round.seconds, 1)}</td>
<td class="number strong">${bits(round.heldOutLoss)}</td></tr>`
}

/** Updates that this peer refused as a member of the committee, and why. */
export function renderRefusals(state: PageState): Markup {
  const refusals = (state.run?.observed ?? [])
    .flatMap(({ round, rejected }) => rejected.map((each) => ({ round, ...each })))
    .reverse()
  return html`<section id="refusals" class="panel" aria-labelledby="refusals-title">
<h2 id="refusals-title">Refused updates <small>${refusals.length === 0 ? '' : count(refusals.length)}</small></h2>
${
  refusals.length === 0
    ? html`<p class="empty">This peer has refused none since it started.</p>`
    : html`<table class="refusals"><thead><tr><th scope="col" class="number">Round</th><th scope="col">Trainer</th><th scope="col" class="end">Why</th></tr></thead>
<tbody>${refusals
        .slice(0, maxRefusals)
        .map(
          ({ round, trainer, code }) =>
            html`<tr><th scope="row" class="number">${round}</th><td><span class="peer" title="${trainer}">${shortPeer(trainer)}</span></td><td class="end why">${reasonOf(code)} <code>${code}</code></td></tr>`,
        )}</tbody></table>`
}
</section>`
}

/** What each checkpoint comes from, back to the initial weights. */
export function renderLineage(state: PageState, run: RunView): Markup {
  const shown = state.rounds.slice(0, maxRows)
  const hidden = state.rounds.length - shown.length
  const initial = String(run.specification['initial'] ?? '')
  return html`<section id="lineage" class="panel wide" aria-labelledby="lineage-title">
<h2 id="lineage-title">Lineage <small>each checkpoint, and the certificate that it hangs on</small></h2>
<ol class="lineage">${shown.map(
    (round) =>
      html`<li id="from-${round.round}"><span class="step">Round ${round.round}</span> <span class="what">checkpoint ${renderCid(round.checkpoint)}</span> <span class="what">certificate ${renderCid(round.certificate, 'certificate')}</span></li>`,
  )}${hidden > 0 && html`<li class="step">and ${count(hidden)} earlier ones</li>`}
<li id="from-0"><span class="step">Start</span> <span class="what">weights ${initial === '' ? '–' : renderCid(initial)}</span> <span class="what">run ${renderCid(run.id, 'run')}</span></li></ol>
<p class="note">Anybody can check it: <code>owm run verify ${run.id.slice(-8)}</code> reads each signature and recomputes the rounds from their updates.</p>
</section>`
}
