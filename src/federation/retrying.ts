import { type Clock, errorCode, errorMessage } from '../lib/index.ts'
import type { Logger } from '../observability/index.ts'

/** Work that failed for a reason that may pass. */
const retryMs = { first: 1_000, most: 15_000 }

/** Does the work until it succeeds or `over` aborts, waiting longer each time. */
export async function retrying(
  clock: Clock,
  logger: Logger,
  over: AbortSignal,
  what: string,
  work: () => Promise<void>,
): Promise<void> {
  for (let waitMs = retryMs.first; !over.aborted; waitMs = Math.min(retryMs.most, waitMs * 2)) {
    try {
      await work()
      return
    } catch (error) {
      if (over.aborted) return
      logger.warn({ what, code: errorCode(error), error: errorMessage(error) }, 'failed; it is tried again')
    }
    await new Promise<void>((resolve) => {
      const onAbort = (): void => {
        callOff()
        resolve()
      }
      const callOff = clock.after(waitMs, () => {
        over.removeEventListener('abort', onAbort)
        resolve()
      })
      over.addEventListener('abort', onAbort, { once: true })
    })
  }
}
