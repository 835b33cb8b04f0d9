/** What a user may say of a model and how it learns, and what is taken where nothing is said. */
import { OwmError } from '../../lib/index.ts'
import { type ModelChoice, type OptimizerPlan, type Schedule, transformerSizes } from '../../training/index.ts'

export interface LearningOptions {
  readonly optimizer?: string
  readonly learningRate?: number
  readonly schedule?: Schedule['kind']
  readonly warmup?: number
  readonly weightDecay?: number
  readonly clip?: number
}

/** How a kind of model is usually trained: enough for the figures of docs/training.md. */
interface Recipe {
  readonly plan: OptimizerPlan
  readonly batch: number
  readonly accumulate: number
  readonly duration: { readonly steps: number } | { readonly epochs: number }
  /** Tokens seen at once. */
  readonly context: number
}
const images: Recipe = {
  plan: { kind: 'sgd', learningRate: 0.05, momentum: 0.9, schedule: { kind: 'cosine' } },
  batch: 64,
  accumulate: 1,
  duration: { epochs: 5 },
  context: 0,
}
const text: Recipe = {
  plan: {
    kind: 'adamw',
    learningRate: 1e-3,
    beta2: 0.95,
    weightDecay: 0.1,
    clipNorm: 1,
    schedule: { kind: 'cosine', warmupSteps: 100, finalShare: 0.1 },
  },
  // Four windows at once: their values stay in the processor's cache, which is faster than sixteen.
  batch: 4,
  accumulate: 4,
  duration: { steps: 1000 },
  context: 128,
}
export const recipes: Readonly<Record<ModelChoice['kind'], Recipe>> = {
  mlp: images,
  cnn: images,
  lstm: {
    ...text,
    plan: { ...text.plan, learningRate: 4e-3, weightDecay: 0 },
    batch: 32,
    accumulate: 1,
    context: 80,
  },
  gpt: text,
  // What is fine-tuned is trained already: a lower rate, and not for long.
  file: {
    ...text,
    plan: { kind: 'adamw', learningRate: 1e-4, schedule: { kind: 'linear', warmupSteps: 20 } },
    duration: { steps: 500 },
  },
}

const models =
  'mlp[:200,200], cnn, lstm[:hidden=256,layers=2], gpt[:tiny|small|medium|gpt2|layers=4,heads=4,width=128], FILE.onnx'

/** What of an ONNX file is trained. */
export interface FileOptions {
  readonly trainable?: readonly string[]
  readonly freeze?: readonly string[]
}

/** `gpt:layers=2,width=64` and the like, or a file. @throws OwmError `bad_usage` */
export function parseModel(wish: string, { trainable, freeze }: FileOptions): ModelChoice {
  if (wish.endsWith('.onnx')) {
    return { kind: 'file', file: wish, ...(trainable && { trainable }), ...(freeze && { freeze }) }
  }
  const [kind = '', rest = ''] = wish.split(':', 2)
  const parts = rest === '' ? [] : rest.split(',')
  const wrong = (): OwmError => new OwmError('bad_usage', `--model ${wish} is not one of ${models}.`)
  const numbers = (named: readonly string[]): Record<string, number> =>
    Object.fromEntries(
      parts.map((part) => {
        const [name = '', value = ''] = part.split('=')
        if (!named.includes(name) || !/^[1-9]\d{0,5}$/.test(value)) throw wrong()
        return [name, Number(value)]
      }),
    )
  switch (kind) {
    case 'mlp': {
      if (!parts.every((part) => /^[1-9]\d{0,5}$/.test(part))) throw wrong()
      return { kind, hidden: parts.length === 0 ? [200, 200] : parts.map(Number) }
    }
    case 'cnn':
      if (parts.length > 0) throw wrong()
      return { kind, channels: [32, 64], hidden: 512 }
    case 'lstm':
      return { kind, width: 64, hidden: 256, layers: 2, ...numbers(['width', 'hidden', 'layers']) }
    case 'gpt': {
      if (Object.hasOwn(transformerSizes, rest))
        return { kind, ...transformerSizes[rest as keyof typeof transformerSizes] }
      return { kind, ...transformerSizes.small, ...numbers(['layers', 'heads', 'keyHeads', 'width']) }
    }
    default:
      throw wrong()
  }
}

const optimizers: Readonly<Record<string, Partial<OptimizerPlan>>> = {
  sgd: { kind: 'sgd', momentum: 0 },
  momentum: { kind: 'sgd', momentum: 0.9 },
  nesterov: { kind: 'sgd', momentum: 0.9, nesterov: true },
  adamw: { kind: 'adamw' },
}
/** What fits another kind than the recipe's. */
const usualRates: Readonly<Record<OptimizerPlan['kind'], number>> = { sgd: 0.05, adamw: 1e-3 }

/** The recipe's plan with the user's wishes in it. @throws OwmError `bad_usage` */
export function planFor({ plan }: Recipe, wishes: LearningOptions): OptimizerPlan {
  const { optimizer, learningRate, schedule, warmup, weightDecay, clip } = wishes
  let chosen = plan
  if (optimizer !== undefined) {
    const wished = Object.hasOwn(optimizers, optimizer) ? optimizers[optimizer] : undefined
    if (wished === undefined) {
      const names = Object.keys(optimizers).join(', ')
      throw new OwmError('bad_usage', `--optimizer ${optimizer} is not one of ${names}.`)
    }
    const { schedule: usual, weightDecay: decay, clipNorm } = plan
    const rate = wished.kind === plan.kind ? plan.learningRate : usualRates[wished.kind!]
    chosen = { learningRate: rate, weightDecay: decay, clipNorm, schedule: usual, ...wished } as OptimizerPlan
  }
  const { schedule: usual = { kind: 'constant' } } = chosen
  return {
    ...chosen,
    ...(learningRate === undefined ? {} : { learningRate }),
    ...(weightDecay === undefined ? {} : { weightDecay }),
    ...(clip === undefined ? {} : { clipNorm: clip }),
    schedule: {
      ...usual,
      ...(schedule === undefined ? {} : { kind: schedule }),
      ...(warmup === undefined ? {} : { warmupSteps: warmup }),
    },
  }
}
