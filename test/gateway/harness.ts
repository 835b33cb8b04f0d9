import { type IncomingHttpHeaders, request } from 'node:http'
import { createGateway, type Gateway, type GatewayInit } from '../../src/gateway/index.ts'
import { type Clock, systemClock } from '../../src/lib/index.ts'
import { createPrometheus, silentLogger } from '../../src/observability/index.ts'
import {
  type AnswererTwin,
  createAnswererTwin,
  createFederationTwin,
  createManifestsTwin,
  createNetworkTwin,
  type FederationTwin,
  type Health,
  type ManifestsTwin,
  makeHealth,
  type NetworkTwin,
  peerNumber,
} from './twins.ts'

export interface Stage extends AsyncDisposable {
  readonly url: string
  readonly port: number
  readonly gateway: Gateway
  readonly answerer: AnswererTwin
  readonly federation: FederationTwin
  readonly manifests: ManifestsTwin
  readonly network: NetworkTwin
  health: Health
}

/** A gateway on a free port over fresh twins. */
export async function stage(
  init: Partial<GatewayInit> = {},
  options: { readonly clock?: Clock; readonly baselines?: () => { name: string; bitsPerByte: number }[] } = {},
): Promise<Stage> {
  const parts = {
    answerer: createAnswererTwin(),
    federation: createFederationTwin(),
    manifests: createManifestsTwin(),
    network: createNetworkTwin(await peerNumber(0)),
  }
  const prometheus = createPrometheus()
  const gateway = createGateway(
    {
      ...parts,
      ...options,
      health: () => made.health,
      metricsText: prometheus.text,
      metrics: prometheus.metrics,
      logger: silentLogger,
      clock: options.clock ?? systemClock,
    },
    { listen: '127.0.0.1:0', gateway: true, dashboard: true, ...init },
  )
  await gateway.start()
  const { port } = gateway.address()
  const made: Stage = {
    ...parts,
    gateway,
    port,
    url: `http://127.0.0.1:${port}`,
    health: makeHealth(),
    [Symbol.asyncDispose]: () => gateway.stop(),
  }
  return made
}

export function postJson(url: string, body: unknown, init: RequestInit = {}): Promise<Response> {
  const headers = { 'Content-Type': 'application/json' }
  return fetch(url, { method: 'POST', headers, body: typeof body === 'string' ? body : JSON.stringify(body), ...init })
}

export type Json = Record<string, unknown>

export async function jsonOf(reply: Response | Promise<Response>): Promise<Json> {
  return (await (await reply).json()) as Json
}

export interface ServerEvent {
  readonly type: string
  readonly data: string
}

/** The events and comments of a stream, as they come. */
export async function* eventsOf(reply: Response): AsyncGenerator<ServerEvent> {
  let rest = ''
  for await (const text of reply.body?.pipeThrough(new TextDecoderStream()) ?? []) {
    const frames = (rest + text).split('\n\n')
    rest = frames.pop() ?? ''
    for (const frame of frames) {
      const lines = frame.split('\n')
      const field = (name: string): string | undefined =>
        lines.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2)
      const data = field('data')
      if (data !== undefined) yield { type: field('event') ?? '', data }
      else yield { type: 'comment', data: frame }
    }
  }
  if (rest !== '') throw new Error(`the stream ends within a frame: ${rest}`)
}

/** A request with headers that `fetch` does not let one set. */
export function rawRequest(
  port: number,
  path: string,
  headers: Readonly<Record<string, string>>,
): Promise<{ status: number; headers: IncomingHttpHeaders; body: string }> {
  return new Promise((resolve, reject) => {
    const sent = request({ host: '127.0.0.1', port, path, headers, agent: false }, (reply) => {
      const parts: Buffer[] = []
      reply.on('data', (part: Buffer) => parts.push(part))
      reply.on('end', () =>
        resolve({ status: reply.statusCode ?? 0, headers: reply.headers, body: Buffer.concat(parts).toString() }),
      )
    })
    sent.on('error', reject)
    sent.end()
  })
}

/** Waits until something is so; the test's own bound ends a wait in vain. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 2))
}
