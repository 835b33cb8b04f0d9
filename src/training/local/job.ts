/** What a run on this machine alone is: the model, the data, and how it learns. */
import { blake3Of, toHex } from '../../lib/index.ts'
import { encodeModel, type Precision, type ProviderName, withoutLargeConstants } from '../../onnx/index.ts'
import type { Dataset } from '../data/dataset.ts'
import type { DataSource, OpenDataset } from '../data/source.ts'
import type { TrainableModel } from '../define-model.ts'
import type { LoraOptions } from '../lora/adapt.ts'
import type { LossUnit, Objective } from '../objective.ts'
import type { OptimizerPlan } from '../optimizer.ts'
import type { ModelChoice } from './models.ts'

export interface LocalJob {
  readonly model: ModelChoice
  readonly data: DataSource
  readonly optimizer: OptimizerPlan
  readonly batch: number
  /** Batches whose gradients make one step. */
  readonly accumulate: number
  readonly duration: { readonly steps: number } | { readonly epochs: number }
  /** Decides the first weights and the order of the examples. */
  readonly seed: number
  /** One or two give the same bits; from three on they differ. */
  readonly threads: number
  readonly provider: ProviderName
  readonly precision: Precision
  /** How often the held-out examples are measured within the run, beside its beginning and end, and how many of them. */
  readonly measurements: number
  readonly measureExamples: number
  /** Adapters are trained in place of the model's own weights. */
  readonly lora?: LoraOptions
  /** A folder for checkpoints, so often, for logs and for what comes of it. One run at a time may have it. */
  readonly keep?: { readonly folder: string; readonly everyMs: number }
  /** A step that is likely to need more is not begun. */
  readonly maxMemoryBytes: number
}

/** What a run tells while it goes on. Losses are in its unit. */
export type LocalEvent =
  | {
      readonly kind: 'started'
      readonly model: string
      readonly objective: Objective
      readonly unit: Unit
      readonly parameters: number
      readonly data: string
      readonly heldOut: string | null
      readonly examples: number
      readonly steps: number
      /** Bytes that a step is expected to need beside parameters and optimizer. */
      readonly stepBytes: number
      /** The step that the run goes on from, of a checkpoint. */
      readonly resumedAt: number
    }
  | {
      readonly kind: 'progress'
      readonly step: number
      readonly loss: number
      readonly learningRate: number
      readonly examplesPerSecond: number
      readonly stepsPerSecond: number
      /** Resident, of the whole process. */
      readonly memoryBytes: number
    }
  | ({ readonly kind: 'measured'; readonly step: number } & Measured)
  | { readonly kind: 'saved'; readonly step: number; readonly bytes: number }

/** As `LossUnit`, but text is told in bits per byte however its bytes were made tokens. */
export type Unit = LossUnit

export interface Measured {
  readonly loss: number
  /** The share of right answers, of a classifier or of next tokens; null for numbers. */
  readonly accuracy: number | null
  readonly examples: number
}

export interface LocalResult {
  readonly parameters: Float32Array
  readonly steps: number
  readonly loss: number
  readonly measured: Measured | null
  /** Of all starts together. */
  readonly seconds: number
}

/** What is written into the folder of a run. */
export const outputs = {
  checkpoint: 'checkpoint.safetensors',
  csv: 'log.csv',
  tensorBoard: 'tensorboard',
  /** The whole model with its trained weights. */
  model: 'model.onnx',
  /** Tensors too large for one file. */
  external: 'model.onnx.data',
  adapters: 'adapters.safetensors',
} as const

/** The unit of a run's losses, and how much of it a nat (or what the step graph gives) is. */
export function unitOf(objective: Objective, { text }: OpenDataset): { readonly unit: Unit; readonly perNat: number } {
  if (objective === 'classification') return { unit: 'nats', perNat: 1 }
  if (objective === 'regression') return { unit: 'squared error', perNat: 1 }
  const tokensPerByte = text === undefined ? 1 : text.tokens / text.bytes
  return { unit: 'bits/byte', perNat: tokensPerByte / Math.LN2 }
}

/** @param examples in the data */
export function stepsOf({ duration, batch, accumulate }: LocalJob, examples: number): number {
  if ('steps' in duration) return duration.steps
  return Math.max(1, Math.round((duration.epochs * examples) / (batch * accumulate)))
}

/** What decides every bit of a run, but for the machine: a checkpoint can be gone on from where this is the same. */
export function identityOf(job: LocalJob, steps: number, { model }: TrainableModel, data: Dataset): string {
  const { optimizer, batch, accumulate, seed, provider, precision } = job
  const rest = JSON.stringify([optimizer, batch, accumulate, steps, seed, provider, precision, data.fingerprint])
  const { graph, constants } = withoutLargeConstants(model.graph)
  const parts = [encodeModel({ ...model, graph }), ...constants.map(({ tensor }) => tensor.data), Buffer.from(rest)]
  return toHex(blake3Of(Buffer.concat(parts.map(blake3Of))))
}
