/**
 * A worker thread that answers calls. The thread blocks while a session runs; this side never does.
 *
 * A thread is never terminated within a session's run: the runtime would end the whole process (an N-API call in an
 * environment that is being torn down aborts). So `stop` asks the thread to end itself, and when the process exits on
 * its own, it waits for the run under way first.
 */
import { type Transferable, Worker } from 'node:worker_threads'
import { OwmError } from '../lib/index.ts'
import type { Logger } from '../observability/index.ts'
import { type FromWorker, runningCell, stoppingCell, type ToWorker } from './worker-server.ts'

export interface CallOptions {
  readonly transfer?: readonly Transferable[]
  readonly onEvent?: (event: unknown) => void
  /** Asks the worker to give up; the call rejects with `aborted` once it has. */
  readonly signal?: AbortSignal | undefined
}
export interface WorkerClient {
  /** @throws OwmError with the worker's code, `aborted`, `worker_stopped`, `worker_failed` */
  call<T>(verb: string, payload: unknown, options?: CallOptions): Promise<T>
  /** Ends running calls, frees what the worker holds and waits for its end. */
  stop(): Promise<void>
}

/** A run under way is awaited; no single run takes longer than a few seconds. */
const stopTimeoutMs = 10_000
const exitTimeoutMs = 5_000

interface Pending {
  readonly resolve: (value: unknown) => void
  readonly reject: (error: unknown) => void
  readonly onEvent: ((event: unknown) => void) | undefined
}

export function startWorker(
  file: URL,
  { name, logger }: { readonly name: string; readonly logger: Logger },
): WorkerClient {
  const cells = new Int32Array(new SharedArrayBuffer(8))
  const worker = new Worker(file, { name, workerData: { cells }, execArgv: [] })
  const pending = new Map<number, Pending>()
  let lastId = 0
  let ended: OwmError | undefined
  let stopping: Promise<void> | undefined

  const post = (message: ToWorker, transfer: readonly Transferable[] = []): void =>
    worker.postMessage(message, transfer)
  const settle = (id: number): Pending | undefined => {
    const call = pending.get(id)
    pending.delete(id)
    // An idle thread does not keep the process alive.
    if (pending.size === 0 && stopping === undefined) worker.unref()
    return call
  }
  const onExit = (): void => {
    Atomics.store(cells, stoppingCell, 1)
    const lateMs = performance.now() + exitTimeoutMs
    while (performance.now() < lateMs) {
      const runs = Atomics.load(cells, runningCell)
      if (runs === 0) return
      Atomics.wait(cells, runningCell, runs, exitTimeoutMs)
    }
  }
  const end = (error: OwmError): void => {
    ended ??= error
    for (const id of [...pending.keys()]) settle(id)?.reject(ended)
  }
  process.on('exit', onExit)
  worker.unref()
  worker.on('message', (message: FromWorker) => {
    if (message.kind === 'event') pending.get(message.id)?.onEvent?.(message.event)
    else if (message.kind === 'result') settle(message.id)?.resolve(message.value)
    else settle(message.id)?.reject(new OwmError(message.code, message.message, message.details))
  })
  worker.on('error', (error) => {
    logger.error({ worker: name, error }, 'a worker thread failed')
    end(new OwmError('worker_failed', `The worker ${name} failed: ${String(error)}`))
  })
  const exited = new Promise<void>((resolve) => {
    worker.once('exit', () => {
      process.off('exit', onExit)
      end(new OwmError('worker_stopped', `The worker ${name} has ended.`))
      resolve()
    })
  })

  return {
    call: <T>(verb: string, payload: unknown, { transfer, onEvent, signal }: CallOptions = {}): Promise<T> => {
      if (signal?.aborted) return Promise.reject(new OwmError('aborted', `${verb} was called off.`, {}, signal.reason))
      if (stopping !== undefined) ended ??= new OwmError('worker_stopped', `The worker ${name} is stopped.`)
      if (ended !== undefined) return Promise.reject(ended)
      const id = ++lastId
      const { promise, resolve, reject } = Promise.withResolvers<unknown>()
      pending.set(id, { resolve, reject, onEvent })
      worker.ref()
      post({ kind: 'call', id, verb, payload }, transfer)
      const cancel = (): void => post({ kind: 'cancel', id })
      signal?.addEventListener('abort', cancel, { once: true })
      return promise.finally(() => signal?.removeEventListener('abort', cancel)) as Promise<T>
    },
    stop: () => {
      stopping ??= (async () => {
        worker.ref()
        Atomics.store(cells, stoppingCell, 1)
        post({ kind: 'stop' })
        let timer: NodeJS.Timeout | undefined
        const late = new Promise<'late'>((resolve) => {
          timer = setTimeout(() => resolve('late'), stopTimeoutMs)
        })
        const outcome = await Promise.race([exited, late])
        clearTimeout(timer)
        if (outcome !== 'late') return
        logger.error({ worker: name }, 'a worker thread did not end in time')
        end(new OwmError('worker_stopped', `The worker ${name} is stopped.`))
        // Only a thread that is not within a run can be ended from outside.
        if (Atomics.load(cells, runningCell) === 0) await worker.terminate()
        else worker.unref()
      })()
      return stopping
    },
  }
}
