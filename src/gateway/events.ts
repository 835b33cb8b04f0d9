import type { Hono } from 'hono'
import { OwmError } from '../lib/index.ts'
import type { GatewayComponents } from './index.ts'
import type { GatewayLimits } from './limits.ts'
import type { Env } from './request.ts'
import { createEventStream, type EventStream, eventFrame, eventStreamHeaders } from './sse.ts'

/** `/v1/events`: what happens, as it happens. Nothing is replayed; who reconnects reads the state anew. */
export interface EventHub {
  start(): void
  /** Closes every stream. */
  stop(): void
}

/** How long a browser waits before it reconnects. */
const reconnectMs = 2000

export function serveEvents(
  app: Hono<Env>,
  components: Pick<GatewayComponents, 'federation' | 'manifests' | 'network' | 'metrics' | 'clock'>,
  limits: Pick<GatewayLimits, 'maxEventClients' | 'maxEventBacklogBytes' | 'heartbeatMs'>,
): EventHub {
  const { federation, manifests, network, metrics, clock } = components
  const clients = new Map<EventStream, () => void>()
  const count = metrics.gauge('owm_gateway_event_clients', 'Open streams of /v1/events')
  const dropped = metrics.counter(
    'owm_gateway_event_clients_dropped_total',
    'Streams closed because they were not read',
  )
  let unsubscribe: (() => void)[] = []
  let serial = 0
  let accepting = false

  const forget = (stream: EventStream): void => {
    clients.delete(stream)
    count.set(clients.size)
  }
  const sendAll = (frame: string): void => {
    for (const [stream, disconnect] of [...clients]) {
      if (stream.offer(frame)) continue
      forget(stream)
      dropped.add()
      disconnect()
    }
  }
  const tell = (type: string, data: unknown): void => {
    serial++
    if (clients.size > 0) sendAll(eventFrame(type, data, serial))
  }
  const beat = (): (() => void) => {
    let calledOff = clock.after(limits.heartbeatMs, function next() {
      sendAll(': still here\n\n')
      calledOff = clock.after(limits.heartbeatMs, next)
    })
    return () => calledOff()
  }

  app.get('/v1/events', (c) => {
    if (c.req.raw.method === 'HEAD') return c.body(null, 200, eventStreamHeaders)
    if (!accepting) throw new OwmError('stopping', 'This peer is stopping.')
    if (clients.size >= limits.maxEventClients) {
      throw new OwmError('capacity_exceeded', 'As many as can are listening to the events already.')
    }
    const { outgoing } = c.env
    const stream: EventStream = createEventStream(limits.maxEventBacklogBytes, () => forget(stream))
    clients.set(stream, () => outgoing.destroy())
    count.set(clients.size)
    stream.offer(`retry: ${reconnectMs}\n: what happens from now on\n\n`)
    return c.body(stream.body, 200, eventStreamHeaders)
  })

  return {
    start: () => {
      if (accepting) return
      accepting = true
      unsubscribe = [
        federation?.onEvent((event) => tell(event.type, event)),
        manifests?.onChange(({ type, peer }) =>
          tell(`peer-${type}`, { type: `peer-${type}`, peer: peer.toString(), atMs: clock.now() }),
        ),
        network?.onPeer(({ type, peer }) =>
          tell(`peer-${type}`, { type: `peer-${type}`, peer: peer.toString(), atMs: clock.now() }),
        ),
        beat(),
      ].filter((stop) => stop !== undefined)
    },
    stop: () => {
      accepting = false
      for (const stop of unsubscribe.splice(0)) stop()
      for (const stream of clients.keys()) stream.close()
      clients.clear()
      count.set(0)
    },
  }
}
