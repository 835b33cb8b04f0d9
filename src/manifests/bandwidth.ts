import { randomBytes } from 'node:crypto'
import type { PeerId } from '@libp2p/interface'
import { z } from 'zod'
import { type Clock, OwmError, withTimeout } from '../lib/index.ts'
import type { Network, ProtocolSpec } from '../network/index.ts'

/** One message; larger ones gain no precision. */
const maxChunkBytes = 1024 * 1024
/** The first tells the order of magnitude: half a second at 256 kbit/s. */
const firstChunkBytes = 16 * 1024
/** A direction moves at most so much, and for at most so long: a measurement must not be felt. */
const maxBytesPerDirection = 4 * 1024 * 1024
const maxMsPerDirection = 2000
/** A chunk is made so large that it should take this long. */
const chunkMs = 400
/** Faster than any link that a peer has; what is over is a clock that stood still. */
const maxBitsPerSecond = 100e9
/** After so long without a chunk, whoever was measuring has finished or gone. */
const leaseMs = 3000

const requestSchema = z.strictObject({
  payload: z.instanceof(Uint8Array),
  /** How many bytes to send back. */
  want: z.int().min(0).max(maxChunkBytes),
})
const responseSchema = z.strictObject({
  payload: z.instanceof(Uint8Array),
  /** How many bytes came. */
  received: z.int().min(0).max(maxChunkBytes),
})
type Request = z.infer<typeof requestSchema>
type Response = z.infer<typeof responseSchema>

export const bandwidthProtocol: ProtocolSpec<Request, Response> = {
  name: 'bandwidth',
  version: '1.0.0',
  request: requestSchema,
  response: responseSchema,
  maxRequestBytes: maxChunkBytes + 64,
  maxResponseBytes: maxChunkBytes + 64,
  timeoutMs: 5000,
  // One measurement is a probe and up to 16 chunks; another one can follow in six minutes.
  rate: { perSecond: 0.05, burst: 20 },
}

export interface Bandwidth {
  /** From here to the other peer. 0 when it could not be told. */
  readonly upBitsPerSecond: number
  readonly downBitsPerSecond: number
}

/** Lets connected peers measure: one at a time, others get `busy`; none over a relay, which carries it for strangers. */
export function serveBandwidth(network: Pick<Network, 'handle' | 'peers'>, clock: Clock): void {
  let lease = { holder: '', untilMs: Number.NEGATIVE_INFINITY }
  const filler = randomBytes(maxChunkBytes)
  network.handle(bandwidthProtocol, async ({ payload, want }, { from }) => {
    const holder = from.toString()
    const nowMs = clock.now()
    if (lease.holder !== holder && lease.untilMs > nowMs) throw new OwmError('busy', 'Another peer is measuring.')
    if (!hasDirectConnection(network, from)) throw new OwmError('relayed', 'Not measured over a relay.')
    lease = { holder, untilMs: nowMs + leaseMs }
    return { payload: filler.subarray(0, want), received: payload.byteLength }
  })
}

/**
 * Measures both directions to a connected peer by moving random bytes: at most 4 MiB and 2 s each way. The figure is
 * that of the link at this moment, with the rest of the traffic on it, so it is a lower bound of what the peer has.
 *
 * @throws OwmError `relayed`, `unreachable`, `busy`, `bad_answer`, and what `network.request` throws
 */
export async function measureBandwidth(
  network: Pick<Network, 'request' | 'peers'>,
  peer: PeerId,
  signal: AbortSignal,
): Promise<Bandwidth> {
  if (!network.peers().some(({ id }) => id.equals(peer))) {
    throw new OwmError('unreachable', 'Bandwidth is measured to connected peers only.')
  }
  if (!hasDirectConnection(network, peer)) throw new OwmError('relayed', 'Bandwidth is not measured over a relay.')

  const exchange = async (request: Request, bounded: AbortSignal): Promise<number> => {
    const startedMs = performance.now()
    const answer = await network.request(peer, bandwidthProtocol, request, { signal: bounded })
    const tookMs = performance.now() - startedMs
    if (answer.payload.byteLength !== request.want || answer.received !== request.payload.byteLength) {
      throw new OwmError('bad_answer', 'The peer did not move the bytes that it was asked to.')
    }
    return tookMs
  }
  const nothing = new Uint8Array(0)
  const roundTripMs = await exchange({ payload: nothing, want: 0 }, withTimeout(maxMsPerDirection, signal))
  const filler = randomBytes(maxChunkBytes)
  const down = (bytes: number): Request => ({ payload: nothing, want: bytes })
  const up = (bytes: number): Request => ({ payload: filler.subarray(0, bytes), want: 0 })
  return {
    downBitsPerSecond: await measureDirection((bytes, bounded) => exchange(down(bytes), bounded), roundTripMs, signal),
    upBitsPerSecond: await measureDirection((bytes, bounded) => exchange(up(bytes), bounded), roundTripMs, signal),
  }
}

/** Chunks grow towards `chunkMs` each; the best one counts, since all that disturbs a chunk makes it slower. */
async function measureDirection(
  move: (bytes: number, signal: AbortSignal) => Promise<number>,
  roundTripMs: number,
  signal: AbortSignal,
): Promise<number> {
  const endsMs = performance.now() + maxMsPerDirection
  const bounded = withTimeout(maxMsPerDirection, signal)
  let best = 0
  let bytes = firstChunkBytes
  for (let moved = 0; moved < maxBytesPerDirection && performance.now() < endsMs - chunkMs; moved += bytes) {
    let tookMs: number
    try {
      tookMs = await move(bytes, bounded)
    } catch (error) {
      // Out of time: what was measured before stands, or the link is too slow to tell.
      if (bounded.aborted && !signal.aborted) return best
      throw error
    }
    best = Math.max(best, bitsPerSecond(bytes, tookMs, roundTripMs))
    const next = Math.floor((best / 8) * (chunkMs / 1000))
    bytes = Math.min(maxChunkBytes, Math.max(firstChunkBytes, next), maxBytesPerDirection - moved)
  }
  return best
}

/** The wait for the first byte is not transfer; but a chunk that came in one round trip tells no more than that. */
export function bitsPerSecond(bytes: number, tookMs: number, roundTripMs: number): number {
  const transferMs = Math.max(tookMs - roundTripMs, tookMs / 2)
  return transferMs <= 0 ? 0 : Math.round(Math.min(maxBitsPerSecond, (bytes * 8 * 1000) / transferMs))
}

/** Requests take the best connection; one that is not relayed is preferred by libp2p. */
export function hasDirectConnection(network: Pick<Network, 'peers'>, peer: PeerId): boolean {
  return network.peers().some(({ id, relayed }) => !relayed && id.equals(peer))
}
