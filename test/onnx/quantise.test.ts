import * as assert from 'uvu/assert'
import {
  createGraphBuilder,
  createRandom,
  encodeModel,
  type GraphBuilder,
  type Model,
  openSession,
  type QuantiseOptions,
  quantiseModel,
  type RuntimeTensor,
  type Tensor,
  type Value,
} from '../../src/onnx/index.ts'
import { packed, quantiseColumns } from '../../src/onnx/quantise/blocks.ts'
import { suite } from '../suite.ts'

const test = suite('quantised models')

const random = createRandom(4)
/** Sums of three: most are small, a few large, as weights are. */
const drawn = (length: number): Float32Array =>
  Float32Array.from({ length }, () => (random.unit() + random.unit() + random.unit() - 1.5) * 0.1)
const codeOf = (work: () => unknown): string => {
  try {
    work()
    return 'none'
  } catch (error) {
    return (error as { code: string }).code
  }
}
const floats = (shape: readonly number[], values: Float32Array): Tensor => ({
  type: 'float32',
  shape,
  data: new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
})
async function run(model: Model, feeds: Readonly<Record<string, RuntimeTensor>>): Promise<Float32Array> {
  const session = await openSession(encodeModel(model), { threads: 1 })
  const results = await session.run(feeds)
  await session.release()
  return results['y']!.data as Float32Array
}
/** The length of the difference beside the length of what is expected. */
function error(actual: Float32Array, expected: Float32Array): number {
  assert.is(actual.length, expected.length)
  return Math.hypot(...actual.map((value, at) => value - expected[at]!)) / Math.hypot(...expected)
}

for (const [bits, block, rows, columns] of [
  [8, 70, 70, 9],
  [8, 32, 70, 9],
  [4, 32, 70, 9],
  [4, 16, 16, 1],
  [4, 32, 31, 3],
] as const) {
  test(`int${bits}: in a [${rows}, ${columns}] of blocks of ${block}, each number is off by half its scale at most`, () => {
    const values = drawn(rows * columns)
    values.fill(0, 0, columns)
    const { codes, scales } = quantiseColumns(values, columns, { bits, block })
    assert.is(scales.length, Math.ceil(rows / block) * columns)
    let largest = 0
    for (let at = 0; at < values.length; at++) {
      const scale = scales[Math.floor(at / columns / block) * columns + (at % columns)]!
      assert.ok(Math.abs(codes[at]!) <= (bits === 8 ? 127 : 7))
      const off = Math.abs(values[at]! - codes[at]! * scale) / scale
      assert.ok(off <= 0.5 + 1e-4, `${at}: ${off}`)
      largest = Math.max(largest, off)
    }
    // The codes are used to the full: the bound is nearly met.
    assert.ok(largest > 0.4, `${largest}`)
  })
}

test('nothing but zeros, the smallest and the largest numbers have codes; what is no number has none', () => {
  const extremes = Float32Array.of(0, 1e-45, -3.4e38, 0, 0, 3.4e38, 0, -1e-45, 1.7e38)
  const { codes, scales } = quantiseColumns(extremes, 3, { bits: 4, block: 3 })
  assert.equal([...codes], [0, 0, -7, 0, 0, 7, 0, 0, 4])
  assert.equal(scales[0], 1)
  for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
    assert.is(
      codeOf(() => quantiseColumns(Float32Array.of(1, bad), 1, { bits: 8, block: 2 })),
      'not_finite',
    )
  }
})

test('two codes of four bits share a byte, the first in its low half', () => {
  assert.equal([...packed(Int8Array.of(1, -1, 7, -7, -8), [5], 4).data], [0xf1, 0x97, 0x08])
  assert.equal([...packed(Int8Array.of(1, -1), [2], 8).data], [1, 255])
})

type Use = (g: GraphBuilder, x: Value, w: Value) => Value
const gemm =
  (transB: number): Use =>
  (g, x, w) =>
    g.op('Gemm', [x, w, g.constant('float32', [1], [0.5])], { transB })
const product: Use = (g, x, w) => g.op('MatMul', [x, w])
/** A product of rows [2 or more, inputs] with a weight that is built in. */
const uses: Readonly<Record<string, { readonly use: Use; readonly lead?: number[]; readonly turned?: boolean }>> = {
  MatMul: { use: product },
  'MatMul of a batch': { use: product, lead: [3, 2] },
  'MatMul of a transposition': { use: (g, x, w) => g.op('MatMul', [x, g.op('Transpose', [w])]), turned: true },
  Gemm: { use: gemm(0) },
  'Gemm of a transposed weight': { use: gemm(1), turned: true },
  'Gemm with factors': { use: (g, x, w) => g.op('Gemm', [x, w, g.scalar('float32', 0.1)], { alpha: -0.5, beta: 2 }) },
}
const sizes = [
  [64, 48],
  [96, 33],
  [70, 31],
  [33, 35],
  [7, 200],
] as const

for (const [title, { use, lead = [4], turned = false }] of Object.entries(uses)) {
  test(`${title}: the runtime computes what the codes stand for`, async () => {
    for (const [inputs, outputs] of sizes) {
      const g = createGraphBuilder('product')
      const shape = [...lead, inputs]
      const x = g.input('x', 'float32', shape)
      const w = g.initializer('w', floats(turned ? [outputs, inputs] : [inputs, outputs], drawn(inputs * outputs)))
      g.output('y', use(g, x, w))
      const data = drawn(shape.reduce((a, b) => a * b, 1))
      const feeds: Record<string, RuntimeTensor> = { x: { type: 'float32', shape, data } }
      const expected = await run(g.model(), feeds)
      const of = (options: QuantiseOptions) => run(quantiseModel(g.model(), options), feeds)
      assert.ok(error(await of({ bits: 8 }), expected) < 0.02, `int8 ${inputs} ${outputs}`)
      assert.ok(error(await of({ bits: 8, blockSize: 32 }), expected) < 0.02, `int8 in blocks ${inputs} ${outputs}`)
      assert.ok(error(await of({ bits: 4 }), expected) < 0.15, `int4 ${inputs} ${outputs}`)
      assert.ok(error(await of({ bits: 4, blockSize: 16 }), expected) < 0.15, `int4 in blocks of 16`)
    }
  })
}

test('rows of a table are picked as integers', async () => {
  const table = drawn(100 * 24).map((value, at) => value * (1 + ((at % 2400) >> 8)))
  const g = createGraphBuilder('table')
  const places = g.input('places', 'int32', [2, 3])
  g.output('y', g.op('Gather', [g.initializer('table', floats([100, 24], table)), places]))
  const model = quantiseModel(g.model(), { bits: 4 })
  assert.equal(
    [...model.graph.packed!].map(([name, { type, shape }]) => `${name} ${type} ${shape}`),
    ['table.rows int8 100,24'],
  )
  const data = Int32Array.of(0, 99, 7, 50, 50, 13)
  const y = await run(model, { places: { type: 'int32', shape: [2, 3], data } })
  for (const [at, value] of y.entries()) {
    const row = table.subarray(data[Math.floor(at / 24)]! * 24).subarray(0, 24)
    assert.ok(Math.abs(value - row[at % 24]!) <= Math.max(...row.map(Math.abs)) / 254 + 1e-6)
  }
})

test('exempt and small weights stay, weights used otherwise stay too, and nothing is kept that is not used', async () => {
  const g = createGraphBuilder('several')
  const x = g.input('x', 'float32', [2, 64])
  const weight = (name: string, rows: number, columns: number) =>
    g.initializer(name, floats([rows, columns], drawn(rows * columns)))
  const shared = weight('shared.weight', 64, 64)
  let y = g.op('MatMul', [x, shared])
  y = g.op('Add', [g.op('MatMul', [y, weight('plain.weight', 64, 64)]), g.op('ReduceSum', [shared])])
  y = g.op('MatMul', [y, g.op('Transpose', [weight('turned.weight', 64, 64)])])
  y = g.op('MatMul', [y, weight('head.weight', 64, 32)])
  g.output('y', g.op('MatMul', [y, weight('small.weight', 32, 4)]))
  const model = quantiseModel(g.model(), { bits: 8, exempt: ['head.*'] })
  const { nodes, initializers, packed: codes } = model.graph
  assert.is(model.opset, 21)
  assert.equal([...codes!.keys()], ['shared.weight.codes', 'plain.weight.codes', 'turned.weight.codes'])
  const left = [...initializers.keys()].filter((name) => name.endsWith('.weight'))
  assert.equal(left.sort(), ['head.weight', 'shared.weight', 'small.weight'])
  assert.not.ok(nodes.some(({ op }) => op === 'Transpose'))
  const feeds = { x: { type: 'float32', shape: [2, 64], data: drawn(128) } } as const
  assert.ok(error(await run(model, feeds), await run(g.model(), feeds)) < 0.03)
  const builtIn = encodeModel(g.model()).length
  const ratio = (encodeModel(model).length - 64 * 64 * 4) / (builtIn - 64 * 64 * 4)
  assert.ok(ratio < 0.55, `${ratio}`)
})

test('what a loop uses of the values around it is kept', async () => {
  const g = createGraphBuilder('around')
  const x = g.input('x', 'float32', [2, 64])
  const weight = g.initializer('w', floats([64, 64], drawn(64 * 64)))
  const around = g.op('Tanh', [g.op('MatMul', [x, weight])])
  const body = createGraphBuilder('body', 'body.')
  body.input('body.at', 'int64', [])
  const going = body.input('body.going', 'bool', [])
  const carried = body.input('body.y', 'float32', [2, 64])
  body.output('body.going.next', going)
  body.output('body.y.next', body.op('Add', [carried, around]))
  g.output('y', g.op('Loop', [g.scalar('int64', 3), g.constant('bool', [], [1]), x], { body: body.graph() }))
  const feeds = { x: { type: 'float32', shape: [2, 64], data: drawn(128) } } as const
  const expected = await run(g.model(), feeds)
  assert.ok(error(await run(quantiseModel(g.model(), { bits: 8 }), feeds), expected) < 0.03)
})

test('sizes are a quarter and a seventh, with the scales', () => {
  const g = createGraphBuilder('large')
  const x = g.input('x', 'float32', ['rows', 512])
  g.output('y', g.op('MatMul', [x, g.initializer('w', floats([512, 512], drawn(512 * 512)))]))
  const bytes = encodeModel(g.model()).length
  const share = (options: QuantiseOptions) => bytes / encodeModel(quantiseModel(g.model(), options)).length
  assert.ok(Math.abs(share({ bits: 8 }) - 4) < 0.05)
  assert.ok(Math.abs(share({ bits: 4 }) - 32 / 5) < 0.05)
  assert.ok(Math.abs(share({ bits: 4, blockSize: 64 }) - 32 / 4.5) < 0.06)
  assert.ok(share({ bits: 4, blockSize: 128 }) > 7.4)
})

test('what cannot be quantised is refused', () => {
  const g = createGraphBuilder('none')
  const x = g.input('x', 'float32', [2, 64])
  g.output('y', g.op('MatMul', [x, g.input('w', 'float32', [64, 64])]))
  assert.is(
    codeOf(() => quantiseModel(g.model(), { bits: 8 })),
    'no_targets',
  )
  for (const blockSize of [0, 8, 24, 33, 1.5, Number.NaN, 2 ** 17]) {
    assert.is(
      codeOf(() => quantiseModel(g.model(), { bits: 4, blockSize })),
      'bad_option',
      `${blockSize}`,
    )
  }
  const bad = createGraphBuilder('bad')
  const weights = drawn(64 * 64)
  weights[100] = Number.NaN
  bad.output(
    'y',
    bad.op('MatMul', [bad.input('x', 'float32', [2, 64]), bad.initializer('w', floats([64, 64], weights))]),
  )
  assert.is(
    codeOf(() => quantiseModel(bad.model(), { bits: 8 })),
    'not_finite',
  )
})

test.run()
