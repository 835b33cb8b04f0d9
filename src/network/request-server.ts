import type { Connection, PeerId, Stream } from '@libp2p/interface'
import {
  abortable,
  type Clock,
  createRateLimiter,
  decode,
  encode,
  errorCode,
  errorMessage,
  OwmError,
  type Rate,
  RejectedError,
  withTimeout,
} from '../lib/index.ts'
import type { Logger } from '../observability/index.ts'
import { receiveFrame, sendFrame } from './frames.ts'
import type { ProtocolSpec, RequestContext } from './index.ts'
import { errorForRemote } from './request-errors.ts'

/** Of one protocol: requests of one peer that are answered at the same time. More get `capacity_exceeded`. */
export const maxConcurrentPerPeer = 16
/** The same for all peers together. */
const maxConcurrent = 256
/** Of one protocol: what unanswered requests may take of memory, beside room for one of each size. */
export const maxUnansweredBytes = 128 * 1024 * 1024
/** One peer's share of it: it leaves room for others, and for two of the largest requests. */
const peerShare = 1 / 4
/** libp2p itself resets streams beyond this, with no word said: the answer to a flood. */
export const maxInboundStreams = 4 * maxConcurrentPerPeer
/** All peers together may ask so many times as often as one. */
const totalRateFactor = 16
/** dag-cbor of `{ ok: ... }` without the value. */
const okBytes = 4
/** How long a stream may linger once it is answered. */
const closeTimeoutMs = 5_000

export interface RequestServer {
  /** Answers one stream. Never throws. */
  serve(stream: Stream, connection: Connection): Promise<void>
  /** The envelope that answers a request's bytes. Never throws. */
  answer(body: Uint8Array, context: RequestContext): Promise<Uint8Array>
}

export function createRequestServer<Request, Response>(
  components: {
    readonly clock: Clock
    readonly logger: Logger
    readonly stop: AbortSignal
    /** A peer that breaks the protocol's form loses standing. */
    readonly penalise: (peer: PeerId) => void
    readonly onOutcome: (outcome: string, ms: number) => void
  },
  spec: ProtocolSpec<Request, Response>,
  handler: (request: Request, context: RequestContext) => Promise<Response>,
): RequestServer {
  const { clock, logger, stop, penalise, onOutcome } = components
  const perPeer = createRateLimiter(spec.rate, clock)
  const total = createRateLimiter(multiplied(spec.rate, totalRateFactor), clock)
  /** Refusals cost a little too: beyond the same rate again, a stream is reset unread and unanswered. */
  const refusals = createRateLimiter(spec.rate, clock)
  const running = new Map<string, number>()
  let runningTotal = 0
  const unanswered = new Map<string, number>()
  let unansweredTotal = 0
  const maxTotalBytes = Math.max(maxUnansweredBytes, 8 * spec.maxRequestBytes)

  /** Room in memory for what one request sends; all of it is given back at once. */
  const ledger = (peer: string): { reserve(bytes: number): boolean; free(): void } => {
    let reserved = 0
    return {
      reserve: (bytes) => {
        const own = unanswered.get(peer) ?? 0
        if (own + bytes > maxTotalBytes * peerShare || unansweredTotal + bytes > maxTotalBytes) return false
        unanswered.set(peer, own + bytes)
        unansweredTotal += bytes
        reserved += bytes
        return true
      },
      free: () => {
        const left = (unanswered.get(peer) ?? 0) - reserved
        unansweredTotal -= reserved
        reserved = 0
        if (left > 0) unanswered.set(peer, left)
        else unanswered.delete(peer)
      },
    }
  }

  const answer = async (body: Uint8Array, context: RequestContext): Promise<Uint8Array> => {
    const startedMs = performance.now()
    try {
      const request = decode(body, spec.request, spec.maxRequestBytes)
      const response = encode({ ok: await abortable(handler(request, context), context.signal) })
      if (response.byteLength > spec.maxResponseBytes + okBytes) {
        throw new Error(`the answer has ${response.byteLength} bytes, which is over its protocol's limit`)
      }
      onOutcome('ok', performance.now() - startedMs)
      return response
    } catch (error) {
      const visible = errorForRemote(error)
      onOutcome(visible.code, performance.now() - startedMs)
      const fields = { peer: context.from.toString(), protocol: spec.name, code: errorCode(error) }
      if (visible.code === 'internal_error') {
        logger.error({ ...fields, error: errorMessage(error) }, 'a request could not be answered')
      } else logger.debug(fields, 'a request was refused')
      if (error instanceof RejectedError && error.fault === 'reject') penalise(context.from)
      return encode({ error: visible })
    }
  }

  const admit = (peer: string): OwmError | 'reset' | undefined => {
    if (!perPeer.take(peer) || !total.take('')) {
      return refusals.take(peer) ? new OwmError('rate_limited', `Too many ${spec.name} requests; slow down.`) : 'reset'
    }
    if ((running.get(peer) ?? 0) >= maxConcurrentPerPeer || runningTotal >= maxConcurrent) {
      return new OwmError('capacity_exceeded', `Too many ${spec.name} requests at once; wait for some to end.`)
    }
    return undefined
  }

  /** Takes a place among those answered; returns the way to give it back, once. */
  const occupy = (peer: string): (() => void) => {
    let held = true
    running.set(peer, (running.get(peer) ?? 0) + 1)
    runningTotal++
    return () => {
      if (!held) return
      held = false
      runningTotal--
      const left = (running.get(peer) ?? 1) - 1
      if (left === 0) running.delete(peer)
      else running.set(peer, left)
    }
  }

  const serve = async (stream: Stream, connection: Connection): Promise<void> => {
    const from = connection.remotePeer
    const peer = from.toString()
    const refusal = admit(peer)
    if (refusal === 'reset') {
      onOutcome('rate_limited', 0)
      stream.abort(new OwmError('rate_limited', 'too many requests'))
      return
    }
    const gone = new AbortController()
    const onClose = (): void => gone.abort(new OwmError('aborted', 'The peer closed the stream.'))
    stream.addEventListener('close', onClose)
    const signal = withTimeout(spec.timeoutMs, stop, gone.signal)
    const { reserve, free } = ledger(peer)
    const leave = refusal === undefined ? occupy(peer) : (): void => undefined
    const release = (): void => {
      leave()
      free()
    }
    let noRoom = false
    try {
      const received = receiveFrame(stream, {
        maxBytes: spec.maxRequestBytes,
        reserve: (bytes) => {
          noRoom = !reserve(bytes)
          return !noRoom
        },
        onTrailing: () => {
          // What a refused peer still sends is dropped as it comes; its own limit ends it.
          if (refusal !== undefined || noRoom) return
          penalise(from)
          stream.abort(new RejectedError('reject', 'malformed', 'Bytes behind the request.'))
        },
      })
      let envelope: Uint8Array
      if (refusal !== undefined) {
        received.catch(() => undefined)
        onOutcome(refusal.code, 0)
        envelope = encode({ error: errorForRemote(refusal) })
      } else envelope = await receiveAndAnswer(received, { from, signal })
      await sendFrame(stream, envelope, signal)
      release()
      await stream.close({ signal: withTimeout(closeTimeoutMs, stop) })
      await closed(stream, withTimeout(closeTimeoutMs, stop))
    } catch (error) {
      logger.debug({ peer, protocol: spec.name, code: errorCode(error) }, 'a stream ended before its answer was sent')
      stream.abort(error instanceof Error ? error : new Error(String(error)))
    } finally {
      stream.removeEventListener('close', onClose)
      release()
    }
  }

  /** A frame that is too long or no frame is still answered, so that an honest peer learns what was wrong. */
  const receiveAndAnswer = async (received: Promise<Uint8Array>, context: RequestContext): Promise<Uint8Array> => {
    try {
      return await answer(await abortable(received, context.signal), context)
    } catch (error) {
      if (!(error instanceof RejectedError) && errorCode(error) !== 'capacity_exceeded') throw error
      if (error instanceof RejectedError) penalise(context.from)
      onOutcome(errorCode(error), 0)
      return encode({ error: errorForRemote(error) })
    }
  }

  return { serve, answer }
}

/** The other side closes too once it has read; one that does not is cut off. */
function closed(stream: Stream, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (stream.status !== 'open' && stream.status !== 'closing') return resolve()
    stream.addEventListener('close', () => resolve(), { once: true })
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  })
}

function multiplied(rate: Rate, factor: number): Rate {
  return { perSecond: rate.perSecond * factor, burst: rate.burst * factor }
}
