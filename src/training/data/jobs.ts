/** Looking into data, and learning a tokenizer from it: in a thread that ends with the work. */
import { silentLogger } from '../../observability/index.ts'
import { startWorker } from '../../onnx/index.ts'
import type { DataWishes } from './detect.ts'
import type { Inspection } from './inspect.ts'

export interface InspectJob {
  readonly paths: readonly string[]
  readonly wishes: DataWishes
}
export interface TokenizerJob extends InspectJob {
  /** Tokens, the 256 bytes among them. */
  readonly vocabulary: number
  /** Pairs seen less often make no token. */
  readonly minFrequency: number
}
export interface TrainedTokenizer {
  /** A `tokenizer.json`. */
  readonly file: string
  /** Fewer than asked for, where the text has no more pairs. */
  readonly vocabulary: number
  readonly about: string
  readonly words: number
  readonly textBytes: number
}
export interface DataProgress {
  readonly stage: 'reading' | 'counting' | 'baselines' | 'words' | 'merges'
  readonly done: number
  readonly total: number
}

type OnProgress = (progress: DataProgress) => void

/** @throws OwmError `bad_usage`, `malformed_data`, `no_training_data`, `unreadable_data` */
export function inspectData(job: InspectJob, onProgress?: OnProgress): Promise<Inspection> {
  return inWorker('inspect', job, onProgress)
}

/** Byte-level BPE, of the part of the text that is learned from. @throws OwmError as `inspectData` */
export function trainTokenizer(job: TokenizerJob, onProgress?: OnProgress): Promise<TrainedTokenizer> {
  return inWorker('tokenizer', job, onProgress)
}

async function inWorker<T>(verb: string, job: InspectJob, onProgress: OnProgress | undefined): Promise<T> {
  const worker = startWorker(new URL('./worker.ts', import.meta.url), { name: 'data', logger: silentLogger })
  try {
    return await worker.call<T>(verb, job, { onEvent: (event) => onProgress?.(event as DataProgress) })
  } finally {
    await worker.stop()
  }
}
