import { html, type Markup } from './markup.ts'
import type { PageState } from './state.ts'
import { isoTime, timeOfDay } from './words.ts'

/** The last things that happened, newest first. */
export function renderLately(state: PageState): Markup {
  return html`<section id="lately" class="panel" aria-labelledby="lately-title">
<h2 id="lately-title">Lately</h2>
<ol class="happenings">${
    state.happenings.length === 0
      ? html`<li class="empty">Nothing has happened since this peer started.</li>`
      : state.happenings.map(
          ({ id, atMs, text, weighty }) =>
            html`<li id="happening-${id}"${weighty && html` class="weighty"`}><time datetime="${isoTime(atMs)}">${timeOfDay(atMs)}</time> <span>${text}</span></li>`,
        )
  }</ol>
</section>`
}
