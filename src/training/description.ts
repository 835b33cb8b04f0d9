/** What a run's specification may ask of a trainer: descriptions come from the network. */
import { z } from 'zod'
import { OwmError } from '../lib/index.ts'
import type { ModelDescription } from './index.ts'

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
const common = {
  learningRate: z.number().gt(0).max(1000),
  schedule: z
    .strictObject({
      kind: z.enum(['constant', 'linear', 'cosine']),
      warmupSteps: z.int().min(0).max(1_000_000).optional(),
      finalShare: z.number().min(0).max(1).optional(),
    })
    .optional(),
  weightDecay: z.number().min(0).max(1e3).optional(),
  exempt: z.array(z.string().max(256)).max(64).readonly().optional(),
  clipNorm: z.number().gt(0).max(1e6).optional(),
}
/** How a trainer learns, as it stands in a run's specification. */
export const optimizerPlanSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('sgd'), ...common, momentum: share.optional(), nesterov: z.boolean().optional() }),
  z.strictObject({
    kind: z.literal('adamw'),
    ...common,
    beta1: share.optional(),
    beta2: share.optional(),
    epsilon: z.number().gt(0).max(1e6).optional(),
  }),
])

/** The numbers of one example: more is no example but a data set. */
const maxExampleElements = 1 << 24
const shape = z
  .array(z.int().min(1).max(maxExampleElements))
  .max(8)
  .readonly()
  .refine((sizes) => sizes.reduce((product, size) => product * size, 1) <= maxExampleElements, 'is too large')
const name = z.enum(['windows', 'inputs', 'targets'])
const fieldSchema = z.discriminatedUnion('type', [
  z.strictObject({ name, shape, type: z.literal('float32') }),
  z.strictObject({
    name,
    shape,
    type: z.literal('int32'),
    values: z
      .int()
      .min(1)
      .max(1 << 24),
  }),
])
/** What each example has: windows of tokens, or inputs and what is to be told of them. */
export const fieldsSchema = z
  .array(fieldSchema)
  .min(1)
  .max(2)
  .readonly()
  .refine((fields) => {
    const [first, second] = fields
    if (first?.name === 'windows') return second === undefined && first.type === 'int32' && first.shape.length === 1
    return first?.name === 'inputs' && second?.name === 'targets'
  }, 'must be windows of tokens, or inputs and targets')
  .refine((fields) => fields[0]?.name !== 'windows' || fields[0].shape[0]! >= 3, 'must be windows of 3 tokens or more')
/** What the numbers of `targets` stand for. */
export const classesSchema = z.array(z.string().max(256)).max(1024).readonly()

/** @throws OwmError `bad_model` naming the field */
export function checkModel(description: ModelDescription): void {
  const result = modelSchema.safeParse(description)
  if (result.success) return
  const issue = result.error.issues[0]
  const field = ['model', ...(issue?.path ?? [])].join('.')
  throw new OwmError('bad_model', `${field}: ${issue?.message}`, { field })
}

/** @throws OwmError `bad_optimizer` naming the field */
export function checkOptimizer(optimizer: unknown): void {
  const result = optimizerPlanSchema.safeParse(optimizer)
  if (result.success) return
  const issue = result.error.issues[0]
  const field = ['optimizer', ...(issue?.path ?? [])].join('.')
  throw new OwmError('bad_optimizer', `${field}: ${issue?.message}`, { field })
}
