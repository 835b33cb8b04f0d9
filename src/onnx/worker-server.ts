/** The thread's side of `worker-client.ts`: answers calls, passes on cancelling, and ends itself when asked. */
import { parentPort, type Transferable, workerData } from 'node:worker_threads'
import { errorCode, errorMessage, OwmError } from '../lib/index.ts'

export type ToWorker =
  | { readonly kind: 'call'; readonly id: number; readonly verb: string; readonly payload: unknown }
  | { readonly kind: 'cancel'; readonly id: number }
  | { readonly kind: 'stop' }
export type FromWorker =
  | { readonly kind: 'event'; readonly id: number; readonly event: unknown }
  | { readonly kind: 'result'; readonly id: number; readonly value: unknown }
  | {
      readonly kind: 'error'
      readonly id: number
      readonly code: string
      readonly message: string
      readonly details: Readonly<Record<string, unknown>>
    }

export interface CallContext {
  /** Aborted when the caller gives up or the worker is to stop. Look at it between runs. */
  readonly signal: AbortSignal
  emit(event: unknown): void
}
export interface Reply {
  readonly value: unknown
  /** Buffers that are handed over, not copied. */
  readonly transfer?: readonly Transferable[]
}
export type Verbs = Readonly<Record<string, (payload: never, context: CallContext) => Promise<Reply> | Reply>>

/** Answers calls until it is told to stop; then `release` frees what the verbs hold. */
export function serveWorker(verbs: Verbs, release: () => Promise<void> | void = () => undefined): void {
  const port = parentPort
  if (port === null) throw new Error('This file is the start of a worker thread.')
  const running = new Map<number, { readonly controller: AbortController; readonly done: Promise<void> }>()
  const post = (message: FromWorker, transfer: readonly Transferable[] = []): void =>
    port.postMessage(message, transfer)

  const answer = async (id: number, verb: string, payload: unknown, signal: AbortSignal): Promise<void> => {
    try {
      const handler = verbs[verb]
      if (handler === undefined) throw new OwmError('not_found', `The worker has no verb ${verb}.`)
      const emit = (event: unknown): void => post({ kind: 'event', id, event })
      const { value, transfer } = await handler(payload as never, { signal, emit })
      post({ kind: 'result', id, value }, transfer)
    } catch (error) {
      const stopped = Atomics.load(cells, stoppingCell) === 1
      if (stopped) post({ kind: 'error', id, code: 'worker_stopped', message: 'The worker is stopped.', details: {} })
      else if (signal.aborted) {
        post({ kind: 'error', id, code: 'aborted', message: `${verb} was called off.`, details: {} })
      } else {
        const details = error instanceof OwmError ? error.details : {}
        post({ kind: 'error', id, code: errorCode(error), message: errorMessage(error), details })
      }
    } finally {
      running.delete(id)
    }
  }
  port.on('message', (message: ToWorker) => {
    switch (message.kind) {
      case 'call': {
        const controller = new AbortController()
        const done = answer(message.id, message.verb, message.payload, controller.signal)
        running.set(message.id, { controller, done })
        break
      }
      case 'cancel':
        running.get(message.id)?.controller.abort()
        break
      case 'stop':
        for (const { controller } of running.values()) controller.abort()
        void Promise.allSettled([...running.values()].map(({ done }) => done))
          .then(() => release())
          .finally(() => port.close())
    }
  })
}

/** Cells shared with the client: 1 when no further run may start; how many runs are under way. */
export const stoppingCell = 0
export const runningCell = 1

/** A thread that nobody started this way has its own. */
export const cells: Int32Array =
  (workerData as { readonly cells?: Int32Array } | null)?.cells ?? new Int32Array(new SharedArrayBuffer(8))
