/** Text and its baselines, for who creates a run: read and counted in a thread that ends with the work. */
import { silentLogger } from '../observability/index.ts'
import { startWorker } from '../onnx/index.ts'
import type { DescribeJob, NgramJob, ReadJob } from './corpus-worker.ts'
import type { ExampleShape, OfferedData, TextSource } from './index.ts'
import type { NgramOrder } from './ngram.ts'
import type { TextRead } from './text-files.ts'

async function inWorker<T>(
  verb: string,
  job: ReadJob | NgramJob | DescribeJob,
  signal: AbortSignal | undefined,
): Promise<T> {
  const worker = startWorker(new URL('./corpus-worker.ts', import.meta.url), { name: 'corpus', logger: silentLogger })
  try {
    return await worker.call<T>(verb, job, { signal })
  } finally {
    await worker.stop()
  }
}

/** The text that a trainer of this source learns from. @throws OwmError `no_training_data` */
export function readText(source: TextSource, signal?: AbortSignal): Promise<TextRead> {
  return inWorker('read', { source, part: 'training', maxBytes: source.maxBytes }, signal)
}

/** The bytes that no trainer of this source learns from: what every checkpoint is measured on. @throws OwmError `no_training_data` */
export async function heldOutText(source: TextSource, maxBytes: number, signal?: AbortSignal): Promise<Uint8Array> {
  const { bytes } = await inWorker<TextRead>('read', { source, part: 'heldOut', maxBytes }, signal)
  return bytes
}

/**
 * What counting bytes in `train` predicts of `heldOut`: interpolated Witten-Bell n-grams, in bits per byte, on exactly
 * the bytes that `Trainer.evaluate` measures with windows of `windowBytes`. About 0.3 s for 20 MB.
 */
export function ngramBitsPerByte(
  train: readonly Uint8Array[],
  heldOut: Uint8Array,
  order: NgramOrder,
  windowBytes: number,
  signal?: AbortSignal,
): Promise<number> {
  return inWorker('ngram', { train, heldOut, order, windowBytes }, signal)
}

/** What of a peer's data a run's specification says, and what its checkpoints are measured on. */
export interface DescribedData extends ExampleShape {
  readonly about: string
  /** As `encodeExamples` makes it; null of windows of tokens, which are measured on text. */
  readonly heldOut: Uint8Array | null
}

/**
 * @param wanted.context of a language model
 * @param wanted.heldOut a file or folder of examples to measure on, in place of what is held out
 * @throws OwmError `no_training_data`, also where nothing is held out; as `openDataset`
 */
export function describeData(
  data: OfferedData,
  { context, heldOut }: { readonly context?: number; readonly heldOut?: string | undefined } = {},
  signal?: AbortSignal,
): Promise<DescribedData> {
  return inWorker('describe', { data, context, heldOut }, signal)
}
