import { randomBytes } from 'node:crypto'
import type { KadDHT } from '@libp2p/kad-dht'
import type { Libp2p } from 'libp2p'
import { type Clock, errorMessage, withTimeout } from '../lib/index.ts'
import type { Logger } from '../observability/index.ts'
import type { Membership } from './membership.ts'

/** After a new peer there is likely more to find. */
const firstDelayMs = 1_000
/** A mesh smaller than the target would be searched for ever: less and less often, as libp2p's own refresh is. */
const longestDelayMs = 300_000
const lookupTimeoutMs = 10_000

/**
 * Looks around in the DHT while there are too few connections. Whoever is named in an answer is a discovered peer to
 * libp2p, and the reconnector dials it. The DHT's own refresh comes every five minutes, which is long for a newcomer.
 */
export interface Explorer {
  start(): void
  stop(): void
}

export function createExplorer(
  components: {
    readonly libp2p: Libp2p<{ dht: KadDHT }>
    readonly membership: Membership
    readonly clock: Clock
    readonly logger: Logger
    readonly random?: () => number
  },
  init: { readonly targetPeers: number },
): Explorer {
  const { libp2p, membership, clock, logger, random = Math.random } = components
  let stopping = new AbortController()
  let delayMs = firstDelayMs
  let callOff: (() => void) | undefined
  let stopListening: (() => void) | undefined
  let looking = false

  const schedule = (): void => {
    callOff?.()
    callOff = clock.after(delayMs * (0.5 + random()), () => void look())
  }
  const look = async (): Promise<void> => {
    const { length } = membership.members()
    if (looking || length === 0 || length >= init.targetPeers) return
    looking = true
    // The own neighbourhood first: there every peer must know its way.
    const key = delayMs === firstDelayMs ? libp2p.peerId.toMultihash().bytes : new Uint8Array(randomBytes(32))
    delayMs = Math.min(longestDelayMs, 2 * delayMs)
    try {
      const signal = withTimeout(lookupTimeoutMs, stopping.signal)
      for await (const event of libp2p.services.dht.getClosestPeers(key, { signal })) {
        if (event.name === 'QUERY_ERROR') logger.debug({ error: errorMessage(event.error) }, 'a peer did not answer')
      }
    } catch (error) {
      logger.debug({ error: errorMessage(error) }, 'a look around ended early')
    } finally {
      looking = false
    }
    if (!stopping.signal.aborted) schedule()
  }

  return {
    start: () => {
      stopping = new AbortController()
      stopListening = membership.events.on(({ type }) => {
        // A lost peer leaves a gap as well.
        if (type === 'connected' || membership.members().length < init.targetPeers) delayMs = firstDelayMs
        if (!looking) schedule()
      })
    },
    stop: () => {
      stopping.abort()
      stopListening?.()
      callOff?.()
    },
  }
}
