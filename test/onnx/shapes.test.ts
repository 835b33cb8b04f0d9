import * as assert from 'uvu/assert'
import { errorCode } from '../../src/lib/index.ts'
import {
  createGraphBuilder,
  decodeModel,
  encodeModel,
  type GraphBuilder,
  openGraph,
  openSession,
  type RuntimeTensor,
  type Value,
} from '../../src/onnx/index.ts'
import { suite } from '../suite.ts'

const test = suite('onnx shapes')

const feeds: Record<string, RuntimeTensor> = {
  a: { type: 'float32', shape: [2, 3, 4], data: Float32Array.from({ length: 24 }, (_, i) => i / 10 + 0.1) },
  b: { type: 'float32', shape: [4, 5], data: Float32Array.from({ length: 20 }, (_, i) => i / 7 + 0.1) },
  row: { type: 'float32', shape: [4], data: Float32Array.of(1, 2, 3, 4) },
  ids: { type: 'int32', shape: [2, 3], data: Int32Array.of(0, 1, 2, 3, 2, 1) },
}

/** One use of each operator; what is inferred is compared with what the runtime gives. */
const uses: Record<string, (g: GraphBuilder, v: Record<'a' | 'b' | 'row' | 'ids', Value>) => Value> = {
  binary: (g, { a, row }) => g.op('Pow', [g.op('Div', [g.op('Sub', [g.op('Add', [a, row]), a]), a]), row]),
  extremes: (g, { a, row }) => g.op('Max', [g.op('Min', [a, row]), g.scalar('float32', 1)]),
  comparison: (g, { a, row }) =>
    g.op('Where', [g.op('Greater', [a, row]), a, g.op('Where', [g.op('Less', [a, row]), row, a])]),
  equal: (g, { ids }) => g.cast(g.op('Equal', [ids, g.scalar('int32', 2)]), 'float32'),
  modulo: (g, { ids }) => g.cast(g.op('Mod', [ids, g.scalar('int32', 2)]), 'float32'),
  unary: (g, { a }) =>
    (['Identity', 'Neg', 'Exp', 'Log', 'Tanh', 'Relu', 'Sqrt'] as const).reduce(
      (x, op) => g.op(op, [g.op('Mul', [x, x])]),
      a,
    ),
  reciprocal: (g, { a }) => g.op('Reciprocal', [a]),
  softmax: (g, { a }) => g.op('LogSoftmax', [g.op('Softmax', [a], { axis: -1 })], { axis: -1 }),
  product: (g, { a, b }) => g.op('MatMul', [a, b]),
  normalisation: (g, { a, row }) => g.ops('LayerNormalization', [a, row], { axis: -1, epsilon: 1e-5 }, 3)[2]!,
  sum: (g, { a }) => g.op('ReduceSum', [a, g.integers([0, 2])], { keepdims: 0 }),
  mean: (g, { a }) => g.op('ReduceMean', [a, g.integers([-1])], { keepdims: 1 }),
  most: (g, { a }) => g.op('ReduceMax', [a, g.integers([1])], { keepdims: 0 }),
  shape: (g, { a }) => g.cast(g.op('Shape', [a], { start: 1 }), 'float32'),
  range: (g) => g.cast(g.op('Range', [g.scalar('int64', 0), g.scalar('int64', 7), g.scalar('int64', 1)]), 'float32'),
  reshape: (g, { a }) => g.op('Reshape', [a, g.integers([0, -1])]),
  axes: (g, { a }) =>
    g.op('Unsqueeze', [g.op('Squeeze', [g.op('Unsqueeze', [a, g.integers([0])]), g.integers([0])]), g.integers([3])]),
  transpose: (g, { a }) => g.op('Transpose', [a], { perm: [2, 0, 1] }),
  expand: (g, { row }) => g.op('Expand', [row, g.integers([2, 1, 4])]),
  zeros: (g) => g.op('ConstantOfShape', [g.integers([2, 5])]),
  concat: (g, { a }) => g.op('Concat', [a, a], { axis: 1 }),
  slice: (g, { a }) =>
    g.op('Slice', [a, g.integers([-2, 3]), g.integers([9, 0]), g.integers([1, 2]), g.integers([1, -1])]),
  split: (g, { a }) => g.ops('Split', [a, g.integers([1, 3])], { axis: 2 }, 2)[1]!,
  'split evenly': (g, { a }) => g.ops('Split', [a], { axis: 2, num_outputs: 2 }, 2)[1]!,
  gather: (g, { b, ids }) => g.op('Gather', [b, ids], { axis: 0 }),
  gatherInner: (g, { a, ids }) => g.op('Gather', [a, ids], { axis: 2 }),
  elements: (g, { b, ids }) => g.op('GatherElements', [b, ids], { axis: 0 }),
  bounds: (g, { a, row }) => {
    const less = g.cast(g.op('LessOrEqual', [a, row]), 'float32')
    return g.op('Clip', [
      g.op('Add', [less, g.cast(g.op('GreaterOrEqual', [a, row]), 'float32')]),
      g.scalar('float32', 1),
    ])
  },
  activations: (g, { a }) =>
    (['Abs', 'Sign', 'Erf', 'Sin', 'Cos', 'Sigmoid', 'Softplus', 'Elu', 'LeakyRelu', 'Gelu'] as const).reduce(
      (x, op) => g.op(op, [x]),
      a,
    ),
  gemm: (g, { b, row }) => g.op('Gemm', [b, b, g.op('Unsqueeze', [row, g.integers([1])])], { transB: 1 }),
  least: (g, { a }) => g.op('ReduceMin', [a, g.integers([1])], { keepdims: 0 }),
  squares: (g, { a }) => g.op('ReduceL2', [g.op('ReduceSumSquare', [a, g.integers([1])]), g.integers([2])]),
  flatten: (g, { a }) => g.op('Flatten', [a], { axis: -1 }),
  pad: (g, { a }) => g.op('Pad', [a, g.integers([1, -1, 2, 0]), undefined, g.integers([1, -1])]),
  convolution: (g, { a }) =>
    g.op('Conv', [a, g.constant('float32', [6, 1, 2], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])], {
      group: 3,
      strides: [2],
      dilations: [3],
      pads: [1, 2],
    }),
  transposedConvolution: (g, { a }) =>
    g.op('ConvTranspose', [a, g.constant('float32', [3, 1, 2], [1, 2, 3, 4, 5, 6])], {
      group: 3,
      strides: [3],
      pads: [1, 0],
      output_padding: [2],
    }),
  maximum: (g, { a }) =>
    g.cast(g.ops('MaxPool', [a], { kernel_shape: [2], strides: [3], pads: [0, 1], ceil_mode: 1 }, 2)[1]!, 'float32'),
  averages: (g, { a }) => g.op('GlobalAveragePool', [g.op('AveragePool', [a], { kernel_shape: [3], pads: [1, 1] })]),
  unpool: (g, { a }) => {
    const [values, indices] = g.ops('MaxPool', [a], { kernel_shape: [2], strides: [2] }, 2)
    return g.op('MaxUnpool', [values!, indices!, g.integers([2, 3, 4])], { kernel_shape: [2], strides: [2] })
  },
  rounding: (g, { a }) =>
    (['Floor', 'Ceil', 'Round', 'Tan', 'Atan', 'Softsign', 'HardSwish', 'Mish'] as const).reduce(
      (x, op) => g.op(op, [g.op('Add', [a, x])]),
      a,
    ),
  bends: (g, { a, row }) =>
    (['Celu', 'ThresholdedRelu', 'Selu', 'HardSigmoid'] as const).reduce(
      (x, op) => g.op(op, [x]),
      g.op('PRelu', [a, row]),
    ),
  truths: (g, { a, row }) => {
    const up = g.op('Greater', [a, row])
    const odd = g.op('Or', [g.op('IsNaN', [a]), g.op('IsInf', [a])])
    return g.cast(g.op('And', [g.op('Xor', [up, odd]), g.op('Not', [odd])]), 'float32')
  },
  tile: (g, { a }) => g.op('Tile', [a, g.integers([2, 1, 3])]),
  triangle: (g, { a }) => g.op('Trilu', [a, g.scalar('int64', 1)], { upper: 0 }),
  cumulative: (g, { a }) => g.op('CumSum', [a, g.scalar('int64', -2)]),
  largest: (g, { a }) => g.cast(g.op('ArgMax', [a], { axis: 1, keepdims: 0 }), 'float32'),
  places: (g, { a }) => {
    const places = g.constant('int64', [2, 2], [0, 1, 1, 2])
    const picked = g.op('GatherND', [a, places])
    return g.op('GatherND', [g.op('ScatterND', [a, places, picked]), g.constant('int64', [2, 1], [2, 0])], {
      batch_dims: 1,
    })
  },
  size: (g, { a }) => g.cast(g.op('Size', [a]), 'float32'),
  logarithms: (g, { a }) =>
    g.op('ReduceLogSum', [g.op('ReduceLogSumExp', [a, g.integers([0])]), g.integers([1])], { keepdims: 0 }),
  moreSums: (g, { a }) => g.op('ReduceL1', [g.op('ReduceProd', [a, g.integers([-1])]), g.integers([0])]),
  channels: (g, { a }) => {
    const three = (values: number[]): Value => g.constant('float32', [3], values)
    return g.op('BatchNormalization', [a, three([1, 2, 3]), three([0, 1, 0]), three([0, 0, 1]), three([1, 2, 3])])
  },
  scatter: (g, { b, ids }) => {
    const updates = g.op('Expand', [g.scalar('float32', 1), g.integers([2, 3])])
    return g.op('ScatterElements', [b, ids, updates], { axis: 0, reduction: 'add' })
  },
}

for (const [title, use] of Object.entries(uses)) {
  test(`inferred shapes are the runtime's: ${title}`, async () => {
    const g = createGraphBuilder(title)
    const input = (name: string): Value => g.input(name, feeds[name]!.type, feeds[name]!.shape)
    const values = { a: input('a'), b: input('b'), row: input('row'), ids: input('ids') }
    const value = use(g, values)
    g.output('result', value)
    const session = await openSession(encodeModel(g.model()), { threads: 1 })
    const { result } = await session.run(feeds)
    await session.release()
    assert.equal(result?.shape, value.shape)
    assert.is(result?.type, value.type)
  })
}

const refused: Record<string, (g: GraphBuilder, x: Value, w: Value) => unknown> = {
  'a stride of zero': (g, x, w) => g.op('Conv', [x, w], { strides: [0] }),
  'a stride beyond all bounds': (g, x, w) => g.op('Conv', [x, w], { strides: [2 ** 40] }),
  'a negative pad': (g, x, w) => g.op('Conv', [x, w], { pads: [-1, 0] }),
  'too few pads': (g, x, w) => g.op('Conv', [x, w], { pads: [1] }),
  'no groups': (g, x, w) => g.op('Conv', [x, w], { group: 0 }),
  'a window larger than the whole': (g, x, w) => g.op('Conv', [x, w], { dilations: [20] }),
  'pads that cut off all': (g, x, w) => g.op('ConvTranspose', [x, w], { pads: [60, 60] }),
  'output padding as large as the stride': (g, x, w) => g.op('ConvTranspose', [x, w], { output_padding: [1] }),
  'a pool without a window': (g, x) => g.op('MaxPool', [x], {}),
  'indices by columns': (g, x) => g.op('MaxPool', [x], { kernel_shape: [2], storage_order: 1 }),
  'a pad that cuts off more than there is': (g, x) => g.op('Pad', [x, g.integers([0, 0, -9, 0, 0, 0])]),
  'a pad by reflection': (g, x) => g.op('Pad', [x, g.integers([0, 0, 1, 0, 0, 1])], { mode: 'reflect' }),
  'even parts that do not come out even': (g, x) => g.ops('Split', [x], { axis: 2, num_outputs: 3 }, 3),
  'another number of even parts': (g, x) => g.ops('Split', [x], { axis: 2, num_outputs: 4 }, 2),
  'Gemm of three axes': (g, x) => g.op('Gemm', [x, x]),
}
for (const [title, use] of Object.entries(refused)) {
  test(`what does not fit is refused before it runs: ${title}`, () => {
    const g = createGraphBuilder('refused')
    const [x, w] = [g.input('x', 'float32', [1, 2, 8]), g.input('w', 'float32', [2, 2, 3])]
    assert.is(
      codeOf(() => use(g, x, w)),
      'bad_graph',
    )
  })
}
const codeOf = (body: () => unknown): string => {
  try {
    body()
    return 'none'
  } catch (error) {
    return errorCode(error)
  }
}

test('a pad beyond memory is oversized', () => {
  const g = createGraphBuilder('large')
  const x = g.input('x', 'float32', [8])
  assert.is(
    codeOf(() => g.op('Pad', [x, g.integers([0, 2 ** 40])])),
    'oversized',
  )
})

test('an operator that writes where indices point is made here, and refused in a file', () => {
  const g = createGraphBuilder('unpool')
  const [x, at] = [g.input('x', 'float32', [1, 1, 2]), g.input('at', 'int64', [1, 1, 2])]
  g.output('y', g.op('MaxUnpool', [x, at, g.integers([1, 1, 4])], { kernel_shape: [2], strides: [2] }))
  const { graph } = decodeModel(encodeModel(g.model()))
  assert.is(
    codeOf(() => openGraph(graph)),
    'unsupported_model',
  )
})

test('named sizes go through reshapes, and numbers take their place when a graph is opened', () => {
  const g = createGraphBuilder('named')
  const tokens = g.input('tokens', 'int32', ['batch', 'sequence'])
  const flat = g.op('Reshape', [tokens, g.integers([-1, 1])])
  assert.equal(flat.shape, ['batch*sequence', 1])
  const back = g.op('Reshape', [flat, g.op('Concat', [g.op('Shape', [tokens]), g.integers([1])], { axis: 0 })])
  assert.equal(back.shape, ['batch', 'sequence', 1])
  const parts = g.ops('Split', [g.op('Concat', [tokens, tokens], { axis: 0 })], { axis: 0, num_outputs: 2 }, 2)
  assert.equal(parts[1]!.shape, ['batch', 'sequence'])
})

test.run()
