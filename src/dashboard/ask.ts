import { html, type Markup } from './markup.ts'
import type { PageState } from './state.ts'
import { count } from './words.ts'

const examples = ['export function ', 'import { ', 'const ', '# Install\n\n'] as const

/** The box to ask. The model continues text, and the page says so. It is not re-rendered while the page lives. */
export function renderAsk(state: PageState): Markup | false {
  if (!state.ask) return false
  const weights = state.run?.parameters
  return html`<section id="ask" class="panel wide" aria-labelledby="ask-title">
<h2 id="ask-title">Ask <small>the newest certified checkpoint</small></h2>
<div class="asking"><form id="ask-form">
<label for="question">The model continues what you write.${weights !== undefined && html` It has ${count(weights)} weights and has read only what these peers train on.`}</label>
<textarea id="question" name="question" rows="2" maxlength="4000" required spellcheck="false" autocomplete="off">export function </textarea>
<div class="row"><button type="submit" disabled>Ask</button>
<div class="examples">${examples.map((text) => html`<button type="button" class="example" data-example="${text}" disabled><code>${text.trim()}</code></button>`)}</div></div>
<noscript><p class="note">Asking from this page needs JavaScript; programs ask by <code>POST /v1/query</code>.</p></noscript>
</form>
<div><pre id="answer" tabindex="0" aria-label="Answer" aria-busy="false"></pre>
<p id="answer-source" class="source" role="status"></p></div></div>
</section>`
}
