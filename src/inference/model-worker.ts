/** The thread of one loaded model. Generations under way take turns, one token each. */
import { OwmError } from '../lib/index.ts'
import {
  createRandom,
  decodeLanguageModel,
  encodeModel,
  logitsOutput,
  type Model,
  openSession,
  type Session,
  serveWorker,
  tokensInput,
  withParameters,
} from '../onnx/index.ts'
import { type SamplingOptions, sampleToken } from './sampling.ts'
import { createStopFilter } from './stop-strings.ts'

export interface LoadJob {
  readonly graph: Uint8Array
  readonly parameters: Float32Array
  readonly context: number
  readonly vocabulary: number
}
export interface GenerateJob extends SamplingOptions {
  readonly prompt: Uint8Array
  readonly maxTokens: number
  readonly seed: number
  readonly stop: readonly Uint8Array[]
}

/** One set of weights. It is freed when newer ones are in place and its last generation has ended. */
interface Weights {
  readonly session: Session
  users: number
  retired: boolean
}

/** Before an empty prompt: what stands between two files in the training text. */
const newline = 10

let model: Model | undefined
let context = 0
let current: Weights | undefined

serveWorker(
  {
    load: async (job: LoadJob) => {
      model = decodeLanguageModel(job.graph, job)
      context = job.context
      await putInPlace(job.parameters)
      return { value: undefined }
    },
    replace: async (parameters: Float32Array) => {
      await putInPlace(parameters)
      return { value: undefined }
    },
    generate: async (job: GenerateJob, { signal, emit }) => {
      const weights = current
      if (weights === undefined) throw new OwmError('internal_error', 'No model is loaded.')
      weights.users++
      try {
        await generate(weights.session, job, emit, signal)
      } finally {
        weights.users--
        await releaseIfDone(weights)
      }
      return { value: undefined }
    },
  },
  () => current?.session.release(),
)

async function putInPlace(parameters: Float32Array): Promise<void> {
  if (model === undefined) throw new OwmError('internal_error', 'No model is loaded.')
  const session = await openSession(encodeModel(withParameters(model, parameters)), { threads: 1 })
  const old = current
  current = { session, users: 0, retired: false }
  if (old === undefined) return
  old.retired = true
  await releaseIfDone(old)
}

async function releaseIfDone(weights: Weights): Promise<void> {
  if (weights.retired && weights.users === 0) await weights.session.release()
}

async function generate(
  session: Session,
  job: GenerateJob,
  emit: (bytes: Uint8Array) => void,
  signal: AbortSignal,
): Promise<void> {
  const random = createRandom(job.seed)
  const filter = createStopFilter(job.stop)
  const seen = Array.from(job.prompt.length === 0 ? [newline] : job.prompt.subarray(-context))
  for (let count = 0; count < job.maxTokens; count++) {
    signal.throwIfAborted()
    const tokens = Int32Array.from(seen.slice(-context))
    const results = await session.run({ [tokensInput]: { type: 'int32', shape: [1, tokens.length], data: tokens } })
    const logits = results[logitsOutput]!.data as Float32Array
    const token = sampleToken(logits.subarray(-logits.length / tokens.length), job, random)
    seen.push(token)
    const { bytes, stopped } = filter.push(token)
    if (bytes.length > 0) emit(bytes)
    if (stopped) return
    // Messages are taken, and the other generations have their turn.
    await new Promise((resolve) => setImmediate(resolve))
  }
  const rest = filter.rest()
  if (rest.length > 0) emit(rest)
}
