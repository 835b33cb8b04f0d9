import type { GossipSub } from '@libp2p/gossipsub'
import type { PeerId } from '@libp2p/interface'
import type { Ping } from '@libp2p/ping'
import type { Libp2p } from 'libp2p'
import { type Clock, errorMessage, withTimeout } from '../lib/index.ts'
import type { Logger } from '../observability/index.ts'
import type { Membership } from './membership.ts'
import { gossipsWith } from './peer-score.ts'

/** Soon after a peer is there its latency is measured for the first time. */
const firstPingMs = 1_000
const pingTimeoutMs = 10_000
/** A busy machine misses a ping, and so may its peers; one that misses so many in a row is gone. */
const missedPings = 4
/** A peer without a gossip stream for so many beats did not just connect. */
const missedGossip = 3

/**
 * Measures the round trip to each member and sees that gossip reaches it, each at its own moment: libp2p's own monitor
 * pings all at once, and on a loaded machine takes every one of them for dead.
 */
export interface Heartbeat {
  latencyMs(peer: PeerId): number | undefined
  start(): void
  stop(): void
}

interface Beat {
  latencyMs: number | undefined
  missed: number
  silent: number
  callOff: () => void
}

export function createHeartbeat(
  components: {
    readonly libp2p: Libp2p<{ ping: Ping; pubsub: GossipSub }>
    readonly membership: Membership
    readonly clock: Clock
    readonly logger: Logger
  },
  init: { readonly intervalMs: number; readonly random?: () => number },
): Heartbeat {
  const { libp2p, membership, clock, logger } = components
  const { intervalMs, random = Math.random } = init
  const beats = new Map<string, Beat>()
  let stopping = new AbortController()
  let stopListening: (() => void) | undefined

  const beat = async (peer: PeerId): Promise<void> => {
    const state = beats.get(peer.toString())
    if (state === undefined) return
    try {
      state.latencyMs = await libp2p.services.ping.ping(peer, { signal: withTimeout(pingTimeoutMs, stopping.signal) })
      state.missed = 0
    } catch (error) {
      if (stopping.signal.aborted) return
      state.missed++
      logger.debug({ peer: peer.toString(), missed: state.missed, error: errorMessage(error) }, 'a ping was missed')
    }
    state.silent = gossipsWith(libp2p.services.pubsub, peer) ? 0 : state.silent + 1
    if (state.missed >= missedPings || state.silent >= missedGossip) {
      // The reconnector makes a new connection, with all its streams.
      logger.info({ peer: peer.toString(), missed: state.missed, silent: state.silent }, 'a silent peer is cut off')
      for (const connection of libp2p.getConnections(peer)) connection.abort(new Error('the peer is silent'))
      return
    }
    if (beats.get(peer.toString()) === state) {
      state.callOff = clock.after(intervalMs * (0.5 + random()), () => void beat(peer))
    }
  }
  const forget = (peer: string): void => {
    beats.get(peer)?.callOff()
    beats.delete(peer)
  }

  return {
    latencyMs: (peer) => beats.get(peer.toString())?.latencyMs,
    start: () => {
      stopping = new AbortController()
      stopListening = membership.events.on(({ type, peer }) => {
        forget(peer.toString())
        if (type === 'disconnected') return
        const callOff = clock.after(firstPingMs * (0.5 + random()), () => void beat(peer))
        beats.set(peer.toString(), { latencyMs: undefined, missed: 0, silent: 0, callOff })
      })
    },
    stop: () => {
      stopping.abort()
      stopListening?.()
      for (const peer of [...beats.keys()]) forget(peer)
    },
  }
}
