/**
 * The HTTP door of a peer. Every peer serves `/health` and `/metrics`; a gateway peer also answers questions from the
 * newest certified checkpoint, in OWM's own shape and in OpenAI's, tells what the mesh and its model versions are, and
 * streams what happens as server-sent events. A dashboard page is served at `/` where it is switched on.
 *
 * The room wires HTTP to what it is handed and knows nothing of models: an `Answerer` generates, `Federation`,
 * `Manifests` and `Network` tell the state. Whatever comes in over HTTP is hostile: it has a size limit before it is
 * parsed, a schema, time-outs, a place in a bounded queue, and it is cancelled when the client goes away.
 *
 * @example
 * const gateway = createGateway(
 *   { health, metricsText, answerer, federation, manifests, network, logger, metrics, clock },
 *   { listen: '127.0.0.1:8080', gateway: true, dashboard: true },
 * )
 * await gateway.start()
 * console.log(`http://${gateway.address().host}:${gateway.address().port}/`)
 */
import type { Baselines } from '../dashboard/index.ts'
import type { Federation } from '../federation/index.ts'
import type { AnswerModel, GenerateOptions } from '../inference/index.ts'
import type { Clock, Startable } from '../lib/index.ts'
import type { Manifests } from '../manifests/index.ts'
import type { Network } from '../network/index.ts'
import type { Logger, Metrics } from '../observability/index.ts'
import type { GatewayLimits } from './limits.ts'

export type { Baselines } from '../dashboard/index.ts'
export type { AnswerModel } from '../inference/index.ts'
export { createGateway } from './gateway.ts'
export { defaultLimits, type GatewayLimits } from './limits.ts'

/** What generates. Wired over `inference/` by the composition root. */
export interface Answerer {
  models(): readonly AnswerModel[]
  /**
   * Tokens are bytes. The iterable ends when it is returned from, or when `options.signal` aborts.
   *
   * @throws OwmError `no_checkpoint`, `model_not_found` or `capacity_exceeded`
   */
  generate(
    model: string,
    prompt: Uint8Array,
    options: GenerateOptions,
  ): Promise<{ readonly checkpoint: string; readonly round: number; readonly tokens: AsyncIterable<Uint8Array> }>
}

/** What `/health` tells. It must be cheap: anybody may ask often. */
export interface HealthReport {
  /** Whether the peer can do its work now; `reasons` say why not, one sentence each. */
  readonly ready: boolean
  readonly reasons: readonly string[]
  readonly peer: string
  readonly mesh: string
  readonly version: string
  readonly startedMs: number
  /** Connected now. */
  readonly peers: number
  /** Free bytes on the data directory's disk, null when it cannot be read. */
  readonly diskFreeBytes: number | null
  readonly lastRound: { readonly run: string; readonly round: number; readonly certifiedMs: number } | null
}

export interface GatewayComponents {
  health(): HealthReport
  /** Prometheus exposition format 0.0.4. */
  metricsText(): Promise<string>
  readonly answerer?: Answerer
  readonly federation?: Pick<Federation, 'runs' | 'checkpoints' | 'onEvent'>
  readonly manifests?: Pick<Manifests, 'view' | 'onChange'>
  readonly network?: Pick<Network, 'self' | 'meshId' | 'peers' | 'traffic' | 'onPeer'>
  /** Reference lines of a run's held-out curve, where they were measured. */
  readonly baselines?: Baselines
  readonly logger: Logger
  readonly metrics: Metrics
  readonly clock: Clock
}

export interface GatewayInit {
  /** `HOST:PORT` or `[IPv6]:PORT`; port 0 takes a free one. */
  readonly listen: string
  /** Serves `/v1`. */
  readonly gateway: boolean
  /** Serves the page at `/`. */
  readonly dashboard: boolean
  /** More names by which this peer may be addressed over a loopback connection, e.g. behind a proxy on the same host. */
  readonly hosts?: readonly string[]
  readonly limits?: Partial<GatewayLimits>
}

export interface Gateway extends Startable {
  /** Where it listens. @throws OwmError `not_started` */
  address(): { readonly host: string; readonly port: number }
}
