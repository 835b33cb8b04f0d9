/** Steps as other providers want them, and in mixed precision: computed by the CPU, beside its own. */
import * as assert from 'uvu/assert'
import { errorCode } from '../../src/lib/index.ts'
import {
  createGraphBuilder,
  createRandom,
  encodeModel,
  type GraphBuilder,
  openSession,
  type RuntimeTensor,
  type Value,
} from '../../src/onnx/index.ts'
import { appendGradients } from '../../src/training/autodiff.ts'
import { type Lowering, lowered, lowerings } from '../../src/training/lowering.ts'
import { cnn, mlp } from '../../src/training/models/images.ts'
import { lstm } from '../../src/training/models/lstm.ts'
import { transformer } from '../../src/training/models/transformer.ts'
import { suite } from '../suite.ts'
import { inRoundedFloat16 } from './float16.ts'
import { checkGradients } from './gradient-check.ts'
import { agree, beginning, type Case, runsOf, stepOf, type Trained, train } from './steps.ts'

const test = suite('lowering')

const cases: Readonly<Record<string, Case>> = {
  mlp: {
    model: mlp([12, 16, 16, 5]),
    input: { name: 'inputs', type: 'float32', shape: [8, 12] },
    classes: 5,
    plan: { kind: 'sgd', learningRate: 0.1 },
  },
  cnn: {
    model: cnn({ side: 8, channels: [3, 4], kernel: 3, hidden: 16, classes: 4 }),
    input: { name: 'inputs', type: 'float32', shape: [6, 1, 8, 8] },
    classes: 4,
    plan: { kind: 'sgd', learningRate: 0.05, momentum: 0.9 },
  },
  lstm: {
    model: lstm({ vocabulary: 11, width: 6, hidden: 8, layers: 1, length: 7 }),
    input: { name: 'tokens', type: 'int32', shape: [4, 7] },
    classes: 11,
    plan: { kind: 'sgd', learningRate: 0.5, clipNorm: 1 },
  },
  gpt: {
    model: transformer({ layers: 2, heads: 2, width: 16, context: 8, vocabulary: 13, bias: false }),
    input: { name: 'tokens', type: 'int32', shape: [4, 8] },
    classes: 13,
    plan: { kind: 'adamw', learningRate: 3e-3, weightDecay: 0.01, clipNorm: 1 },
  },
}

async function trained(
  one: Case,
  steps: number,
  { accumulate = 1, ...options }: Parameters<typeof stepOf>[1] = {},
  write = (bytes: Uint8Array): Uint8Array => bytes,
): Promise<Trained> {
  const step = stepOf(one, { accumulate, ...options })
  const session = await openSession(write(step.bytes), { threads: 1 })
  try {
    const runs = runsOf(one, steps, step.steps === 'single' ? 1 : steps, accumulate)
    return await train(session, step, beginning(one, step), runs)
  } finally {
    await session.release()
  }
}
const meanLoss = ({ losses, ...rest }: Trained): Trained => ({
  ...rest,
  losses: [losses.reduce((sum, loss) => sum + loss, 0) / losses.length],
})

for (const [name, one] of Object.entries(cases)) {
  test(`${name}: 30 steps as written for webgpu, one a run, are those of the cpu's loop`, async () => {
    agree(meanLoss(await trained(one, 30, { provider: 'webgpu' })), await trained(one, 30), 2e-5)
  })
}

test('batches are accumulated without a loop too', async () => {
  const options = { accumulate: 3, provider: 'webgpu' } as const
  const one = cases['mlp']!
  agree(meanLoss(await trained(one, 10, options)), await trained(one, 10, { accumulate: 3 }), 2e-5)
})

const pools = {
  'windows that overlap': { kernel_shape: [3, 3], strides: [2, 2] },
  'windows with pads': { kernel_shape: [3, 2], strides: [2, 1], pads: [1, 1, 0, 0] },
  'windows with gaps, and what is left over': { kernel_shape: [2, 2], strides: [3, 2], dilations: [2, 1] },
}
for (const [title, attributes] of Object.entries(pools)) {
  const use = (g: GraphBuilder, x: Value): Value => g.op('MaxPool', [x], attributes)
  test(`a maximum's gradient by a mask: ${title}`, () =>
    checkGradients({ shapes: [[2, 3, 6, 7]], spaced: true, use }, createRandom(3), lowerings.webgpu))
}

/** The gradient of a sum with random weights, in float32. */
async function gradient(
  lowering: Lowering,
  x: RuntimeTensor,
  use: (g: GraphBuilder, x: Value) => Value,
): Promise<RuntimeTensor> {
  const g = lowered(createGraphBuilder('one'), lowering)
  const input = g.input('x', 'float32', x.shape)
  const result = use(g, input)
  const random = createRandom(4)
  const sizes = result.shape as number[]
  const weights = Array.from({ length: sizes.reduce((all, size) => all * size, 1) }, () => random.unit())
  const seed = g.constant('float32', sizes, weights)
  g.output('dx', appendGradients(g, { value: result, gradient: seed }, [input], lowering.rules)[0]!)
  const session = await openSession(encodeModel(g.model()), { threads: 1 })
  const { dx } = await session.run({ x })
  await session.release()
  return dx!
}

test('of equal elements the first takes the gradient, as with indices', async () => {
  const random = createRandom(2)
  const data = Float32Array.from({ length: 2 * 3 * 36 }, () => random.below(3) - 1)
  const x: RuntimeTensor = { type: 'float32', shape: [2, 3, 6, 6], data }
  for (const attributes of [
    { kernel_shape: [2, 2], strides: [1, 2] },
    { kernel_shape: [3, 3], pads: [1, 1, 1, 1] },
  ]) {
    const use = (g: GraphBuilder, value: Value): Value => g.op('MaxPool', [value], attributes)
    const [mask, indices] = [await gradient(lowerings.webgpu, x, use), await gradient(lowerings.cpu, x, use)]
    mask.data.forEach((value, i) => {
      assert.ok(Math.abs(Number(value) - Number(indices.data[i])) < 1e-5, `${i}`)
    })
  }
})

test('a row that is asked for by its place from the end gets its gradient', async () => {
  const x: RuntimeTensor = { type: 'float32', shape: [4, 2], data: new Float32Array(8) }
  const use = (g: GraphBuilder, table: Value): Value =>
    g.op('Gather', [table, g.constant('int64', [3], [-1, 0, 3])], { axis: 0 })
  assert.equal((await gradient(lowerings.webgpu, x, use)).data, (await gradient(lowerings.cpu, x, use)).data)
})

test('a provider that cannot train, or not in float16, is refused', () => {
  const refusal = (options: Parameters<typeof stepOf>[1]): string => {
    try {
      stepOf(cases['mlp']!, options)
    } catch (error) {
      return errorCode(error)
    }
    return 'none'
  }
  assert.is(refusal({ provider: 'coreml' }), 'provider_cannot_train')
  assert.is(refusal({ precision: 'float16' }), 'no_such_precision')
  assert.is(refusal({ provider: 'webgpu', precision: 'float16' }), 'none')
})

test('rounding to float16 in these tests is the standard one, small and large numbers too', async () => {
  const random = createRandom(9)
  const drawn = Array.from({ length: 2000 }, () => (random.unit() - 0.5) * 2 ** (random.below(44) - 26))
  const data = Float32Array.from([...drawn, 0, 65_504, 65_519, -65_521, 1e6, -1e30])
  const g = createGraphBuilder('round')
  const x = g.input('x', 'float32', [data.length])
  g.output('y', g.cast(g.cast(x, 'float16'), 'float32'))
  const session = await openSession(inRoundedFloat16(encodeModel(g.model())), { threads: 1 })
  const { y } = await session.run({ x: { type: 'float32', shape: [data.length], data } })
  await session.release()
  assert.equal(y!.data, Float32Array.from(Float16Array.from(data)))
})

const inFloat16 = { provider: 'webgpu', precision: 'float16' } as const

for (const [name, one] of Object.entries(cases)) {
  test(`${name}: 100 steps in mixed precision lose as much as in float32`, async () => {
    const plain = await trained(one, 100, { provider: 'webgpu' })
    const mixed = await trained(one, 100, inFloat16, inRoundedFloat16)
    // Rounding to 11 bits at each product, and no more than that: a few steps are the same to three digits.
    for (const [at, loss] of plain.losses.slice(0, 10).entries()) {
      assert.ok(Math.abs(mixed.losses[at]! - loss) < 5e-3 * loss, `step ${at}: ${mixed.losses[at]}, not ${loss}`)
    }
    const mean = (losses: readonly number[]): number => losses.reduce((sum, loss) => sum + loss, 0) / losses.length
    const [end, other] = [mean(mixed.losses.slice(-20)), mean(plain.losses.slice(-20))]
    assert.ok(Math.abs(end - other) < 0.02 * other, `${end}, not ${other}`)
    assert.not.equal(mixed.losses, plain.losses)
    // Where the scale was halved, that was so many steps ago at most.
    const [exponent, calm] = ['scale', 'calm'].map((part) => Number(mixed.carried[`loss:${part}`]!.data[0]))
    assert.ok(exponent! <= 0 && (exponent === 0 ? calm === 100 : calm! <= 100 + exponent!), `${exponent}, ${calm}`)
  })
}

test('a step whose gradients overflow changes nothing but the scale, which halves; after 2,000 good ones it doubles', async () => {
  const one = cases['gpt']!
  const step = stepOf(one, inFloat16)
  const session = await openSession(step.bytes, { threads: 1 })
  const number = (value: number): RuntimeTensor => ({ type: 'float32', shape: [], data: Float32Array.of(value) })
  const after = async (scale: number, calm: number) => {
    const start: Record<string, RuntimeTensor> = {
      ...beginning(one, step),
      'loss:scale': number(scale),
      'loss:calm': number(calm),
    }
    const { carried } = await train(session, step, start, runsOf(one, 1, 1))
    const { 'loss:scale': nextScale, 'loss:calm': nextCalm, ...rest } = carried
    const same = Object.entries(rest).every(([name, { data }]) =>
      data.every((value: number | bigint, i: number) => value === start[name]!.data[i]),
    )
    return { scale: nextScale!.data[0], calm: nextCalm!.data[0], same }
  }
  assert.equal(await after(30, 7), { scale: 29, calm: 0, same: true })
  assert.equal(await after(0, 7), { scale: 0, calm: 8, same: false })
  assert.equal(await after(0, 1999), { scale: 1, calm: 0, same: false })
  await session.release()
})

test.run()
