import { randomInt } from 'node:crypto'
import { z } from 'zod'
import { OwmError } from '../lib/index.ts'
import type { Logger } from '../observability/index.ts'
import { startWorker, type WorkerClient } from '../onnx/index.ts'
import type { GenerateOptions, LoadedModel } from './index.ts'
import type { GenerateJob, LoadJob } from './model-worker.ts'

export interface LoadInit {
  /** The ONNX forward graph: `tokens` int32 [batch, sequence] -> `logits` [batch, sequence, vocabulary]. */
  readonly graph: Uint8Array
  readonly parameters: Float32Array
  readonly model: { readonly context: number; readonly vocabulary: number }
}

/** Each waits for all the others' turns: beyond this a caller is better served elsewhere. */
const maxGenerations = 16
const maxTokensAtOnce = 16_384

const optionsSchema = z.object({
  maxTokens: z.int().min(1).max(maxTokensAtOnce),
  temperature: z.number().min(0).max(100),
  topK: z.int().min(1).optional(),
  topP: z.number().gt(0).max(1).optional(),
  seed: z.int().optional(),
  stop: z
    .array(z.instanceof(Uint8Array).refine(({ length }) => length > 0 && length <= 1024))
    .max(16)
    .optional(),
})

/**
 * Loads a model into a worker thread.
 *
 * @throws OwmError `malformed_model`, `unsupported_model`, `bad_graph`, `oversized`, `wrong_length`, `runtime_failed`
 */
export async function loadModel({ logger }: { readonly logger: Logger }, init: LoadInit): Promise<LoadedModel> {
  const { context, vocabulary } = init.model
  // A token is a byte, here and in the training text.
  if (vocabulary !== 256) throw new OwmError('unsupported_model', `A vocabulary of ${vocabulary}; tokens are bytes.`)
  const worker = startWorker(new URL('./model-worker.ts', import.meta.url), { name: 'model', logger })
  try {
    await worker.call('load', { graph: init.graph, parameters: init.parameters, context, vocabulary } satisfies LoadJob)
  } catch (error) {
    await worker.stop()
    throw error
  }
  let generations = 0
  return {
    generate: (prompt, options) => {
      const job = checkedJob(prompt, options, context)
      return (async function* () {
        if (generations >= maxGenerations) {
          throw new OwmError('capacity_exceeded', `${generations} generations are under way; try again later.`)
        }
        generations++
        try {
          yield* stream(worker, job, options.signal)
        } finally {
          generations--
        }
      })()
    },
    replace: (parameters) => worker.call('replace', parameters),
    stop: () => worker.stop(),
  }
}

/** @throws OwmError `bad_request` naming the option */
function checkedJob(prompt: Uint8Array, options: GenerateOptions, context: number): GenerateJob {
  const parsed = optionsSchema.safeParse(options)
  if (!parsed.success) {
    const issue = parsed.error.issues[0]
    throw new OwmError('bad_request', `${issue?.path.join('.')}: ${issue?.message}`)
  }
  const { seed = randomInt(2 ** 32), stop = [], ...rest } = parsed.data
  return { ...rest, seed, stop, prompt: prompt.slice(-context) }
}

/** Turns the worker's events into a stream. Who stops reading calls the generation off. */
async function* stream(
  worker: WorkerClient,
  job: GenerateJob,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  const abandoned = new AbortController()
  const waiting: Uint8Array[] = []
  let wake: () => void = () => undefined
  let ended = false
  let failure: unknown
  const onAbort = (): void => abandoned.abort(signal?.reason)
  signal?.addEventListener('abort', onAbort, { once: true })
  if (signal?.aborted) onAbort()
  abandoned.signal.addEventListener('abort', () => wake())
  const call = worker.call('generate', job, {
    signal: abandoned.signal,
    onEvent: (bytes) => {
      waiting.push(bytes as Uint8Array)
      wake()
    },
  })
  call
    .catch((error: unknown) => {
      failure = error
    })
    .finally(() => {
      ended = true
      wake()
    })
  try {
    for (;;) {
      if (abandoned.signal.aborted) throw new OwmError('aborted', 'The generation was called off.', {}, signal?.reason)
      const bytes = waiting.shift()
      if (bytes !== undefined) yield bytes
      else if (ended) break
      else {
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      }
    }
    if (failure !== undefined) throw failure
  } finally {
    signal?.removeEventListener('abort', onAbort)
    abandoned.abort()
  }
}
