/**
 * Training on this machine: a model is an ordinary ONNX graph; a small reverse-mode autodiff turns it into a training
 * step that is an ordinary ONNX graph too, and onnxruntime runs that in a worker thread.
 *
 * Between rooms, parameters are one flat Float32Array in the order of the model's parameter list.
 *
 * @example
 * const trainer = await createTrainer({ logger }, { model, data: { kind: 'files', roots, ... }, optimizer, seed: 1 })
 * const result = await trainer.train({ parameters, maxSteps: 100, maxMs: 4000, onProgress, signal })
 */
import type { ParameterLayout } from '../onnx/index.ts'

export { heldOutText, ngramBitsPerByte, readText } from './corpus.ts'
export { createTokenizer, type Tokenizer } from './data/bpe/tokenizer.ts'
export { decodeTokenizer, encodeTokenizer, readTokenizer } from './data/bpe/tokenizer-file.ts'
export { createWordCounts, trainBpe, type Vocabulary } from './data/bpe/train.ts'
export type { DataPart, Dataset, Field } from './data/dataset.ts'
export { type DataWishes, detectSource } from './data/detect.ts'
export type { Inspection, PartInspection } from './data/inspect.ts'
export { type DataProgress, inspectData, type TrainedTokenizer, trainTokenizer } from './data/jobs.ts'
export { type DataSource, type OpenDataset, openDataset } from './data/source.ts'
export { defineModel, type ModelBuilder, type TrainableModel, within } from './define-model.ts'
export { exportTrained, saveTrained, trainedTensors } from './export-trained.ts'
export { gptGraph, initialParameters } from './gpt.ts'
export { type ImportedModel, type ImportOptions, importModel } from './imported.ts'
export { trainLocally } from './local/index.ts'
export {
  type LocalEvent,
  type LocalJob,
  type LocalResult,
  type Measured,
  outputs as localOutputs,
  type Unit,
} from './local/job.ts'
export type { ModelChoice } from './local/models.ts'
export { openCsvLog } from './logs/csv.ts'
export type { LogInit, LogRow, TrainingLog } from './logs/row.ts'
export { openTensorBoardLog } from './logs/tensorboard.ts'
export { type AdaptedModel, type Adapter, type LoraOptions, withAdapters } from './lora/adapt.ts'
export {
  type AdapterFileMetadata,
  decodeAdapters,
  encodeAdapters,
  readAdapterMetadata,
  weightsHash,
} from './lora/adapter-file.ts'
export { mergeAdapters, unmergeAdapters } from './lora/merge.ts'
export { type AppendLoss, classification, crossEntropy, type Loss } from './losses.ts'
export {
  inspectModel,
  type ModelInspection,
  type Quantised,
  type QuantiseJob,
  quantiseModelFile,
} from './model-files/index.ts'
export { cnn, mlp } from './models/images.ts'
export { lstm } from './models/lstm.ts'
export { type TransformerShape, transformer, transformerSizes } from './models/transformer.ts'
export { createOptimizer, type Optimizer, type OptimizerPlan } from './optimizer.ts'
export {
  createOuterOptimizer,
  type OuterOptimizer,
  type OuterPlan,
  type OuterStep,
  outerPlanSchema,
  outerPlans,
} from './outer.ts'
export { encodeTensors } from './safetensors.ts'
export { rateShare, type Schedule } from './schedules.ts'
export type { TextRead } from './text-files.ts'
export { createTrainer, type TrainerComponents, type TrainerInit } from './trainer.ts'
export { buildTrainingStep, type Feed, type StepGraph, type TrainingStepInit } from './training-step.ts'
export type { ParameterLayout }

/** What a run's specification says of its model; the graph itself is bytes by CID. */
export interface ModelDescription {
  readonly architecture: 'gpt'
  readonly layers: number
  readonly heads: number
  readonly width: number
  /** Tokens seen at once. */
  readonly context: number
  /** 256: tokens are bytes. */
  readonly vocabulary: number
  /** Rows of the tables of hashed two, three and four bytes; primes spread best; absent or 0 for none. */
  readonly pairBuckets?: number
  readonly tripleBuckets?: number
  readonly quadBuckets?: number
}

/** Text files below `roots`, with one of `extensions`; files whose content hash falls in the held-out share are skipped. */
export interface TextSource {
  readonly roots: readonly string[]
  readonly extensions: readonly string[]
  readonly maxBytes: number
  /** Out of 256: a file is held out when the first byte of its BLAKE3 is below this. */
  readonly heldOutShare: number
}

export interface OptimizerSpec {
  readonly kind: 'adamw'
  readonly learningRate: number
  readonly beta1: number
  readonly beta2: number
  readonly epsilon: number
  readonly weightDecay: number
  readonly warmupSteps: number
  readonly batch: number
}

export interface TrainProgress {
  readonly step: number
  readonly lossBitsPerByte: number
  readonly stepsPerSecond: number
}

export interface TrainResult {
  readonly parameters: Float32Array
  readonly steps: number
  /** Sequences seen: the update's weight. */
  readonly samples: number
  readonly lossBitsPerByte: number
}

/** One worker thread with one model and one data set. One job at a time. Optimizer state lives on between `train` calls. */
export interface Trainer {
  readonly layout: ParameterLayout
  readonly dataBytes: number
  train(options: {
    readonly parameters: Float32Array
    readonly maxSteps: number
    /** Measured in the worker. One step is made in any case. */
    readonly maxMs: number
    /** The part of the whole run that this call is, 0 to 1: what the learning rate's decay follows. */
    readonly runProgress?: { readonly from: number; readonly to: number }
    readonly onProgress?: (progress: TrainProgress) => void
    /** Ends the job within a second; what was learned so far is returned by rejecting with `aborted`. */
    readonly signal?: AbortSignal
  }): Promise<TrainResult>
  /** Bits per byte of `text`, cut in consecutive windows of the context's length, each byte but a window's first predicted. */
  evaluate(
    parameters: Float32Array,
    text: Uint8Array,
    signal?: AbortSignal,
  ): Promise<{ readonly bitsPerByte: number; readonly bytes: number }>
  stop(): Promise<void>
}

/** A GPT that learns the local statistics of text within seconds on one core, and goes on from there. */
export const defaultModel: ModelDescription = {
  architecture: 'gpt',
  layers: 1,
  heads: 4,
  width: 64,
  context: 64,
  vocabulary: 256,
  pairBuckets: 2039,
  tripleBuckets: 6007,
  quadBuckets: 8191,
}

export const defaultOptimizer: OptimizerSpec = {
  kind: 'adamw',
  learningRate: 2e-3,
  beta1: 0.9,
  beta2: 0.95,
  epsilon: 1e-8,
  weightDecay: 0.01,
  warmupSteps: 20,
  batch: 16,
}
