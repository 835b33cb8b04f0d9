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
import type { Field } from './data/dataset.ts'
import type { Measured } from './local/job.ts'
import type { OptimizerPlan } from './optimizer.ts'

export { type DescribedData, describeData, heldOutText, ngramBitsPerByte, readText } from './corpus.ts'
export { createTokenizer, type Tokenizer } from './data/bpe/tokenizer.ts'
export { decodeTokenizer, encodeTokenizer, readTokenizer } from './data/bpe/tokenizer-file.ts'
export { createWordCounts, trainBpe, type Vocabulary } from './data/bpe/train.ts'
export type { DataPart, Dataset, Field } from './data/dataset.ts'
export { type DataWishes, detectSource } from './data/detect.ts'
export { encodeExamples, openExamples } from './data/examples.ts'
export type { Inspection, PartInspection } from './data/inspect.ts'
export { type DataProgress, inspectData, type TrainedTokenizer, trainTokenizer } from './data/jobs.ts'
export { type DataSource, type OpenDataset, openDataset } from './data/source.ts'
export { defineModel, type ModelBuilder, type TrainableModel, within } from './define-model.ts'
export { classesSchema, fieldsSchema, optimizerPlanSchema } from './description.ts'
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
export { type ModelChoice, modelFor } from './local/models.ts'
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
export { type LossUnit, languageShape, lossUnit, type Objective, objectiveOf } from './objective.ts'
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

/** A GPT over bytes, as `gptGraph` builds it. */
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

/** What a peer learns from: files and folders of any kind that `detectSource` knows; of text, what `TextSource` says. */
export interface OfferedData extends TextSource {
  /** Of a table: the column to be told from the others. */
  readonly target?: string
  /** Each root is a data set by itself, of which a round is trained on one: a peer that holds the data of several clients. */
  readonly shards?: boolean
}

/** What a run says of the examples that it is trained on. */
export interface ExampleShape {
  readonly fields: readonly Field[]
  /** What the numbers of `targets` stand for, where they have names. */
  readonly classes?: readonly string[] | undefined
}

export interface TrainProgress {
  readonly step: number
  /** In the unit of `lossUnit`. */
  readonly loss: number
  readonly stepsPerSecond: number
}

export interface TrainResult {
  readonly parameters: Float32Array
  readonly steps: number
  /** Examples seen: the update's weight. */
  readonly samples: number
  readonly loss: number
}

/** One worker thread with one model and one data set. One job at a time. Optimizer state lives on between `train` calls. */
export interface Trainer {
  readonly layout: ParameterLayout
  /** In one line, for people. */
  readonly about: string
  train(options: {
    readonly parameters: Float32Array
    readonly maxSteps: number
    /** Passes over the data; where they come before `maxSteps`, they end the job. */
    readonly maxEpochs?: number
    /** Measured in the worker. One step is made in any case. */
    readonly maxMs: number
    /** The part of the whole run that this call is, 0 to 1: what the learning rate's decay follows. */
    readonly runProgress?: { readonly from: number; readonly to: number }
    /** Which of several data sets, by its remainder: a number that is other in each round. */
    readonly draw?: number
    readonly onProgress?: (progress: TrainProgress) => void
    /** Ends the job within a second; what was learned so far is returned by rejecting with `aborted`. */
    readonly signal?: AbortSignal
  }): Promise<TrainResult>
  /**
   * On a text, if tokens are bytes: cut in consecutive windows of the context's length, each byte but a window's first
   * predicted. Else on examples, as `encodeExamples` makes them.
   */
  evaluate(parameters: Float32Array, heldOut: Uint8Array, signal?: AbortSignal): Promise<Measured>
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

export const defaultOptimizer: OptimizerPlan = {
  kind: 'adamw',
  learningRate: 2e-3,
  beta1: 0.9,
  beta2: 0.95,
  epsilon: 1e-8,
  weightDecay: 0.01,
  // The learning rate of a run falls to this part of itself at its end.
  schedule: { kind: 'linear', warmupSteps: 20, finalShare: 0.02 },
}
export const defaultBatch = 16
