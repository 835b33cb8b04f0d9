import { abortable, OwmError } from '../lib/index.ts'
import type { Logger } from '../observability/index.ts'
import { startWorker } from '../onnx/index.ts'
import { checkOptimizer } from './description.ts'
import type { ExampleShape, OfferedData, Trainer, TrainProgress } from './index.ts'
import type { OptimizerPlan } from './optimizer.ts'
import type { EvaluateJob, Opened, OpenJob } from './trainer-worker.ts'

export interface TrainerComponents {
  readonly logger: Logger
}
export interface TrainerInit extends ExampleShape {
  /** The ONNX forward graph. */
  readonly graph: Uint8Array
  readonly data: OfferedData
  readonly optimizer: OptimizerPlan
  /** Examples that a step sees. */
  readonly batch: number
  /** Decides in which order examples are seen. */
  readonly seed: number
  /** Threads of the runtime; 1 unless the machine is idle otherwise. */
  readonly threads?: number
}

/** Jobs that may wait for the one under way. */
const maxWaiting = 8

/**
 * Starts a worker thread, opens the data and compiles the training step in it.
 *
 * @throws OwmError `bad_optimizer`, `no_training_data`, `data_does_not_fit`, `malformed_model`, `unsupported_model`, `no_gradient`, `runtime_failed`
 */
export async function createTrainer({ logger }: TrainerComponents, init: TrainerInit): Promise<Trainer> {
  checkOptimizer(init.optimizer)
  const worker = startWorker(new URL('./trainer-worker.ts', import.meta.url), { name: 'trainer', logger })
  let opened: Opened
  try {
    opened = await worker.call<Opened>('open', { threads: 1, ...init } satisfies OpenJob)
  } catch (error) {
    await worker.stop()
    throw error
  }
  const { layout, about, examples, skipped } = opened
  logger.info({ about, examples, skipped, parameters: layout.length }, 'training data opened')

  let last: Promise<unknown> = Promise.resolve()
  let waiting = 0
  const inTurn = async <T>(signal: AbortSignal | undefined, job: () => Promise<T>): Promise<T> => {
    if (waiting >= maxWaiting) throw new OwmError('capacity_exceeded', `${waiting} jobs wait for the trainer.`)
    const before = last
    const { promise, resolve } = Promise.withResolvers<void>()
    last = before.then(() => promise)
    waiting++
    try {
      await (signal === undefined ? before : abortable(before, signal))
    } catch (cause) {
      resolve()
      throw new OwmError('aborted', 'The job was called off.', {}, cause)
    } finally {
      waiting--
    }
    try {
      return await job()
    } finally {
      resolve()
    }
  }
  const wrongLength = (parameters: Float32Array): void => {
    if (parameters.length === layout.length) return
    throw new OwmError('wrong_length', `${parameters.length} parameters for a model of ${layout.length}.`)
  }

  return {
    layout,
    about,
    train: ({ signal, onProgress, ...job }) =>
      inTurn(signal, () => {
        wrongLength(job.parameters)
        return worker.call('train', job, {
          signal,
          onEvent: (progress) => onProgress?.(progress as TrainProgress),
        })
      }),
    evaluate: (parameters, heldOut, signal) =>
      inTurn(signal, () => {
        wrongLength(parameters)
        if (heldOut.length < 2) throw new OwmError('text_too_short', 'Two bytes are the least that can be measured.')
        return worker.call('evaluate', { parameters, heldOut } satisfies EvaluateJob, { signal })
      }),
    stop: () => worker.stop(),
  }
}
