import { renderAsk } from './ask.ts'
import type { Assets } from './assets.ts'
import { renderCheckpoints } from './checkpoints.ts'
import { renderCurve } from './curve.ts'
import { renderLately } from './lately.ts'
import { html, type Markup } from './markup.ts'
import { renderMesh } from './mesh.ts'
import { renderRound } from './round.ts'
import type { PageState } from './state.ts'
import { renderSummary } from './summary.ts'
import { isoTime, shortPeer, timeOfDay } from './words.ts'

/** How often a browser without scripts loads the page anew. */
const reloadSeconds = 10

/** The parts that change, by the id of the element each replaces. */
export function renderFragments(state: PageState): Readonly<Record<string, Markup>> {
  return {
    summary: renderSummary(state),
    curve: renderCurve(state),
    mesh: renderMesh(state),
    round: renderRound(state),
    lately: renderLately(state),
    checkpoints: renderCheckpoints(state),
    moment: renderMoment(state),
  }
}

export function renderPage(state: PageState, assets: Assets): Markup {
  const parts = renderFragments(state)
  return renderFrame(state, assets, {
    title: 'Open World Model',
    fragments: null,
    moment: parts['moment'],
    main: html`${parts['summary']}
${parts['curve']}
${parts['mesh']}
${parts['round']}
${parts['lately']}
${renderAsk(state)}
${parts['checkpoints']}`,
  })
}

interface Frame {
  readonly title: string
  /** Where the page's script gets fresh parts from, if not from the first page's place. */
  readonly fragments: string | null
  readonly moment: Markup | undefined
  readonly main: Markup
}

/** What stands around every page. */
export function renderFrame(state: PageState, assets: Assets, { title, fragments, moment, main }: Frame): Markup {
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${title}</title>
<link rel="icon" href="${assets.url('mark.svg')}" type="image/svg+xml">
<link rel="stylesheet" href="${assets.url('page.css')}">
<script type="module" src="${assets.url('page.js')}"></script>
<noscript><meta http-equiv="refresh" content="${reloadSeconds}"></noscript>
</head>
<body${fragments !== null && html` data-fragments="${fragments}"`}>
<header class="top">
<p class="name"><svg viewBox="0 0 24 24" aria-hidden="true"><circle cx="12" cy="12" r="8.5"/><circle class="core" cx="12" cy="12" r="3"/></svg>Open World Model</p>
${moment}
</header>
<main>
${main}
</main>
<footer>
<p>${state.mesh !== null && html`Mesh <code>${state.mesh.slice(0, 16)}</code>`}${state.self !== null && html`, seen by peer <code title="${state.self}">${shortPeer(state.self)}</code>`}</p>
<p><a href="/health">Health</a> <a href="/metrics">Metrics</a>${state.ask && html` <a href="/v1/models">Models</a> <a href="/v1/network/nodes">Nodes</a>`}</p>
</footer>
</body>
</html>
`
}

/** When this was true; the page's script adds whether it still listens. */
export function renderMoment(state: PageState): Markup {
  return html`<p id="moment" class="moment"><span class="pulse" data-mine></span><time datetime="${isoTime(state.nowMs)}">${timeOfDay(state.nowMs)}</time></p>`
}
