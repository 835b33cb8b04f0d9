import type { Listener, PeerId } from '@libp2p/interface'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import type { Libp2p } from 'libp2p'
import { type Clock, errorMessage } from '../lib/index.ts'
import type { Logger } from '../observability/index.ts'
import type { Membership } from './membership.ts'

/** Circuit Relay v2: a peer that speaks this relays for others. */
const hopProtocol = '/libp2p/circuit/relay/0.2.0/hop'
/** Two, so that one may go down; each costs the relay a reservation. */
const wantedRelays = 2
/** A relay that is full or busy is asked again after so long. */
const retryMs = 30_000

/** The part of libp2p that listens, which it shows to its services alone. */
export interface TransportManager {
  listen(addresses: Multiaddr[]): Promise<void>
  getListeners(): Listener[]
}

/**
 * Keeps reservations with the relays among the connected peers, so that others can reach a peer behind NAT through
 * them. libp2p's own search walks the DHT without rest until it finds a relay; a mesh without one would be all walk.
 */
export interface RelayClient {
  start(): void
  stop(): void
}

export function createRelayClient(components: {
  readonly libp2p: Libp2p
  readonly transports: TransportManager
  readonly membership: Membership
  readonly clock: Clock
  readonly logger: Logger
}): RelayClient {
  const { libp2p, transports, membership, clock, logger } = components
  /** libp2p keeps a listener for ever, so each relay has one, used again after a reconnect. */
  const listeners = new Map<string, Listener>()
  const reserved = new Set<string>()
  let callOffRetry: (() => void) | undefined
  let stopListening: (() => void) | undefined
  let running = false
  let queue: Promise<void> = Promise.resolve()

  const isRelay = async (peer: PeerId): Promise<boolean> => {
    const known = await libp2p.peerStore.get(peer)
    return known.protocols.includes(hopProtocol)
  }
  const reserve = async (peer: PeerId): Promise<void> => {
    const name = peer.toString()
    if (!running || reserved.has(name) || reserved.size >= wantedRelays || !membership.isMember(peer)) return
    if (!libp2p.getConnections(peer).some((connection) => connection.limits === undefined)) return
    try {
      if (!(await isRelay(peer))) return
      const address = multiaddr(`/p2p/${name}/p2p-circuit`)
      const listener = listeners.get(name)
      if (listener !== undefined) await listener.listen(address)
      else {
        const before = new Set(transports.getListeners())
        try {
          await transports.listen([address])
        } finally {
          const made = transports.getListeners().find((candidate) => !before.has(candidate))
          if (made !== undefined) listeners.set(name, made)
        }
      }
      reserved.add(name)
      logger.debug({ relay: name }, 'reachable through a relay')
    } catch (error) {
      logger.debug({ relay: name, error: errorMessage(error) }, 'a relay gave no reservation')
      callOffRetry ??= clock.after(retryMs, () => {
        callOffRetry = undefined
        reserveAll()
      })
    }
  }
  /** One after the other: what a new listener is, is told by what was there before. */
  const enqueue = (peer: PeerId): void => {
    queue = queue.then(() => reserve(peer))
  }
  const reserveAll = (): void => {
    for (const peer of membership.members()) enqueue(peer)
  }

  return {
    start: () => {
      running = true
      stopListening = membership.events.on(({ type, peer }) => {
        if (type === 'connected') return enqueue(peer)
        if (reserved.delete(peer.toString())) reserveAll()
      })
      reserveAll()
    },
    stop: () => {
      running = false
      stopListening?.()
      callOffRetry?.()
    },
  }
}
