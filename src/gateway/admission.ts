import { OwmError } from '../lib/index.ts'
import type { GatewayLimits } from './limits.ts'

/** A bounded queue in front of the generator: first come, first served, and nobody takes all of it. */
export interface Admission {
  /**
   * Waits for a turn; the returned function gives it back, and may be called twice.
   *
   * @throws OwmError `capacity_exceeded`, `too_many_requests`, or the signal's reason
   */
  enter(client: string, signal: AbortSignal): Promise<() => void>
  readonly running: number
  readonly waiting: number
  /** Resolves when nobody runs or waits. */
  idle(): Promise<void>
}

interface Waiter {
  admit(): void
}

export function createAdmission(limits: Pick<GatewayLimits, 'maxRunning' | 'maxWaiting' | 'maxPerClient'>): Admission {
  const waiters = new Set<Waiter>()
  const perClient = new Map<string, number>()
  const idlers = new Set<() => void>()
  let running = 0

  const leave = (client: string): void => {
    const left = (perClient.get(client) ?? 1) - 1
    if (left > 0) perClient.set(client, left)
    else perClient.delete(client)
    if (perClient.size > 0) return
    for (const idler of idlers) idler()
    idlers.clear()
  }
  const releaser = (client: string): (() => void) => {
    let released = false
    return () => {
      if (released) return
      released = true
      running--
      leave(client)
      const [next] = waiters
      next?.admit()
    }
  }

  return {
    get running() {
      return running
    },
    get waiting() {
      return waiters.size
    },
    idle: () =>
      perClient.size === 0 ? Promise.resolve() : new Promise<void>((resolve) => void idlers.add(() => resolve())),
    enter: async (client, signal) => {
      signal.throwIfAborted()
      const mine = perClient.get(client) ?? 0
      if (mine >= limits.maxPerClient) {
        throw new OwmError('too_many_requests', `You have ${mine} questions under way; wait for one to end.`)
      }
      if (running >= limits.maxRunning && waiters.size >= limits.maxWaiting) {
        throw new OwmError('capacity_exceeded', 'This peer is answering as many questions as it can; try again soon.')
      }
      perClient.set(client, mine + 1)
      if (running < limits.maxRunning) {
        running++
        return releaser(client)
      }
      return new Promise((resolve, reject) => {
        const waiter: Waiter = {
          admit: () => {
            waiters.delete(waiter)
            signal.removeEventListener('abort', onAbort)
            running++
            resolve(releaser(client))
          },
        }
        const onAbort = (): void => {
          waiters.delete(waiter)
          leave(client)
          reject(signal.reason)
        }
        signal.addEventListener('abort', onAbort, { once: true })
        waiters.add(waiter)
      })
    },
  }
}
