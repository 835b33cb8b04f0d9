/**
 * The page at `/` of a peer: the live mesh, the run's held-out curve, the round under way, each checkpoint, and a box to
 * ask. It is rendered on the server and reads well without JavaScript; with it, the page listens to `/v1/events` and
 * puts fresh fragments of the same rendering in place.
 *
 * `/runs/<id>` tells one run: participation, bytes, refused updates, committee, durations and lineage.
 *
 * The page needs nothing from another host and runs no inline script or style. Every string on it can come from a
 * stranger (model names, agents, peer ids), so all text goes through one escaping template.
 *
 * @example
 * const dashboard = createDashboard({ federation, manifests, network, clock }, { ask: true })
 * await dashboard.start()
 * app.route('/', dashboard.routes)
 */
import type { Hono } from 'hono'
import type { Federation } from '../federation/index.ts'
import type { Clock, Startable } from '../lib/index.ts'
import type { Manifests } from '../manifests/index.ts'
import type { Network } from '../network/index.ts'

export { createDashboard } from './dashboard.ts'

/** What simple models reach on the run's held-out text, where it was measured: `{ name: 'bigram', bitsPerByte: 4.1 }`. */
export type Baselines = (run: string) => readonly { readonly name: string; readonly bitsPerByte: number }[]

export interface DashboardComponents {
  readonly federation?: Pick<Federation, 'runs' | 'checkpoints' | 'onEvent'>
  readonly manifests?: Pick<Manifests, 'view' | 'onChange'>
  readonly network?: Pick<Network, 'self' | 'meshId' | 'peers'>
  readonly baselines?: Baselines
  readonly clock: Clock
}

export interface DashboardInit {
  /** Whether the page has a box to ask, which needs `/v1/query/stream` beside it. */
  readonly ask: boolean
}

export interface Dashboard extends Startable {
  /** `/`, `/runs/<id>`, the fragments of both, and `/assets/*`. */
  readonly routes: Hono
}
