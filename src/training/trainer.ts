import { abortable, OwmError } from '../lib/index.ts'
import type { Logger } from '../observability/index.ts'
import { startWorker } from '../onnx/index.ts'
import { checkModel, checkOptimizer } from './description.ts'
import type { ModelDescription, OptimizerSpec, TextSource, Trainer, TrainProgress } from './index.ts'
import type { EvaluateJob, Opened, OpenJob } from './trainer-worker.ts'

export interface TrainerComponents {
  readonly logger: Logger
}
export interface TrainerInit {
  /** The ONNX forward graph. */
  readonly graph: Uint8Array
  readonly model: ModelDescription
  readonly data: TextSource
  readonly optimizer: OptimizerSpec
  /** Decides which windows of the text are seen, in which order. */
  readonly seed: number
  /** Threads of the runtime; 1 unless the machine is idle otherwise. */
  readonly threads?: number
}

/** Jobs that may wait for the one under way. */
const maxWaiting = 8

/**
 * Starts a worker thread, reads the text and compiles the training step in it.
 *
 * @throws OwmError `bad_model`, `bad_optimizer`, `no_training_data`, `malformed_model`, `unsupported_model`, `no_gradient`, `runtime_failed`
 */
export async function createTrainer({ logger }: TrainerComponents, init: TrainerInit): Promise<Trainer> {
  checkModel(init.model)
  checkOptimizer(init.optimizer)
  const worker = startWorker(new URL('./trainer-worker.ts', import.meta.url), { name: 'trainer', logger })
  let opened: Opened
  try {
    opened = await worker.call<Opened>('open', { threads: 1, ...init } satisfies OpenJob)
  } catch (error) {
    await worker.stop()
    throw error
  }
  const { layout, dataBytes, files, skipped } = opened
  logger.info({ files, dataBytes, skipped, parameters: layout.length }, 'training data read')

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
    dataBytes,
    train: ({ signal, onProgress, ...job }) =>
      inTurn(signal, () => {
        wrongLength(job.parameters)
        return worker.call('train', job, {
          signal,
          onEvent: (progress) => onProgress?.(progress as TrainProgress),
        })
      }),
    evaluate: (parameters, text, signal) =>
      inTurn(signal, () => {
        wrongLength(parameters)
        if (text.length < 2) throw new OwmError('text_too_short', 'Two bytes are the least that can be measured.')
        return worker.call('evaluate', { parameters, text } satisfies EvaluateJob, { signal })
      }),
    stop: () => worker.stop(),
  }
}
