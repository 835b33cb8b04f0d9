import type { RoundPhase } from '../federation/index.ts'
import { html, type Markup } from './markup.ts'
import type { PageState } from './state.ts'
import type { TrainerProgress } from './watch.ts'
import { bits, count, shortPeer } from './words.ts'

const phases: readonly { readonly phase: RoundPhase; readonly name: string }[] = [
  { phase: 'training', name: 'train' },
  { phase: 'collecting', name: 'collect' },
  { phase: 'voting', name: 'vote' },
  { phase: 'certified', name: 'certified' },
]
/** Rows shown; a round of hundreds has a line that says how many more. */
const maxTrainers = 12

/** The round under way: where it stands, who leads, and each trainer's step and loss as far as this peer hears of it. */
export function renderRound(state: PageState): Markup {
  const { run } = state
  const title =
    run === null
      ? html`Round`
      : html`Round ${Math.min(run.round, run.totalRounds)} <small>of ${run.totalRounds}${run.status === 'finished' && ', the last: the run is finished'}${run.status === 'cancelled' && ': the run was cancelled'}</small>`
  return html`<section id="round" class="panel" aria-labelledby="round-title">
<h2 id="round-title">${title}</h2>
${run === null ? html`<p class="empty">No run is under way in this mesh. Start one with <code>owm run create</code>.</p>` : renderRun(state, run)}
</section>`
}

function renderRun(state: PageState, run: NonNullable<PageState['run']>): Markup {
  // A run that is over keeps showing its last round, in the same room.
  const last = run.status === 'finished' || run.status === 'cancelled' ? state.rounds[0] : undefined
  const now = last === undefined ? phases.findIndex(({ phase }) => phase === run.phase) : phases.length
  const leader = last?.leader ?? run.leader
  const committee = last?.committee ?? run.committee
  const stands =
    run.status === 'stalled'
      ? 'Too few peers answer; the round goes on when they are back.'
      : run.status === 'waiting'
        ? 'Waiting for enough trainers.'
        : run.status === 'paused'
          ? 'Paused by the owner of the run.'
          : ''
  const roster = [...(last?.trainers ?? run.roster)].sort(
    (a, b) => Number(b === state.self) - Number(a === state.self) || (a < b ? -1 : 1),
  )
  const hidden = Math.max(0, roster.length - maxTrainers)
  return html`<ol class="phases">${phases.map(
    ({ name }, i) =>
      html`<li class="${i < now ? 'past' : i === now ? 'now' : 'ahead'}"${i === now && html` aria-current="step"`}>${name}</li>`,
  )}</ol>
<dl class="facts">
<div><dt>Leader</dt><dd>${peerName(state, leader)}</dd></div>
<div><dt>Committee</dt><dd>${committee.length === 0 ? '–' : join(committee.map((id) => peerName(state, id)))}</dd></div>
</dl>
${stands !== '' && html`<p class="note">${stands}</p>`}
<table class="trainers"><caption class="unseen">Trainers of this round</caption>
<thead><tr><th scope="col">Trainer</th><th scope="col" class="number">Step</th><th scope="col" class="number">Loss</th><th scope="col" class="end">Update</th></tr></thead>
<tbody>${roster.slice(0, maxTrainers).map((id) => renderTrainer(state, id, last !== undefined))}</tbody></table>
${hidden > 0 && html`<p class="note">and ${count(hidden)} more trainers</p>`}`
}

function renderTrainer(state: PageState, id: string, certified: boolean): Markup {
  const progress = state.progress.get(id)
  const live = state.nodes.find((node) => node.id === id)?.live ?? true
  return html`<tr id="trainer-${id}"><th scope="row">${peerName(state, id)}</th>
<td class="number">${progress?.step == null ? '–' : count(progress.step)}</td>
<td class="number">${bits(progress?.loss ?? null, 2)}</td>
<td class="end">${certified ? html`<span class="mark in">in</span>` : standing(progress, live)}</td></tr>`
}

function standing(progress: TrainerProgress | undefined, live: boolean): Markup {
  switch (progress?.update ?? 'under way') {
    case 'in':
      return html`<span class="mark in">in</span>`
    case 'refused':
      return html`<span class="mark refused">refused</span>`
    case 'under way':
      return live ? html`<span class="mark">under way</span>` : html`<span class="mark refused">missing</span>`
  }
}

/** The end of the id, the whole as a tooltip, and a word where it is this peer. */
function peerName(state: PageState, id: string | null): Markup {
  if (id === null) return html`–`
  return html`<span class="peer" title="${id}">${shortPeer(id)}</span>${id === state.self && html` <span class="this">this peer</span>`}`
}

function join(parts: readonly Markup[]): Markup[] {
  return parts.flatMap((part, i) => (i === 0 ? [part] : [html`, `, part]))
}
