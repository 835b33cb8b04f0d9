import type { RoundView } from '../federation/index.ts'
import { html, type Markup } from './markup.ts'
import type { PageState } from './state.ts'
import { bits, count, isoTime, plural, shortCid, timeOfDay } from './words.ts'

/** Newest shown; the API has all. */
const maxCheckpoints = 40

/** Every certified checkpoint: what it is called, who signed, what it scores. */
export function renderCheckpoints(state: PageState): Markup {
  const hidden = Math.max(0, state.rounds.length - maxCheckpoints)
  return html`<section id="checkpoints" class="panel wide" aria-labelledby="checkpoints-title">
<h2 id="checkpoints-title">Checkpoints <small>${plural(state.rounds.length, 'certificate')}</small></h2>
${
  state.rounds.length === 0
    ? html`<p class="empty">None yet. The first comes with the end of the first round.</p>`
    : html`<table class="checkpoints">
<thead><tr><th scope="col" class="number">${heading('Round', 'No.')}</th><th scope="col">Checkpoint</th><th scope="col" class="number">${heading('Held-out', 'Bits')}</th><th scope="col" class="number">${heading('Signatures', 'Sig.')}</th><th scope="col" class="number">${heading('Trainers', 'Tr.')}</th><th scope="col" class="number">${heading('Seconds', 'Sec.')}</th><th scope="col" class="number when">Certified</th></tr></thead>
<tbody>${state.rounds.slice(0, maxCheckpoints).map(renderRow)}</tbody></table>
${hidden > 0 && html`<p class="note">and ${count(hidden)} earlier ones</p>`}`
}
${state.run !== null && html`<p class="note"><a href="/runs/${encodeURIComponent(state.run.id)}">All of this run</a>: participation, bytes, refused updates, lineage.</p>`}
</section>`
}

function renderRow(round: RoundView): Markup {
  return html`<tr id="checkpoint-${round.checkpoint}"><th scope="row" class="number">${round.round}</th>
<td>${renderCid(round.checkpoint)}</td>
<td class="number strong">${bits(round.heldOutLoss)}</td>
<td class="number">${count(round.signatures)}</td>
<td class="number">${count(round.trainers.length)}</td>
<td class="number">${bits(round.seconds, 1)}</td>
<td class="number when"><time datetime="${isoTime(round.certifiedMs)}">${timeOfDay(round.certifiedMs)}</time></td></tr>`
}

/** A CID in short, the whole as a tooltip and, with the page's script, on the clipboard. */
export function renderCid(cid: string, what = 'checkpoint'): Markup {
  return html`<span class="cid"><code title="${cid}">${shortCid(cid)}</code><button type="button" class="copy" data-copy="${cid}" aria-label="Copy the ${what}'s CID" hidden><svg viewBox="0 0 16 16" aria-hidden="true"><path d="M5.5 5.5v-3h8v8h-3M2.5 5.5h8v8h-8z"/></svg></button></span>`
}

function heading(wide: string, narrow: string): Markup {
  return html`<span class="for-wide">${wide}</span><abbr class="for-narrow" title="${wide}">${narrow}</abbr>`
}
