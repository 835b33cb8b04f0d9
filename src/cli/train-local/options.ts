/** From what was typed to a job. */
import { availableMemory } from 'node:process'
import { fileURLToPath } from 'node:url'
import type { Precision, ProviderName } from '../../onnx/index.ts'
import { detectSource, type LocalJob } from '../../training/index.ts'
import { type FileOptions, type LearningOptions, parseModel, planFor, recipes } from './choices.ts'

export interface LocalOptions extends LearningOptions, FileOptions {
  readonly model: string
  readonly data?: readonly string[]
  readonly out?: string
  readonly restart: boolean
  readonly epochs?: number
  readonly steps?: number
  readonly batch?: number
  readonly accumulate?: number
  readonly context?: number
  readonly tail?: number
  readonly tokenizer?: string
  readonly target?: string
  readonly classes: boolean
  readonly lora?: number
  readonly loraTargets?: readonly string[]
  readonly seed: number
  readonly threads: number
  readonly provider: ProviderName
  readonly precision: Precision
  readonly measurements: number
  readonly saveSeconds: number
  readonly json: boolean
}

/** More tell no more than a hundredth of accuracy. */
const measureExamples = 10_000
/** Of what the machine can give now, for the rest of it to stay alive. */
const memoryShare = 0.9

/** @throws OwmError `bad_usage`, and those of `detectSource` */
export function jobFor(options: LocalOptions): LocalJob {
  const model = parseModel(options.model, options)
  const recipe = recipes[model.kind]
  const { data = ownText(), out, steps, epochs, context = recipe.context, lora, loraTargets } = options
  const { tail, tokenizer, target, classes } = options
  const source = detectSource(data, {
    context,
    ...(tail !== undefined && { heldOutTail: tail }),
    ...(tokenizer !== undefined && { tokenizer }),
    ...(target !== undefined && { target }),
    ...(classes && { kind: 'folder' }),
  })
  return {
    model,
    data: source,
    optimizer: planFor(recipe, options),
    batch: options.batch ?? recipe.batch,
    // Whoever names a batch means all of a step.
    accumulate: options.accumulate ?? (options.batch === undefined ? recipe.accumulate : 1),
    duration: steps !== undefined ? { steps } : epochs !== undefined ? { epochs } : recipe.duration,
    seed: options.seed,
    threads: options.threads,
    provider: options.provider,
    precision: options.precision,
    measurements: options.measurements,
    measureExamples,
    ...(lora === undefined ? {} : { lora: { rank: lora, ...(loraTargets && { targets: loraTargets }) } }),
    ...(out === undefined ? {} : { keep: { folder: out, everyMs: options.saveSeconds * 1000 } }),
    maxMemoryBytes: Math.floor(availableMemory() * memoryShare),
  }
}

/** This program's own source and documents: something to learn from that everybody has. */
function ownText(): string[] {
  return ['src', 'docs'].map((folder) => fileURLToPath(new URL(`../../../${folder}`, import.meta.url)))
}
