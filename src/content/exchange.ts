import { withBitswap } from '@helia/bitswap'
import type { Libp2p, PeerId } from '@libp2p/interface'
import type { CID } from 'multiformats/cid'
import { from as hasherOf } from 'multiformats/hashes/hasher'
import { blake3Of, errorMessage, hashes, joinSignals, OwmError, withTimeout } from '../lib/index.ts'
import type { Logger } from '../observability/index.ts'
import { type Blocks, matches } from './blocks.ts'

/** A peer that has not sent a block of 1 MiB by then is not waited for: 0.8 Mbit/s. */
const peerTimeoutMs = 10_000
/** A peer that has not answered by then gets company: the next one is asked as well (Dean and Barroso, 2013). */
const hedgeMs = 1_000

/** Blocks to and from other peers. */
export interface Exchange {
  start(): Promise<void>
  stop(): Promise<void>
  /** Tells peers that asked for this block that it is here now. */
  announce(cid: CID): void
  /**
   * Asks the peers one after the other. What is returned matches the CID.
   *
   * @throws OwmError `not_found` when all of them have answered that they lack it or could not be reached
   */
  fetch(cid: CID, from: readonly PeerId[], signal: AbortSignal): Promise<Uint8Array>
}

const blake3 = hasherOf({ name: 'blake3', code: hashes.blake3, encode: (bytes) => new Uint8Array(blake3Of(bytes)) })

/** What this file uses of Helia's block broker. */
interface Broker {
  announce?(cid: CID): Promise<void>
  createSession?(options: object): { retrieve?(cid: CID, options: { signal: AbortSignal }): Promise<Uint8Array> }
  stop?(): Promise<void>
}

/**
 * Helia's bitswap on the network's own libp2p. The `helia` package itself would bring HTTP gateways, a libp2p with
 * webrtc and 70 MB of memory that an idle peer has no use for; bitswap wants only what `host` gives it.
 */
export function createExchange(libp2p: Libp2p, blocks: Blocks, logger: Logger): Exchange {
  const brokers: Broker[] = []
  const mixins: { start?(host: unknown): Promise<void> | void }[] = []
  const host = {
    status: 'stopped',
    libp2p,
    logger: libp2p.logger,
    metrics: undefined,
    // Bitswap reads by these two alone; it never writes.
    blockstore: {
      has: (cid: CID) => blocks.has(cid),
      get: async function* (cid: CID): AsyncGenerator<Uint8Array> {
        const bytes = await blocks.read(cid)
        if (bytes === undefined) throw new OwmError('not_found', `Block ${cid} is not here.`)
        yield bytes
      },
    },
    // Peers are named by the callers; nothing is looked up.
    routing: {
      findProviders: async function* (): AsyncGenerator<never> {
        yield* []
      },
    },
    getHasher: async (code: number) => {
      if (code !== hashes.blake3) throw new OwmError('unsupported', `No blocks with hash 0x${code.toString(16)}.`)
      return blake3
    },
    addMixin: (mixin: (typeof mixins)[number]) => mixins.push(mixin),
    hasBlockBroker: () => brokers.length > 0,
    addBlockBroker: (broker: Broker) => brokers.push(broker),
  }
  withBitswap(host as unknown as Parameters<typeof withBitswap>[0], {
    // A peer that lost a block may ask again at once.
    doNotResendBlockWindow: 0,
    maxInboundStreams: 128,
    maxOutboundStreams: 128,
    messageSendTimeout: peerTimeoutMs,
    messageReceiveTimeout: peerTimeoutMs,
  })

  const fetchFrom = async (peer: PeerId, cid: CID, signal: AbortSignal): Promise<Uint8Array> => {
    const bounded = withTimeout(peerTimeoutMs, signal)
    await libp2p.dial(peer, { signal: bounded })
    const session = brokers[0]?.createSession?.({ providers: [peer.toCID()], minProviders: 1, maxProviders: 1 })
    if (session?.retrieve === undefined) throw new OwmError('stopped', 'The content store is not started.')
    const bytes = await session.retrieve(cid, { signal: bounded })
    if (!matches(cid, bytes)) throw new OwmError('corrupt', `Peer ${peer} sent other bytes than ${cid}.`)
    // A copy: what bitswap hands out is a Buffer within a larger one.
    return new Uint8Array(bytes)
  }

  return {
    start: async () => {
      host.status = 'starting'
      for (const mixin of mixins) await mixin.start?.(host)
      host.status = 'started'
    },
    stop: async () => {
      host.status = 'stopped'
      for (const broker of brokers.splice(0)) await broker.stop?.()
    },
    announce: (cid) => {
      for (const broker of brokers) {
        Promise.resolve(broker.announce?.(cid)).catch((error) =>
          logger.debug({ cid: cid.toString(), error: errorMessage(error) }, 'could not announce a block'),
        )
      }
    },
    fetch: (cid, from, signal) =>
      hedged(from, hedgeMs, signal, async (peer, inner) => {
        try {
          return await fetchFrom(peer, cid, inner)
        } catch (error) {
          logger.debug({ cid: cid.toString(), peer: peer.toString(), error: errorMessage(error) }, 'no block from peer')
          throw error
        }
      }),
  }
}

/** Tries one after the other, the next as soon as one fails or is late; the first success calls off the rest. */
async function hedged<T, R>(
  candidates: readonly T[],
  lateMs: number,
  signal: AbortSignal,
  attempt: (candidate: T, signal: AbortSignal) => Promise<R>,
): Promise<R> {
  const controller = new AbortController()
  const joined = joinSignals(controller.signal, signal)
  try {
    return await new Promise<R>((resolve, reject) => {
      let next = 0
      let pending = 0
      const onAbort = (): void => reject(signal.reason)
      signal.addEventListener('abort', onAbort, { once: true })
      joined.addEventListener('abort', () => signal.removeEventListener('abort', onAbort), { once: true })
      const tryNext = (): void => {
        const candidate = candidates[next++]
        if (candidate === undefined || joined.aborted) {
          if (pending === 0) reject(new OwmError('not_found', 'No peer that was asked has the block.'))
          return
        }
        pending++
        let moved = false
        const moveOn = (): void => {
          if (!moved) {
            moved = true
            tryNext()
          }
        }
        const timer = setTimeout(moveOn, lateMs)
        attempt(candidate, joined)
          .then(resolve, () => undefined)
          .finally(() => {
            clearTimeout(timer)
            pending--
            if (moved && pending === 0 && next > candidates.length) tryNext()
            else moveOn()
          })
      }
      if (signal.aborted) reject(signal.reason)
      else tryNext()
    })
  } finally {
    controller.abort()
  }
}
