import { multiaddr } from '@multiformats/multiaddr'
import type { Identity } from '../../src/identity/index.ts'
import { createEmitter, decode, encode, OwmError } from '../../src/lib/index.ts'
import type {
  ConnectedPeer,
  GossipTopic,
  Network,
  PeerEvent,
  ProtocolSpec,
  RequestContext,
  TopicSpec,
} from '../../src/network/index.ts'

type FakeNetwork = Pick<
  Network,
  'self' | 'meshId' | 'peers' | 'isConnected' | 'onPeer' | 'gossip' | 'handle' | 'request'
>

/** Peers in one process with gossip that arrives at once and requests that pass through the codec. */
export interface Hub {
  join(identity: Identity): Network
  connect(a: Network, b: Network, options?: { readonly relayed?: boolean }): void
  disconnect(a: Network, b: Network): void
  /** Sends bytes on a topic to one peer, as a stranger might. Resolves with the verdict. */
  inject(to: Network, topic: string, data: Uint8Array): Promise<string>
  /** Everything published on a topic so far. */
  readonly published: { readonly topic: string; readonly data: Uint8Array; readonly from: string }[]
}

interface Member {
  readonly network: FakeNetwork
  readonly peers: Map<string, ConnectedPeer>
  readonly events: ReturnType<typeof createEmitter<PeerEvent>>
  readonly receivers: Map<string, (data: Uint8Array, from: Network['self']) => Promise<string>>
  readonly handlers: Map<string, (request: Uint8Array, from: Network['self']) => Promise<Uint8Array>>
}

export function createHub(meshId: string): Hub {
  const members = new Map<string, Member>()
  const published: Hub['published'] = []
  const memberOf = (network: Pick<Network, 'self'>): Member => {
    const member = members.get(network.self.toString())
    if (member === undefined) throw new Error('not in the hub')
    return member
  }

  return {
    published,
    join: (identity) => {
      const self = identity.peerId
      const peers = new Map<string, ConnectedPeer>()
      const events = createEmitter<PeerEvent>()
      const receivers: Member['receivers'] = new Map()
      const handlers: Member['handlers'] = new Map()
      const network: FakeNetwork = {
        self,
        meshId,
        peers: () => [...peers.values()],
        isConnected: (peer) => peers.has(peer.toString()),
        onPeer: events.on,
        gossip: <T>(spec: TopicSpec<T>): GossipTopic<T> => {
          const messages = createEmitter<{ readonly value: T; readonly from: Network['self'] }>()
          receivers.set(spec.name, async (data, from) => {
            const verdict = await spec.validate(data, from)
            if (verdict.verdict !== 'accept') return verdict.code
            messages.emit({ value: verdict.value, from })
            return 'accept'
          })
          return {
            publish: async (data) => {
              published.push({ topic: spec.name, data, from: self.toString() })
              for (const id of peers.keys()) await members.get(id)?.receivers.get(spec.name)?.(data, self)
            },
            onMessage: (listener) => messages.on(({ value, from }) => listener(value, from)),
          }
        },
        handle: <Request, Response>(
          spec: ProtocolSpec<Request, Response>,
          handler: (request: Request, context: RequestContext) => Promise<Response>,
        ) => {
          handlers.set(spec.name, async (bytes, from) => {
            const request = decode(bytes, spec.request, spec.maxRequestBytes)
            return encode(await handler(request, { from, signal: new AbortController().signal }))
          })
        },
        request: async (peer, spec, request, options) => {
          options?.signal?.throwIfAborted()
          const handler = peers.has(peer.toString()) ? members.get(peer.toString())?.handlers.get(spec.name) : undefined
          if (handler === undefined) throw new OwmError('unsupported', 'no such protocol')
          return decode(await handler(encode(request), self), spec.response, spec.maxResponseBytes)
        },
      }
      members.set(self.toString(), { network, peers, events, receivers, handlers })
      // The rooms under test use these members alone.
      return network as Network
    },
    connect: (a, b, { relayed = false } = {}) => {
      for (const [from, to] of [
        [memberOf(a), b.self],
        [memberOf(b), a.self],
      ] as const) {
        const address = multiaddr('/memory/fake')
        const peer = { id: to, address, direction: 'outbound', relayed, latencyMs: 1, connectedSinceMs: 0 } as const
        from.peers.set(to.toString(), peer)
      }
      memberOf(a).events.emit({ type: 'connected', peer: b.self })
      memberOf(b).events.emit({ type: 'connected', peer: a.self })
    },
    disconnect: (a, b) => {
      memberOf(a).peers.delete(b.self.toString())
      memberOf(b).peers.delete(a.self.toString())
      memberOf(a).events.emit({ type: 'disconnected', peer: b.self })
      memberOf(b).events.emit({ type: 'disconnected', peer: a.self })
    },
    inject: async (to, topic, data) => (await memberOf(to).receivers.get(topic)?.(data, to.self)) ?? 'no receiver',
  }
}
