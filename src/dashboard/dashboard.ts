import { Hono } from 'hono'
import { readAssets } from './assets.ts'
import type { Dashboard, DashboardComponents, DashboardInit } from './index.ts'
import type { Markup } from './markup.ts'
import { renderFragments, renderPage } from './page.ts'
import { renderNoRun, renderRunFragments, renderRunPage } from './run-page.ts'
import { type PageState, readState } from './state.ts'
import { createWatch } from './watch.ts'

/** Everything from this peer, nothing inline, in nobody's frame. */
const contentPolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')
const headers = { 'Content-Security-Policy': contentPolicy, 'Cache-Control': 'no-store' }

/** A rendering is good for so long: however many look, the peer renders a few times a second. */
const renderingMs = 250
/** Longest run id looked at. */
const maxRunCharacters = 128

export function createDashboard(components: DashboardComponents, init: DashboardInit): Dashboard {
  const { clock } = components
  const watch = createWatch(components)
  const assets = readAssets()
  const routes = new Hono()
  const kept = new Map<
    string,
    { readonly untilMs: number; readonly state: PageState; fragments?: string; runFragments?: string }
  >()

  const stateOf = (
    run: string | undefined,
  ): { readonly state: PageState; fragments?: string; runFragments?: string } => {
    const nowMs = clock.now()
    // Only the ids of runs are keys, so that strangers cannot fill the memory.
    const known =
      run !== undefined && run.length <= maxRunCharacters && components.federation?.runs().some(({ id }) => id === run)
    const key = known ? run : ''
    const held = kept.get(key)
    if (held !== undefined && nowMs < held.untilMs) return held
    const fresh = { untilMs: nowMs + renderingMs, state: readState(components, watch, { ask: init.ask, run: key }) }
    for (const [other, { untilMs }] of kept) if (untilMs <= nowMs) kept.delete(other)
    kept.set(key, fresh)
    return fresh
  }

  routes.get('/', (c) => c.html(renderPage(stateOf(c.req.query('run')).state, assets).text, 200, headers))

  routes.get('/fragments', (c) => {
    const held = stateOf(c.req.query('run'))
    held.fragments ??= jsonOf(renderFragments(held.state))
    return c.body(held.fragments, 200, { ...headers, 'Content-Type': 'application/json' })
  })

  routes.get('/runs/:id', (c) => {
    const { state } = stateOf(c.req.param('id'))
    if (state.run?.id !== c.req.param('id')) return c.html(renderNoRun(state, assets).text, 404, headers)
    return c.html(renderRunPage(state, state.run, assets).text, 200, headers)
  })

  routes.get('/runs/:id/fragments', (c) => {
    const held = stateOf(c.req.param('id'))
    const { run } = held.state
    if (run?.id !== c.req.param('id')) return c.json({}, 404, headers)
    held.runFragments ??= jsonOf(renderRunFragments(held.state, run))
    return c.body(held.runFragments, 200, { ...headers, 'Content-Type': 'application/json' })
  })

  routes.get('/assets/:name', (c) => {
    const asset = assets.get(c.req.param('name'))
    if (asset === undefined) return c.notFound()
    return c.body(asset.body, 200, {
      'Content-Type': asset.type,
      'Cache-Control': c.req.query('v') === undefined ? 'no-cache' : 'public, max-age=31536000, immutable',
    })
  })

  return {
    routes,
    start: async () => watch.start(),
    stop: async () => watch.stop(),
  }
}

function jsonOf(fragments: Readonly<Record<string, Markup>>): string {
  return JSON.stringify(Object.fromEntries(Object.entries(fragments).map(([id, { text }]) => [id, text])))
}
