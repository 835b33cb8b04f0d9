import { abortable, type Clock, errorCode, OwmError, withTimeout } from '../lib/index.ts'
import type { Logger } from '../observability/index.ts'

/** Changes that come in one stroke go out as one manifest. */
export const debounceMs = 50
/**
 * Half the rate at which receivers begin to ignore an author, and a smaller burst, so that no change of ours is lost
 * on the way.
 */
export const minGapMs = 4000
const burst = 3
/** Peers that started together must not announce together for ever. */
const jitter = 0.1
/** Describing the machine and publishing take milliseconds; what hangs must not stop the heartbeat. */
const announceTimeoutMs = 5000

/** Says when: each interval with jitter, and on demand, where demands that come close together become one. */
export interface Announcer {
  start(): void
  /** As soon as the rate allows, together with the others that wait. Settles when it is out. */
  announce(): Promise<void>
  /** Announces soon, without anybody waiting for it. */
  soon(): void
  /** Calls off what waits and waits for what is under way. */
  stop(): Promise<void>
}

export function createAnnouncer(
  { clock, logger }: { readonly clock: Clock; readonly logger: Logger },
  init: { readonly intervalMs: number; send(signal: AbortSignal): Promise<void> },
): Announcer {
  let closing = new AbortController()
  let running = false
  /** Generic cell rate algorithm: when the next announcement would be exactly on time. */
  let dueMs = 0
  let waiting: { readonly done: Promise<void>; readonly callOff: () => void } | undefined
  let underWay: Promise<void> = Promise.resolve()
  let callOffNext = (): void => undefined

  const scheduleNext = (): void => {
    callOffNext()
    const delayMs = init.intervalMs * (1 - jitter + 2 * jitter * Math.random())
    callOffNext = clock.after(delayMs, () => announceQuietly())
  }
  const send = (): Promise<void> => {
    dueMs = Math.min(Math.max(dueMs, clock.now()), clock.now() + burst * minGapMs) + minGapMs
    scheduleNext()
    const { signal } = closing
    underWay = underWay
      .catch(() => undefined)
      .then(async () => {
        const bounded = withTimeout(announceTimeoutMs, signal)
        await abortable(init.send(bounded), bounded)
      })
    return underWay
  }
  const announce = (): Promise<void> => {
    if (!running) return Promise.reject(new OwmError('not_running', 'Manifests are announced by a running peer only.'))
    if (waiting !== undefined) return waiting.done
    // A clock that was set back must not silence the peer.
    const quietMs = Math.min(minGapMs, dueMs - (burst - 1) * minGapMs - clock.now())
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const { signal } = closing
    const onAbort = (): void => reject(signal.reason)
    const callOffTimer = clock.after(Math.max(debounceMs, quietMs), () => {
      signal.removeEventListener('abort', onAbort)
      waiting = undefined
      send().then(resolve, reject)
    })
    signal.addEventListener('abort', onAbort, { once: true })
    waiting = { done: promise, callOff: callOffTimer }
    return promise
  }
  const announceQuietly = (): void => {
    announce().catch((error) => {
      if (!running) return
      logger.warn({ code: errorCode(error) }, 'this peer could not be announced; trying again at the next interval')
      scheduleNext()
    })
  }

  return {
    start: () => {
      if (running) return
      running = true
      closing = new AbortController()
      announceQuietly()
    },
    announce,
    soon: announceQuietly,
    stop: async () => {
      if (!running) return
      running = false
      callOffNext()
      waiting?.callOff()
      waiting = undefined
      closing.abort(new OwmError('stopping', 'The peer is stopping.'))
      await underWay.catch(() => undefined)
    },
  }
}
