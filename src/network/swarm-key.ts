import { createHmac, timingSafeEqual } from 'node:crypto'
import type { AbortOptions, ConnectionProtector, MessageStream, MultiaddrConnection } from '@libp2p/interface'
import { byteStream } from '@libp2p/utils'
import { type Clock, createRateLimiter, OwmError, withTimeout } from '../lib/index.ts'
import type { Logger } from '../observability/index.ts'
import { sealUnderSwarmKey } from './swarm-stream.ts'

/** protocols/mesh, "Key confirmation". */
const tagBytes = 32
const tagDomain = 'owm:mesh/key-confirmation/1'
/** Two flights of a few bytes; a peer on a bad line has answered by then, a peer that never will is not waited for. */
const confirmationTimeoutMs = 5_000
/** How long the own tag may take to leave before a connection with a wrong key is torn down. */
const lingerMs = 1_000
/** One line per remote address and minute: a stranger who keeps dialling must not fill the log. */
const logRate = { perSecond: 1 / 60, burst: 1 }

/**
 * A stream cipher under a shared key tells nobody of a wrong key: both sides read noise until something times out. Here
 * both sides first send, through the cipher, a tag that only a holder of the key for this mesh can make, so that each
 * knows at once, and says, what is wrong.
 */
export function swarmKeyProtector(options: {
  readonly meshId: string
  readonly swarmKey: Uint8Array
  readonly logger: Logger
  readonly clock: Clock
  readonly onRefused: () => void
}): () => ConnectionProtector {
  const { meshId, swarmKey, logger, clock, onRefused } = options
  const limiter = createRateLimiter(logRate, clock)
  const tags = {
    outbound: confirmationTag(swarmKey, meshId, 'outbound'),
    inbound: confirmationTag(swarmKey, meshId, 'inbound'),
  }
  const refuse = (address: string, message: string): OwmError => {
    onRefused()
    // Ports of inbound connections change each time; the host does not.
    if (limiter.take(address.split('/').slice(0, 3).join('/'))) {
      logger.warn({ code: 'wrong_swarm_key', address, mesh: meshId }, message)
    }
    return new OwmError('wrong_swarm_key', message, { address })
  }

  return () => {
    return {
      [Symbol.toStringTag]: 'owm-swarm-key',
      async protect(connection: MessageStream, given?: AbortOptions): Promise<MessageStream> {
        const raw = connection as MultiaddrConnection
        const address = raw.remoteAddr.toString()
        const signal = withTimeout(confirmationTimeoutMs, given?.signal)
        const remoteSide = raw.direction === 'outbound' ? 'inbound' : 'outbound'
        let tag: Uint8Array
        let box: MessageStream
        try {
          box = await sealUnderSwarmKey(raw, swarmKey, meshId, { signal })
          const bytes = byteStream(box)
          const [read] = await Promise.all([
            bytes.read({ bytes: tagBytes, signal }),
            bytes.write(tags[raw.direction], { signal }),
          ])
          tag = read.subarray()
          bytes.unwrap()
        } catch (cause) {
          if (given?.signal?.aborted) throw cause
          throw refuse(
            address,
            `The peer at ${address} did not confirm the swarm key of this mesh: it closed the connection or kept silent. It has no swarm key, another version, or a bad line.`,
          )
        }
        if (timingSafeEqual(tag, tags[remoteSide])) return box
        // The other side must get our tag to learn the same; a reset at once could overtake it.
        await box.close({ signal: AbortSignal.timeout(lingerMs) }).catch(() => undefined)
        throw refuse(address, `The peer at ${address} has another swarm key: it is not in this mesh and was refused.`)
      },
    }
  }
}

/** HMAC rather than a plain hash: a tag must tell nothing of the key. The direction stops a tag from being sent back. */
export function confirmationTag(swarmKey: Uint8Array, meshId: string, side: 'outbound' | 'inbound'): Uint8Array {
  const message = new TextEncoder().encode(`${tagDomain}\0${meshId}\0${side}`)
  return new Uint8Array(createHmac('sha256', swarmKey).update(message).digest())
}
