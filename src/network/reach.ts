import type { Connection, PeerId } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { Libp2p } from 'libp2p'
import { errorMessage, OwmError, sleep } from '../lib/index.ts'

/** A peer that has just joined is in nobody's DHT tables yet: it is looked for again after these. */
const lookupPausesMs = [250, 750, 1_500]

/** The connection to a peer, an open one if there is one. A peer whose address nobody knows is looked for a few times. */
export async function dialPatiently(
  libp2p: Libp2p,
  target: PeerId | Multiaddr,
  signal: AbortSignal,
): Promise<Connection> {
  for (let tries = 0; ; tries++) {
    try {
      return await libp2p.dial(target, { signal })
    } catch (error) {
      const pauseMs = lookupPausesMs[tries]
      if (!(error instanceof Error) || error.name !== 'NoValidAddressesError' || pauseMs === undefined) throw error
      await sleep(pauseMs, signal, { unref: true })
    }
  }
}

/** Whatever libp2p throws while it reaches for a peer, as one of our codes; the caller's own abort as it is. */
export function reachError(error: unknown, peer: string, callerSignal: AbortSignal | undefined): unknown {
  if (callerSignal?.aborted) return callerSignal.reason
  for (const inner of innerErrors(error)) if (inner instanceof OwmError) return inner
  const names = innerErrors(error).map((inner) => (inner instanceof Error ? inner.name : ''))
  if (names.includes('UnsupportedProtocolError')) {
    return new OwmError('unsupported', `The peer ${peer} does not speak this protocol.`, { peer }, error)
  }
  if (names[0] === 'TimeoutError' || names[0] === 'AbortError') {
    return new OwmError('timeout', `The peer ${peer} did not answer in time.`, { peer }, error)
  }
  return new OwmError('unreachable', `The peer ${peer} cannot be reached: ${errorMessage(error)}`, { peer }, error)
}

function innerErrors(error: unknown): unknown[] {
  if (error instanceof AggregateError) return [error, ...error.errors.flatMap(innerErrors)]
  if (error instanceof Error && error.cause !== undefined && error.cause !== error) return [error, error.cause]
  return [error]
}
