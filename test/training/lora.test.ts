/** Low-rank adapters: what they compute and learn, merged and apart, and their files. Beside PyTorch: `pytorch/lora.py`. */
import { readFileSync } from 'node:fs'
import * as assert from 'uvu/assert'
import {
  constantFeeds,
  createGraphBuilder,
  createRandom,
  elementCount,
  encodeModel,
  type GraphBuilder,
  type Model,
  openSession,
  parameterLayout,
  type Random,
  type RuntimeTensor,
  splitParameters,
  withParameters,
} from '../../src/onnx/index.ts'
import { appendGradients } from '../../src/training/autodiff.ts'
import { defineModel, type TrainableModel } from '../../src/training/define-model.ts'
import { exportTrained } from '../../src/training/export-trained.ts'
import { importModel } from '../../src/training/imported.ts'
import { normal } from '../../src/training/initialisers.ts'
import { type AdaptedModel, withAdapters } from '../../src/training/lora/adapt.ts'
import { decodeAdapters, encodeAdapters, readAdapterMetadata } from '../../src/training/lora/adapter-file.ts'
import { mergeAdapters, unmergeAdapters } from '../../src/training/lora/merge.ts'
import { classification } from '../../src/training/losses.ts'
import { mlp } from '../../src/training/models/images.ts'
import { transformer } from '../../src/training/models/transformer.ts'
import { createOptimizer, type OptimizerPlan } from '../../src/training/optimizer.ts'
import { decodeTensors, encodeTensors } from '../../src/training/safetensors.ts'
import { buildTrainingStep, type Feed } from '../../src/training/training-step.ts'
import { suite } from '../suite.ts'

const test = suite('LoRA')

const inBlock = ['attention.qkv', 'attention.out', 'up', 'down']

const drawn = (random: Random, length: number): Float32Array =>
  Float32Array.from({ length }, () => random.unit() * 2 - 1)
const codeOf = (work: () => unknown): string => {
  try {
    work()
    return 'none'
  } catch (error) {
    return (error as { code: string }).code
  }
}
async function outputsOf(model: Model, feeds: Readonly<Record<string, RuntimeTensor>>): Promise<Float32Array> {
  const session = await openSession(encodeModel(model), { threads: 1 })
  const results = await session.run(feeds)
  await session.release()
  return Object.values(results)[0]!.data as Float32Array
}
const largestDifference = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  assert.is(a.length, b.length)
  return Math.max(...Array.from(a, (value, at) => Math.abs(value - b[at]!)))
}
/** Beside the largest of the expected values. */
const close = (actual: ArrayLike<number>, expected: ArrayLike<number>, relative: number, what: string): void => {
  const scale = Math.max(1e-3, ...Array.from(expected, Math.abs))
  const error = largestDifference(actual, expected) / scale
  assert.ok(error <= relative, `${what}: differs by ${error}`)
}

/** Steps over batches in turn; the parameters after them and the mean loss of each run of `chunk`. */
async function train(
  { model, layout }: TrainableModel,
  start: Float32Array,
  options: {
    readonly plan: OptimizerPlan
    readonly feeds: readonly Feed[]
    readonly batches: readonly Readonly<Record<string, Int32Array | Float32Array>>[]
    readonly steps: number
    readonly chunk: number
  },
): Promise<{ readonly parameters: Float32Array; readonly losses: number[]; readonly constants: string[] }> {
  const { plan, feeds, batches, steps, chunk } = options
  const optimizer = createOptimizer(plan)
  const step = buildTrainingStep({ layout, feeds, loss: classification(model), optimizer })
  const session = await openSession(step.bytes, { threads: 1 })
  const begin = new Map(splitParameters(layout, start).map(({ name, values }) => [name, values]))
  let carried: Record<string, RuntimeTensor> = Object.fromEntries(
    step.carried.map(({ name, shape }) => {
      const data = begin.get(name) ?? new Float32Array(elementCount(shape))
      return [name, { type: 'float32', shape, data }]
    }),
  )
  const losses: number[] = []
  for (let from = 0; from < steps; from += chunk) {
    const stacked = feeds.map(({ name, type, shape }): [string, RuntimeTensor] => {
      const size = elementCount(shape)
      const data = type === 'int32' ? new Int32Array(chunk * size) : new Float32Array(chunk * size)
      for (let at = 0; at < chunk; at++) data.set(batches[(from + at) % batches.length]![name]!, at * size)
      return [name, { type: type as 'int32' | 'float32', shape: [chunk, ...shape], data }]
    })
    const rates = Array.from({ length: chunk }, (_, at) => optimizer.rates(from + at + 1, (from + at + 1) / steps))
    const results = await session.run({
      ...Object.fromEntries(stacked),
      rates: { type: 'float32', shape: [chunk, optimizer.rateCount], data: Float32Array.from(rates.flat()) },
      ...carried,
      ...constantFeeds(step.constants),
    })
    carried = Object.fromEntries(step.carried.map(({ name }) => [name, results[`${name}.next`]!]))
    losses.push(Number(results['loss']!.data[0]) / chunk)
  }
  await session.release()
  const parameters = new Float32Array(layout.length)
  for (const { name, offset } of layout.entries) parameters.set(carried[name]!.data as Float32Array, offset)
  return { parameters, losses, constants: step.constants.map(({ name }) => name) }
}

const gpt = transformer({ layers: 2, heads: 2, width: 32, context: 16, vocabulary: 20 })
const gptTokens: RuntimeTensor = {
  type: 'int32',
  shape: [3, 16],
  data: Int32Array.from({ length: 48 }, (_, at) => (at * 7) % 20),
}

test('by default attention and MLP are adapted, embeddings and the head are not; patterns choose others', () => {
  const weights = gpt.initial(1)
  const { adapters, layout } = withAdapters(gpt, weights, { rank: 4 })
  const names = ['query', 'key', 'value', 'output'].map((name) => `attention.${name}`)
  const expected = [0, 1].flatMap((layer) =>
    [...names, 'mlp.input', 'mlp.output'].map((name) => `${layer}.${name}.weight`),
  )
  assert.equal(
    adapters.map(({ parameter }) => parameter),
    expected,
  )
  assert.is(layout.length, 2 * 4 * (4 * (32 + 32) + 2 * (32 + 128)))
  const some = withAdapters(gpt, weights, { rank: 4, targets: ['1.*.query.weight', 'head.weight'] })
  assert.equal(
    some.adapters.map(({ parameter }) => parameter),
    ['1.attention.query.weight', 'head.weight'],
  )
  assert.equal(
    some.layout.entries.map(({ name, shape }) => `${name} ${shape}`),
    [
      '1.attention.query.lora_A.weight 32,4',
      '1.attention.query.lora_B.weight 4,32',
      'head.lora_A.weight 32,4',
      'head.lora_B.weight 4,20',
    ],
  )
  assert.is(
    codeOf(() => withAdapters(gpt, weights, { rank: 4, targets: ['*.query.weight', 'nothing.*'] })),
    'no_targets',
  )
  const headAlone = withAdapters(mlp([4, 2]), mlp([4, 2]).initial(1), { rank: 1 })
  assert.equal(
    headAlone.adapters.map(({ parameter }) => parameter),
    ['0.weight'],
  )
  assert.is(
    codeOf(() => withAdapters(gpt, weights, { rank: 0 })),
    'bad_option',
  )
  assert.is(
    codeOf(() => withAdapters(gpt, weights, { rank: 1.5 })),
    'bad_option',
  )
  assert.is(
    codeOf(() => withAdapters(gpt, weights, { rank: 4, alpha: Number.NaN })),
    'bad_option',
  )
  assert.is(
    codeOf(() => withAdapters(gpt, weights.subarray(1), { rank: 4 })),
    'wrong_length',
  )
})

test('new adapters change nothing, and the base is held as it was given', async () => {
  const weights = gpt.initial(1)
  const adapted = withAdapters(gpt, weights, { rank: 4, alpha: 16 })
  const before = await outputsOf(withParameters(gpt.model, weights), { tokens: gptTokens })
  const after = await outputsOf(withParameters(adapted.model, adapted.initial(2)), { tokens: gptTokens })
  assert.ok(largestDifference(before, after) < 1e-6)
  assert.equal(parameterLayout(adapted.model), adapted.layout)
  for (const { name } of gpt.layout.entries) {
    assert.is(adapted.model.graph.initializers.get(name)!.data.buffer, weights.buffer, name)
  }
  assert.equal(adapted.initial(2), adapted.initial(2))
  assert.not.equal(adapted.initial(2), adapted.initial(3))
})

/** Products of every form, of a weight "w" [6, 8] or [8, 6], between two others: the shape of `inputs` comes first. */
const products: Readonly<
  Record<string, [number[], number[], (g: GraphBuilder, x: never, w: never) => ReturnType<GraphBuilder['op']>]>
> = {
  MatMul: [[5, 6], [6, 8], (g, x, w) => g.op('MatMul', [x, w])],
  'MatMul of a batch': [[2, 5, 6], [6, 8], (g, x, w) => g.op('MatMul', [x, w])],
  'MatMul from the left': [[6, 5], [8, 6], (g, x, w) => g.op('MatMul', [w, x])],
  'MatMul from the left of a batch': [[2, 6, 5], [8, 6], (g, x, w) => g.op('MatMul', [w, x])],
  'MatMul of a transposed weight': [[2, 5, 6], [8, 6], (g, x, w) => g.op('MatMul', [x, g.op('Transpose', [w])])],
  Gemm: [[5, 6], [6, 8], (g, x, w) => g.op('Gemm', [x, w])],
  'Gemm with all': [
    [6, 5],
    [8, 6],
    (g, x, w) =>
      g.op('Gemm', [x, w, g.constant('float32', [8], [0.1, 0.2, 0.3, 0.4, 0, -0.1, -0.2, -0.3])], {
        alpha: 0.5,
        beta: 2,
        transA: 1,
        transB: 1,
      }),
  ],
  'Gemm from the left': [[5, 6], [8, 6], (g, x, w) => g.op('Gemm', [w, x], { transB: 1, alpha: -2 })],
  'Gemm from the left, both transposed': [[5, 6], [6, 8], (g, x, w) => g.op('Gemm', [w, x], { transA: 1, transB: 1 })],
  'a weight that is used both ways': [
    [5, 6],
    [6, 8],
    (g, x, w) => g.op('MatMul', [g.op('Tanh', [g.op('MatMul', [x, w])]), g.op('Transpose', [w])]),
  ],
}

for (const [title, [shape, size, use]] of Object.entries(products)) {
  test(`${title}: adapted and merged agree`, async () => {
    const base = defineModel('product', (m) => {
      // An operand of a named size is no parameter.
      const x = m.g.input('inputs', 'float32', shape.with(shape.length === 3 ? 0 : shape.indexOf(5), 'batch' as never))
      const w = m.parameter('w', size, normal(0.5))
      m.g.output('logits', m.g.op('Tanh', [use(m.g, x as never, w as never)]))
    })
    const random = createRandom(5)
    const weights = base.initial(1)
    const adapted = withAdapters(base, weights, { rank: 3, alpha: 2, targets: ['w'] })
    const adapters = drawn(random, adapted.layout.length)
    const inputs: RuntimeTensor = { type: 'float32', shape, data: drawn(random, elementCount(shape)) }
    const apart = await outputsOf(withParameters(adapted.model, adapters), { inputs })
    const merged = await outputsOf(withParameters(base.model, mergeAdapters(adapted, adapters)), { inputs })
    const without = await outputsOf(withParameters(base.model, weights), { inputs })
    assert.ok(largestDifference(apart, merged) < 2e-6, `${largestDifference(apart, merged)}`)
    assert.ok(largestDifference(apart, without) > 0.05)
  })
}

const recorded: {
  readonly config: never
  readonly inputs: readonly number[]
  readonly classes: number
  readonly steps: number
  readonly batches: number
  readonly rank: number
  readonly alpha: number
  readonly parameters: readonly { readonly name: string; readonly shape: readonly number[] }[]
  readonly gradients: Readonly<Record<string, readonly number[]>>
  readonly optimizer: OptimizerPlan
  readonly losses: readonly number[]
  readonly last: Readonly<Record<string, readonly number[]>>
} = JSON.parse(readFileSync(new URL('vectors/lora/gpt.json', import.meta.url), 'utf8'))

/** What the recorder starts from: values are drawn in its order and looked up by name. */
function likePytorch() {
  const base = transformer(recorded.config)
  const fill = (
    layout: TrainableModel['layout'],
    seed: number,
    names: Iterable<readonly [string, readonly number[]]>,
  ) => {
    const random = createRandom(seed)
    const flat = new Float32Array(layout.length)
    const parts = new Map(splitParameters(layout, flat).map(({ name, values }) => [name, values]))
    for (const [name, shape] of names) {
      const begin = name.endsWith('.scale') ? 1 : 0
      parts.get(name)!.set(drawn(random, elementCount(shape)).map((value) => value * 0.5 + begin))
    }
    return flat
  }
  const weights = fill(
    base.layout,
    7,
    recorded.parameters.map(({ name, shape }) => [name, shape] as const),
  )
  const adapted = withAdapters(base, weights, recorded)
  const shapes = new Map(adapted.layout.entries.map(({ name, shape }) => [name, shape]))
  assert.equal([...shapes.keys()].sort(), Object.keys(recorded.gradients).sort())
  const start = fill(
    adapted.layout,
    13,
    Object.keys(recorded.gradients).map((name) => [name, shapes.get(name)!] as const),
  )
  const random = createRandom(11)
  const integers = (): Int32Array =>
    Int32Array.from({ length: elementCount(recorded.inputs) }, () => Math.floor(random.unit() * recorded.classes))
  const batches = Array.from({ length: recorded.batches }, () => ({ tokens: integers(), targets: integers() }))
  const feeds: Feed[] = ['tokens', 'targets'].map((name) => ({ name, type: 'int32', shape: recorded.inputs }))
  return { adapted, start, batches, feeds, weights }
}

test('gradients of adapters are those of PyTorch', async () => {
  const { adapted, start, batches, feeds } = likePytorch()
  const g = createGraphBuilder('once')
  const { entries } = adapted.layout
  const values = new Map(entries.map(({ name, shape }) => [name, g.input(name, 'float32', shape)]))
  const given = new Map(feeds.map(({ name, type, shape }) => [name, g.input(name, type, shape)]))
  const { value, gradient } = classification(adapted.model)(g, values, given)
  for (const [at, dx] of appendGradients(g, { value, gradient }, [...values.values()]).entries()) {
    g.output(`d:${entries[at]!.name}`, dx)
  }
  const session = await openSession(encodeModel(g.model()), { threads: 1 })
  const parameters = splitParameters(adapted.layout, start)
  const results = await session.run({
    ...Object.fromEntries(parameters.map(({ name, shape, values: data }) => [name, { type: 'float32', shape, data }])),
    ...Object.fromEntries(
      feeds.map(({ name, shape }) => [name, { type: 'int32', shape, data: batches[0]![name as 'tokens'] }]),
    ),
  })
  await session.release()
  for (const [name, expected] of Object.entries(recorded.gradients)) {
    close(results[`d:${name}`]!.data as Float32Array, expected, 2e-5, name)
  }
})

test('a hundred steps of adapters are those of PyTorch, and the base keeps its bytes', async () => {
  const { adapted, start, batches, feeds, weights } = likePytorch()
  const before = weights.slice()
  const { steps, optimizer: plan } = recorded
  const { parameters, losses } = await train(adapted, start, { plan, feeds, batches, steps, chunk: 10 })
  const expected = losses.map((_, at) => recorded.losses.slice(at * 10, at * 10 + 10).reduce((a, b) => a + b) / 10)
  close(losses, expected, 5e-4, 'losses')
  for (const { name, values } of splitParameters(adapted.layout, parameters)) {
    // A softmax does not see what all keys have in common, which is most of what this small matrix adds: see `record.py`.
    close([...values.subarray(0, 4), Math.hypot(...values)], recorded.last[name]!, 2e-3, name)
  }
  assert.equal(new Uint8Array(weights.buffer), new Uint8Array(before.buffer))
})

test('large frozen weights are fed, not built in, and a shifted task is learned by adapters alone', async () => {
  const sizes = [64, 256, 256, 8]
  const base = mlp(sizes)
  const random = createRandom(3)
  const teacher = drawn(random, 64 * 8)
  const feeds: Feed[] = [
    { name: 'inputs', type: 'float32', shape: [32, 64] },
    { name: 'targets', type: 'int32', shape: [32] },
  ]
  /** The class is the largest of eight random sums; the shifted task has them in another order. */
  const batchesOf = (shift: number) =>
    Array.from({ length: 16 }, () => {
      const inputs = drawn(random, 32 * 64)
      const targets = Int32Array.from({ length: 32 }, (_, row) => {
        const sums = Array.from({ length: 8 }, (_, k) =>
          inputs.subarray(row * 64, row * 64 + 64).reduce((sum, value, at) => sum + value * teacher[at * 8 + k]!, 0),
        )
        return (sums.indexOf(Math.max(...sums)) + shift) % 8
      })
      return { inputs, targets }
    })
  const plan: OptimizerPlan = { kind: 'adamw', learningRate: 3e-3 }
  const first = await train(base, base.initial(1), { plan, feeds, batches: batchesOf(0), steps: 96, chunk: 16 })
  assert.ok(first.losses.at(-1)! < 0.3, `${first.losses}`)
  assert.equal(first.constants, [])
  const frozen = first.parameters.slice()
  const adapted = withAdapters(base, first.parameters, { rank: 8, alpha: 16 })
  const second = await train(adapted, adapted.initial(1), { plan, feeds, batches: batchesOf(3), steps: 160, chunk: 16 })
  assert.ok(second.losses[0]! > 1.5, `${second.losses}`)
  assert.ok(second.losses.at(-1)! < 0.9, `${second.losses}`)
  assert.equal(first.parameters, frozen)
  // Biases and the head are small enough to be inside.
  assert.equal(second.constants, ['step.0.weight', 'step.1.weight'])
})

for (const [file, targets, expected] of [
  ['cnn-dynamo-18', undefined, ['head.weight']],
  ['cnn-script-13', ['head.*'], ['head.weight']],
  ['gpt-dynamo-18', undefined, [0, 1].flatMap((at) => inBlock.map((name) => `blocks.${at}.${name}.weight`))],
  [
    'gpt-dynamo-20',
    ['*.attention.*'],
    [0, 1].flatMap((at) => inBlock.slice(0, 2).map((name) => `blocks.${at}.${name}.weight`)),
  ],
] as const) {
  test(`${file}, as PyTorch exported it, learns with adapters ${targets ?? 'by default'}`, async () => {
    const bytes = new Uint8Array(readFileSync(new URL(`vectors/exported/${file}.onnx`, import.meta.url)))
    const base = importModel(bytes)
    const weights = base.initial(0)
    const kept = weights.slice()
    const adapted = withAdapters(base, weights, { rank: 3, alpha: 6, ...(targets === undefined ? {} : { targets }) })
    assert.equal(
      adapted.adapters.map(({ parameter }) => parameter),
      expected,
    )
    // The file itself can be freed: nothing is a view into it.
    for (const { data } of adapted.model.graph.initializers.values()) assert.is.not(data.buffer, bytes.buffer)
    const random = createRandom(2)
    const image = file.startsWith('cnn')
    const input: Feed = image
      ? { name: 'inputs', type: 'float32', shape: [3, 1, 9, 9] }
      : { name: 'tokens', type: 'int32', shape: [2, 6] }
    const labelled = image ? [3] : input.shape
    const classes = (shape: readonly number[], count: number): Int32Array =>
      Int32Array.from({ length: elementCount(shape) }, () => random.below(count))
    const data = image ? drawn(random, elementCount(input.shape)) : classes(input.shape, 11)
    const feed = { [input.name]: { type: image ? 'float32' : 'int32', shape: input.shape, data } as const }
    const before = await outputsOf(withParameters(base.model, weights), feed)
    close(await outputsOf(withParameters(adapted.model, adapted.initial(1)), feed), before, 1e-6, 'at first')

    const { parameters, losses } = await train(adapted, adapted.initial(1), {
      plan: { kind: 'adamw', learningRate: 0.02 },
      feeds: [input, { name: 'targets', type: 'int32', shape: labelled }],
      batches: [{ [input.name]: data, targets: classes(labelled, 4) }],
      steps: 60,
      chunk: 10,
    })
    assert.ok(losses.at(-1)! < losses[0]! * 0.97, `${losses}`)
    assert.equal(weights, kept)
    const apart = await outputsOf(withParameters(adapted.model, parameters), feed)
    const merged = mergeAdapters(adapted, parameters)
    close(await outputsOf(withParameters(base.model, merged), feed), apart, 1e-5, 'merged')
    // And back to a file for whatever runs PyTorch's own.
    const again = importModel(exportTrained(base, merged))
    assert.equal(again.initial(0), merged)
  })
}

test('merging computes the same; unmerging gives each weight back to a unit in the last place', async () => {
  const weights = gpt.initial(1)
  const adapted = withAdapters(gpt, weights, { rank: 4, alpha: 8 })
  const adapters = drawn(createRandom(9), adapted.layout.length).map((value) => value * 0.3)
  const merged = mergeAdapters(adapted, adapters)
  const apart = await outputsOf(withParameters(adapted.model, adapters), { tokens: gptTokens })
  const together = await outputsOf(withParameters(gpt.model, merged), { tokens: gptTokens })
  close(together, apart, 1e-5, 'logits')
  assert.equal(weights, gpt.initial(1))
  const kept = merged.slice()
  unmergeAdapters(adapted, adapters, merged)
  const changed = kept.reduce((count, value, at) => count + Number(value !== weights[at]), 0)
  assert.ok(changed > 20_000, `${changed}`)
  for (let at = 0; at < weights.length; at++) {
    const largest = Math.max(Math.abs(weights[at]!), Math.abs(kept[at]!))
    const ulp = 2 ** (Math.floor(Math.log2(Math.max(largest, 2 ** -126))) - 23)
    assert.ok(Math.abs(merged[at]! - weights[at]!) <= ulp, `${at}`)
  }
  assert.is(
    codeOf(() => mergeAdapters(adapted, adapters.subarray(1))),
    'wrong_length',
  )
  assert.is(
    codeOf(() => unmergeAdapters(adapted, adapters, merged.subarray(1))),
    'wrong_length',
  )
})

test('adapters are read from the file that they were written to', () => {
  const weights = gpt.initial(1)
  const adapted = withAdapters(gpt, weights, { rank: 4, alpha: 8, targets: ['*.mlp.*'] })
  const adapters = drawn(createRandom(9), adapted.layout.length)
  const file = Buffer.concat(encodeAdapters(adapted, adapters))
  assert.equal(decodeAdapters(file, adapted), adapters)
  const { rank, alpha, targets, base } = readAdapterMetadata(file)
  const again = withAdapters(gpt, weights, { rank, alpha, targets })
  assert.equal(decodeAdapters(file, again), adapters)
  assert.match(base, /^[0-9a-f]{64}$/)
  // The shapes that PEFT has: [rank, inputs] and [outputs, rank].
  const shapes = decodeTensors(file).tensors.map(({ name, shape }) => `${name} ${shape}`)
  assert.equal(shapes.slice(0, 2), ['0.mlp.input.lora_A.weight 4,32', '0.mlp.input.lora_B.weight 128,4'])
  const [a] = decodeTensors(file).tensors
  assert.is(a!.data[1], adapters[4], 'the second input of the first adapter')
})

test('files for another model, and damaged ones, are refused', () => {
  const weights = gpt.initial(1)
  const options = { rank: 4, alpha: 8, targets: ['*.mlp.*'] }
  const adapted = withAdapters(gpt, weights, options)
  const file = Buffer.concat(encodeAdapters(adapted, adapted.initial(1)))
  const refused = (bytes: Uint8Array, model: AdaptedModel, code: string) =>
    assert.is(
      codeOf(() => decodeAdapters(bytes, model)),
      code,
    )
  const moved = weights.slice()
  moved[5]! += 1e-7
  refused(file, withAdapters(gpt, moved, options), 'wrong_base')
  refused(file, withAdapters(gpt, weights, { ...options, rank: 5 }), 'wrong_adapters')
  refused(file, withAdapters(gpt, weights, { ...options, alpha: 9 }), 'wrong_adapters')
  refused(file, withAdapters(gpt, weights, { ...options, targets: ['*.mlp.*', '*.query.weight'] }), 'wrong_adapters')
  refused(file, withAdapters(gpt, weights, { ...options, targets: ['0.mlp.*'] }), 'wrong_adapters')
  const { tensors, metadata } = decodeTensors(file)
  const written = (changes: Partial<ReturnType<typeof decodeTensors>>) =>
    Buffer.concat(encodeTensors({ tensors, metadata, ...changes }))
  const [first, ...rest] = tensors
  refused(written({ tensors: [{ ...first!, shape: [...first!.shape].reverse() }, ...rest] }), adapted, 'wrong_adapters')
  for (const [field, text] of Object.entries({ rank: 'four', alpha: '', targets: '{', base: 'ab' })) {
    refused(written({ metadata: { ...metadata, [field]: text } }), adapted, 'malformed_adapters')
    const { [field]: _, ...others } = metadata
    refused(written({ metadata: others }), adapted, 'malformed_adapters')
  }
  refused(file.subarray(0, -1), adapted, 'malformed_tensors')
})

test.run()
