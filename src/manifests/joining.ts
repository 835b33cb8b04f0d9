import type { PeerId } from '@libp2p/interface'
import { type Clock, errorCode, OwmError } from '../lib/index.ts'
import type { Network } from '../network/index.ts'
import type { Logger } from '../observability/index.ts'
import { fetchSnapshot } from './snapshot.ts'

/** Two views of independent peers: one of them may be new itself, or hold back. */
const viewSources = 2
/** The other side may not have its rooms up yet when the connection opens. */
const retryAfterMs = 3000
/** A page and its checking, as often as the largest view has pages. */
const snapshotTimeoutMs = 60_000
/** Peers waiting to be asked; more connections than that at once are told of by gossip. */
const maxWaiting = 256

/**
 * Brings a peer that has just joined up to date: asks the first peers it connects to for their whole view, and each
 * later neighbour that is not known yet for its own manifest. One question at a time.
 */
export interface Joining {
  start(): void
  stop(): Promise<void>
}

export function createJoining(
  { network, clock, logger }: { readonly network: Network; readonly clock: Clock; readonly logger: Logger },
  init: {
    readonly maxDocuments: number
    isLive(peer: PeerId): boolean
    /** Judges a document as if gossiped; false when it is a bad one. */
    take(document: Uint8Array): boolean
  },
): Joining {
  const waiting = new Map<string, { readonly peer: PeerId; readonly retry: boolean }>()
  const callOffs = new Set<() => void>()
  let closing = new AbortController()
  let working: Promise<void> | undefined
  let viewsFetched = 0
  let stopListening: (() => void) | undefined

  const enqueue = (peer: PeerId, retry: boolean): void => {
    if (waiting.size >= maxWaiting || closing.signal.aborted) return
    waiting.set(peer.toString(), { peer, retry })
    working ??= work().finally(() => {
      working = undefined
    })
  }
  const work = async (): Promise<void> => {
    // Let the caller set `working` first.
    await Promise.resolve()
    for (const [id, { peer, retry }] of waiting) {
      waiting.delete(id)
      if (closing.signal.aborted) return
      const scope = viewsFetched < viewSources ? 'view' : 'self'
      if (!network.isConnected(peer) || (scope === 'self' && init.isLive(peer))) continue
      try {
        const signal = AbortSignal.any([closing.signal, AbortSignal.timeout(snapshotTimeoutMs)])
        const count = await fetchSnapshot(network, peer, scope, { ...init, signal })
        if (scope === 'view') viewsFetched++
        logger.debug({ peer: id, scope, count }, 'manifests fetched from a neighbour')
      } catch (error) {
        if (closing.signal.aborted) return
        logger.debug({ peer: id, scope, code: errorCode(error) }, 'a neighbour did not give its manifests')
        if (retry) {
          const callOff = clock.after(retryAfterMs, () => {
            callOffs.delete(callOff)
            enqueue(peer, false)
          })
          callOffs.add(callOff)
        }
      }
    }
  }

  return {
    start: () => {
      if (stopListening !== undefined) return
      closing = new AbortController()
      stopListening = network.onPeer(({ type, peer }) => {
        if (type === 'connected') enqueue(peer, true)
        // Cut off from everyone: what is known then is old when the mesh is found again.
        else if (network.peers().length === 0) viewsFetched = 0
      })
      for (const { id } of network.peers()) enqueue(id, true)
    },
    stop: async () => {
      stopListening?.()
      stopListening = undefined
      closing.abort(new OwmError('stopping', 'The peer is stopping.'))
      for (const callOff of callOffs) callOff()
      callOffs.clear()
      waiting.clear()
      await working
    },
  }
}
