import { renderCid } from './checkpoints.ts'
import { html, type Markup } from './markup.ts'
import type { PageState } from './state.ts'
import { bits, cleanName, count, plural, unitWords } from './words.ts'

/** The state of things in one sentence and four figures. */
export function renderSummary(state: PageState): Markup {
  const { run } = state
  const newest = state.rounds[0]
  const measured = state.rounds.find((round) => round.heldOutLoss !== null)?.heldOutLoss ?? null
  return html`<section id="summary" class="summary" aria-label="Summary">
${state.runs.length > 1 && renderRuns(state)}
<h1>${headline(state)}</h1>
<dl class="figures">
<div class="lead"><dt>${unitWords(run?.unit)}</dt><dd>${bits(measured ?? run?.initialLoss ?? null)}</dd></div>
<div><dt>at the start</dt><dd>${bits(run?.initialLoss ?? null)}</dd></div>
<div><dt>certified rounds</dt><dd>${count(state.rounds.length)}<span class="of"> / ${run === null ? '–' : count(run.totalRounds)}</span></dd></div>
<div><dt>parameters</dt><dd>${run === null ? '–' : count(run.parameters)}</dd></div>
<div class="newest"><dt>newest checkpoint</dt><dd>${newest === undefined ? '–' : renderCid(newest.checkpoint)}</dd></div>
</dl>
</section>`
}

function headline(state: PageState): Markup {
  const { run } = state
  const peers = plural(state.livePeers, 'peer')
  if (run === null) return html`${peers} in the mesh, and nothing to learn yet.`
  const name = html`<bdi>${cleanName(run.name)}</bdi>`
  switch (run.status) {
    case 'waiting':
      return html`${peers} ${state.livePeers === 1 ? 'waits' : 'wait'} for more to train ${name}.`
    case 'training':
      return html`${peers} ${state.livePeers === 1 ? 'is' : 'are'} training ${name}.`
    case 'stalled':
      return html`The training of ${name} waits for peers to come back.`
    case 'paused':
      return html`The training of ${name} is paused by its owner.`
    case 'finished':
      return html`${peers} trained ${name}, and it answers.`
    case 'cancelled':
      return html`The training of ${name} was cancelled by its owner.`
  }
}

function renderRuns(state: PageState): Markup {
  return html`<nav class="runs" aria-label="Runs">${state.runs
    .slice(0, 12)
    .map(
      (run) =>
        html`<a href="/?run=${encodeURIComponent(run.id)}"${run.id === state.run?.id && html` aria-current="page"`}><bdi>${cleanName(run.name)}</bdi></a> `,
    )}</nav>`
}
