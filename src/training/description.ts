/** What a run's specification may ask of a trainer: descriptions come from the network. */
import { z } from 'zod'
import { OwmError } from '../lib/index.ts'
import type { ModelDescription, OptimizerSpec } from './index.ts'

const buckets = z
  .int()
  .min(0)
  .max(1 << 24)
  .optional()
const modelSchema = z
  .strictObject({
    architecture: z.literal('gpt'),
    layers: z.int().min(1).max(256),
    heads: z.int().min(1).max(256),
    width: z.int().min(1).max(16_384),
    context: z.int().min(2).max(65_536),
    // Tokens are bytes.
    vocabulary: z.literal(256),
    pairBuckets: buckets,
    tripleBuckets: buckets,
    quadBuckets: buckets,
  })
  .refine(({ width, heads }) => width % heads === 0, { path: ['heads'], message: 'must divide the width' })

const share = z.number().min(0).lt(1)
const optimizerSchema = z.strictObject({
  kind: z.literal('adamw'),
  learningRate: z.number().gt(0),
  beta1: share,
  beta2: share,
  epsilon: z.number().gt(0).max(1e6),
  weightDecay: z.number().min(0).max(1e3),
  warmupSteps: z.int().min(0).max(1_000_000),
  batch: z.int().min(1).max(65_536),
})

/** @throws OwmError `bad_model` naming the field */
export function checkModel(description: ModelDescription): void {
  check('bad_model', 'model', modelSchema.safeParse(description))
}
/** @throws OwmError `bad_optimizer` naming the field */
export function checkOptimizer(optimizer: OptimizerSpec): void {
  check('bad_optimizer', 'optimizer', optimizerSchema.safeParse(optimizer))
}

function check(code: string, what: string, result: ReturnType<z.ZodType['safeParse']>): void {
  if (result.success) return
  const issue = result.error.issues[0]
  const field = [what, ...(issue?.path ?? [])].join('.')
  throw new OwmError(code, `${field}: ${issue?.message}`, { field })
}
