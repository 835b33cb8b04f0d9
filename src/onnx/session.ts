/** Sessions of onnxruntime, for worker threads: `run` blocks the thread that calls it. */
import type { InferenceSession, Tensor } from 'onnxruntime-node'
import { errorMessage, OwmError } from '../lib/index.ts'
import { requireProvider } from './probe.ts'
import { type ProviderName, providers, threadsFor } from './providers.ts'
import { cells, runningCell, stoppingCell } from './worker-server.ts'

/** A dense tensor in a session's hands. */
export interface RuntimeTensor {
  readonly type: 'float32' | 'float64' | 'int32' | 'int64'
  readonly shape: readonly number[]
  readonly data: Float32Array | Float64Array | Int32Array | BigInt64Array
}
export interface Session {
  /**
   * Blocks. Inputs are read in place; outputs are new buffers.
   *
   * @throws OwmError `out_of_memory`, `runtime_failed`, `worker_stopped`
   */
  run(feeds: Readonly<Record<string, RuntimeTensor>>): Promise<Record<string, RuntimeTensor>>
  release(): Promise<void>
}

export interface SessionOptions {
  readonly threads: number
  /** What computes; by default the CPU. */
  readonly provider?: ProviderName
  /** Bits matter: no more threads than give the same ones as one thread. */
  readonly exact?: boolean
  /**
   * Memory between values' lives goes back to the system, where it would be kept for the next run. For steps with large
   * frozen weights: 75 MB less and a few percent slower for an adapted GPT-2 (onnxruntime 1.30, CPU).
   */
  readonly lean?: boolean
}

/**
 * Loads the runtime when first called, about 25 MB.
 *
 * @throws OwmError `provider_missing` before the model is looked at, saying what to do; `not_exact` where a provider
 * promises no bits; `out_of_memory`, `runtime_failed`
 */
export async function openSession(model: Uint8Array, options: SessionOptions): Promise<Session> {
  const { provider = 'cpu', exact = false, lean = false } = options
  const { runtimeName } = providers[provider]
  const threads = threadsFor(provider, options.threads, exact)
  const runtime = await import('onnxruntime-node')
  // Warnings are about graphs that could be smaller, and would go to the peer's standard error.
  runtime.env.logLevel = 'error'
  if (provider !== 'cpu') await requireProvider(provider)
  const session = await runtime.InferenceSession.create(model, {
    executionProviders: [runtimeName],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    executionMode: 'sequential',
    graphOptimizationLevel: 'all',
    enableCpuMemArena: !lean,
    enableMemPattern: !lean,
    // Decaying averages of rows that are seldom seen become denormal, on which the CPU is a hundred times slower.
    extra: { session: { set_denormal_as_zero: '1', intra_op: { allow_spinning: '0' } } },
  }).catch(fail)
  return {
    run: async (feeds) => {
      // Set before the look at the other cell: the client does the reverse, so one of the two sees the other.
      Atomics.add(cells, runningCell, 1)
      try {
        if (Atomics.load(cells, stoppingCell) === 1) throw new OwmError('worker_stopped', 'The worker is stopped.')
        const tensors = Object.fromEntries(
          Object.entries(feeds).map(([name, { type, data, shape }]) => [name, new runtime.Tensor(type, data, shape)]),
        )
        return plain(await session.run(tensors).catch(fail))
      } finally {
        Atomics.sub(cells, runningCell, 1)
        Atomics.notify(cells, runningCell)
      }
    },
    release: () => session.release(),
  }
}

function plain(results: InferenceSession.OnnxValueMapType): Record<string, RuntimeTensor> {
  return Object.fromEntries(
    Object.entries(results).map(([name, value]) => {
      const { type, dims, data } = value as Tensor
      return [name, { type, shape: dims, data } as RuntimeTensor]
    }),
  )
}

/** What the runtime and its providers say when memory ends: its arena, C++, a buffer of JavaScript, WebGPU, CUDA. */
const memoryEnded =
  /Failed to allocate memory|bad_?\s?alloc|array buffer allocation failed|out of memory|OutOfMemory|ALLOC_FAILED/i

function fail(error: unknown): never {
  const message = errorMessage(error)
  if (memoryEnded.test(message)) {
    const advice = 'Memory ran out: make the batch smaller, or accumulate several small ones for one update.'
    throw new OwmError('out_of_memory', `${advice} (ONNX Runtime: ${message})`, {}, error)
  }
  throw new OwmError('runtime_failed', `ONNX Runtime: ${message}`, {}, error)
}
