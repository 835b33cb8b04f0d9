import type { PeerId } from '@libp2p/interface'
import type { KadDHT } from '@libp2p/kad-dht'
import type { Libp2p } from 'libp2p'
import { compareBytes, errorMessage, sha256Of, withTimeout, xorDistance } from '../lib/index.ts'
import type { Logger } from '../observability/index.ts'
import type { Membership } from './membership.ts'

/** A lookup asks a few dozen peers at most; what it has found by then is nearly all. */
const lookupTimeoutMs = 5_000
/** Kademlia's k: no lookup knows more peers around a key. */
export const maxClosestPeers = 20

/**
 * The peers nearest to a key in the space of SHA-256, where the DHT keeps them: a peer is at the hash of its id's
 * multihash, a key at its own hash. The DHT never names the asker, so self is added; the connected are known anyway.
 */
export async function closestPeers(
  components: {
    readonly libp2p: Libp2p<{ dht: KadDHT }>
    readonly membership: Membership
    readonly logger: Logger
    readonly stop: AbortSignal
  },
  key: Uint8Array,
  count: number,
  options: { readonly signal?: AbortSignal } = {},
): Promise<PeerId[]> {
  const { libp2p, membership, logger, stop } = components
  options.signal?.throwIfAborted()
  const found = new Map<string, PeerId>()
  for (const peer of [libp2p.peerId, ...membership.members()]) found.set(peer.toString(), peer)
  if (found.size > 1) {
    try {
      const signal = withTimeout(lookupTimeoutMs, stop, options.signal)
      for await (const event of libp2p.services.dht.getClosestPeers(key, { signal })) {
        // The result comes at the very end; of a lookup cut short, those who answered are known.
        const peer =
          event.name === 'FINAL_PEER' ? event.peer.id : event.name === 'PEER_RESPONSE' ? event.from : undefined
        if (peer !== undefined && !membership.isStranger(peer.toString())) found.set(peer.toString(), peer)
      }
    } catch (error) {
      options.signal?.throwIfAborted()
      logger.debug({ error: errorMessage(error) }, 'a lookup of closest peers ended early')
    }
  }
  const target = sha256Of(key)
  return [...found.values()]
    .map((peer) => ({ peer, distance: xorDistance(sha256Of(peer.toMultihash().bytes), target) }))
    .sort((a, b) => compareBytes(a.distance, b.distance))
    .slice(0, Math.min(count, maxClosestPeers))
    .map(({ peer }) => peer)
}
