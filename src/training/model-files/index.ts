/** What can be told of an ONNX file, and made of it: in a thread that ends with the work. */
import { silentLogger } from '../../observability/index.ts'
import { startWorker } from '../../onnx/index.ts'
import type { DataSource } from '../data/source.ts'
import type { Unit } from '../local/job.ts'

export interface ModelInspection {
  readonly inputs: readonly NamedShape[]
  readonly outputs: readonly NamedShape[]
  /** How often each operator occurs in the file. */
  readonly operators: Readonly<Record<string, number>>
  /** Numbers that the file holds. */
  readonly weights: number
  readonly bytes: number
  /** What of it can be trained, or what stands in the way. */
  readonly trainable:
    | { readonly parameters: number; readonly tensors: readonly NamedShape[]; readonly frozen: readonly string[] }
    | { readonly code: string; readonly message: string }
}
export interface NamedShape {
  readonly name: string
  readonly type: string
  readonly shape: readonly (number | string)[]
}

export interface QuantiseJob {
  readonly file: string
  readonly out: string
  readonly bits: 8 | 4
  readonly blockSize?: number
  readonly exempt?: readonly string[]
  /** Whose held-out part both models are measured on, and how many of its examples. */
  readonly data?: DataSource
  readonly examples: number
  readonly threads: number
}
export interface Quantised {
  readonly bytes: { readonly before: number; readonly after: number }
  /** Null without data. */
  readonly loss: { readonly unit: Unit; readonly before: Quality; readonly after: Quality } | null
}
export interface Quality {
  readonly loss: number
  /** Null of numbers. */
  readonly accuracy: number | null
  /** Of one example, in milliseconds. */
  readonly exampleMs: number
}

/** @throws OwmError as `readModelFile` */
export function inspectModel(file: string, signal?: AbortSignal): Promise<ModelInspection> {
  return inWorker('inspect', { file }, signal)
}

/**
 * Writes a variant of a model with weights of few bits for inference, and tells what that costs.
 *
 * @throws OwmError as `readModelFile`, `importModel`, `quantiseModel` and `openDataset`
 */
export function quantiseModelFile(job: QuantiseJob, signal?: AbortSignal): Promise<Quantised> {
  return inWorker('quantise', job, signal)
}

async function inWorker<T>(verb: string, job: unknown, signal: AbortSignal | undefined): Promise<T> {
  const worker = startWorker(new URL('./worker.ts', import.meta.url), { name: 'model files', logger: silentLogger })
  try {
    return await worker.call<T>(verb, job, { signal })
  } finally {
    await worker.stop()
  }
}
