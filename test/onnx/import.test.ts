/** Graphs of operator sets 13 to 21, brought into this room's form: what the runtime makes of the one, it makes of the other. */
import * as assert from 'uvu/assert'
import { OwmError } from '../../src/lib/index.ts'
import { decodeForeign } from '../../src/onnx/decode.ts'
import { importGraph } from '../../src/onnx/import/graph.ts'
import {
  type Attribute,
  createRandom,
  elementCount,
  encodeModel,
  type Model,
  type Node,
  openSession,
  type RuntimeTensor,
  type Tensor,
  tensorOf,
  type ValueInfo,
} from '../../src/onnx/index.ts'
import { suite } from '../suite.ts'

const test = suite('onnx import')

const int = (value: number): Attribute => ({ kind: 'int', value })
const float = (value: number): Attribute => ({ kind: 'float', value })
const ints = (...value: number[]): Attribute => ({ kind: 'ints', value })
const string = (value: string): Attribute => ({ kind: 'string', value })
const tensor = (type: Tensor['type'], shape: readonly number[], values: readonly number[]): Attribute => ({
  kind: 'tensor',
  value: tensorOf(type, shape, values),
})
const node = (op: string, inputs: string[], outputs: string[], attributes: Record<string, Attribute> = {}): Node => ({
  op,
  name: `${op}_of_${outputs[0]}`,
  inputs,
  outputs,
  attributes,
})

interface Foreign {
  readonly version: number
  readonly inputs: Readonly<Record<string, readonly (number | string)[]>>
  /** Sizes of the named dimensions when it runs. */
  readonly sizes?: Readonly<Record<string, number>>
  readonly constants?: Readonly<Record<string, Tensor>>
  readonly nodes: readonly Node[]
  readonly outputs?: readonly string[]
}

/** [4 hidden, ...] as weights that keep a recurrent layer in its range. */
function drawn(seed: number, shape: readonly number[], scale = 1): Tensor {
  const random = createRandom(seed)
  return tensorOf(
    'float32',
    shape,
    Array.from({ length: elementCount(shape) }, () => (random.unit() * 2 - 1) * scale),
  )
}
const i64 = (...values: number[]): Tensor => tensorOf('int64', [values.length], values)
const scalar = (value: number): Tensor => tensorOf('int64', [], [value])

const recurrent = (gates: number, directions: number): Record<string, Tensor> => ({
  w: drawn(1, [directions, gates * 3, 4]),
  r: drawn(2, [directions, gates * 3, 3]),
  b: drawn(3, [directions, 2 * gates * 3]),
  h: drawn(4, [directions, 2, 3]),
  c: drawn(5, [directions, 2, 3]),
})
const sequence = { x: [5, 2, 4] }

const cases: Readonly<Record<string, Foreign>> = {
  'reductions whose axes are attributes': {
    version: 13,
    inputs: { x: [2, 3, 4] },
    nodes: [
      node('ReduceMean', ['x'], ['a'], { axes: ints(1), keepdims: int(1) }),
      node('ReduceL2', ['a'], ['b'], { axes: ints(-1), keepdims: int(0) }),
      node('ReduceSum', ['b', 'none'], ['c'], { noop_with_empty_axes: int(1) }),
      node('ReduceMax', ['c'], ['y'], { keepdims: int(0) }),
    ],
    constants: { none: i64() },
  },
  'reductions whose axes are inputs': {
    version: 18,
    inputs: { x: ['batch', 3, 4] },
    sizes: { batch: 2 },
    constants: { axes: i64(-1) },
    nodes: [
      node('ReduceLogSumExp', ['x', 'axes'], ['a'], { keepdims: int(0) }),
      node('ReduceL1', ['a', 'axes'], ['y'], { keepdims: int(1) }),
    ],
  },
  'Split into equal parts, and into what is left': {
    version: 18,
    inputs: { x: [2, 7] },
    nodes: [
      node('Split', ['x'], ['a', 'b', 'c'], { axis: int(1), num_outputs: int(3) }),
      node('Concat', ['c', 'a', 'b'], ['y'], { axis: int(1) }),
    ],
  },
  'Split of version 13': {
    version: 13,
    inputs: { x: [6, 2] },
    nodes: [node('Split', ['x'], ['a', 'b']), node('Sub', ['a', 'b'], ['y'])],
  },
  'Squeeze without axes': { version: 13, inputs: { x: [1, 3, 1] }, nodes: [node('Squeeze', ['x'], ['y'])] },
  'constants of all kinds': {
    version: 13,
    inputs: { x: [3] },
    nodes: [
      node('Constant', [], ['a'], { value: tensor('float32', [3], [1, 2, 3]) }),
      node('Constant', [], ['b'], { value_float: float(0.5) }),
      node('Constant', [], ['c'], { value_floats: { kind: 'floats', value: [4, 5, 6] } }),
      node('Constant', [], ['d'], { value_ints: ints(3, 1) }),
      node('Constant', [], ['e'], { value_int: int(2) }),
      node('Sum', ['x', 'a', 'b', 'c'], ['f']),
      node('Reshape', ['f', 'd'], ['g']),
      node('Cast', ['e'], ['h'], { to: int(1) }),
      node('Mul', ['g', 'h'], ['y']),
    ],
  },
  'shapes that are calculated': {
    version: 13,
    inputs: { x: ['batch', 'length', 6] },
    sizes: { batch: 2, length: 3 },
    constants: {
      zero: scalar(0),
      one: scalar(1),
      front: i64(0),
      heads: i64(2),
      minus: i64(-1),
      end: i64(Number.MAX_SAFE_INTEGER),
    },
    nodes: [
      node('Shape', ['x'], ['shape']),
      node('Gather', ['shape', 'zero'], ['batch']),
      node('Gather', ['shape', 'one'], ['length']),
      node('Unsqueeze', ['batch', 'front'], ['b']),
      node('Unsqueeze', ['length', 'front'], ['l']),
      node('Slice', ['shape', 'minus', 'end'], ['width']),
      node('Div', ['width', 'heads'], ['each']),
      node('Concat', ['b', 'l', 'heads', 'each'], ['target'], { axis: int(0) }),
      node('Reshape', ['x', 'target'], ['split']),
      node('Transpose', ['split'], ['turned'], { perm: ints(0, 2, 1, 3) }),
      node('Shape', ['turned'], ['t']),
      node('ConstantOfShape', ['t'], ['ones'], { value: tensor('float32', [1], [1]) }),
      node('Shape', ['t'], ['rank']),
      node('ConstantOfShape', ['rank'], ['filled'], { value: tensor('int64', [1], [-1]) }),
      node('Equal', ['t', 'filled'], ['open']),
      node('Where', ['open', 't', 't'], ['wanted']),
      node('Expand', ['ones', 'wanted'], ['spread']),
      node('Add', ['turned', 'spread'], ['y']),
    ],
  },
  'pads as PyTorch calculates them': {
    version: 13,
    inputs: { x: [2, 3] },
    constants: {
      given: i64(1, 2),
      ends: i64(-1),
      stop: i64(-100),
      axis: i64(0),
      step: i64(-1),
      n: i64(2),
      two: i64(-1, 2),
      flat: i64(-1),
    },
    nodes: [
      node('ConstantOfShape', ['n'], ['rest'], { value: tensor('int64', [1], [0]) }),
      node('Concat', ['given', 'rest'], ['all'], { axis: int(0) }),
      node('Reshape', ['all', 'two'], ['pairs']),
      node('Slice', ['pairs', 'ends', 'stop', 'axis', 'step'], ['turned']),
      node('Transpose', ['turned'], ['sides'], { perm: ints(1, 0) }),
      node('Reshape', ['sides', 'flat'], ['pads']),
      node('Pad', ['x', 'pads'], ['y']),
    ],
  },
  'Identity, Dropout, CastLike, Clip, Pow with an integer': {
    version: 15,
    inputs: { x: [2, 3] },
    constants: { low: tensorOf('float32', [], [-0.5]), two: scalar(2) },
    nodes: [
      node('Identity', ['x'], ['a']),
      node('Dropout', ['a'], ['b', 'mask']),
      node('Clip', ['b', 'low'], ['c']),
      node('Pow', ['c', 'two'], ['d']),
      node('CastLike', ['two', 'd'], ['e']),
      node('Div', ['d', 'e'], ['y']),
    ],
  },
  'Max, Min, Sum and Mean of several': {
    version: 13,
    inputs: { a: [2, 3], b: [3], c: [2, 1] },
    nodes: [
      node('Max', ['a', 'b', 'c'], ['d']),
      node('Min', ['a', 'b', 'c'], ['e']),
      node('Mean', ['d', 'e', 'a'], ['f']),
      node('Max', ['f'], ['y']),
    ],
  },
  'MatMul of vectors': {
    version: 13,
    inputs: { a: [3], b: [2, 3, 4], c: [4] },
    nodes: [node('MatMul', ['a', 'b'], ['d']), node('MatMul', ['d', 'c'], ['y'])],
  },
  'Conv, MaxPool and AveragePool padded to the same size': {
    version: 13,
    inputs: { x: [1, 2, 7, 6] },
    constants: { w: drawn(1, [3, 2, 3, 2]), b: drawn(2, [3]) },
    nodes: [
      node('Conv', ['x', 'w', 'b'], ['c'], { auto_pad: string('SAME_UPPER'), strides: ints(2, 2) }),
      node('MaxPool', ['c'], ['m'], { auto_pad: string('SAME_LOWER'), kernel_shape: ints(2, 2) }),
      node('AveragePool', ['m'], ['a'], {
        auto_pad: string('SAME_UPPER'),
        kernel_shape: ints(3, 2),
        strides: ints(2, 1),
      }),
      node('GlobalMaxPool', ['a'], ['y']),
    ],
  },
  'AveragePool whose last window hangs over': {
    version: 13,
    inputs: { x: [1, 1, 6, 5] },
    nodes: [
      node('AveragePool', ['x'], ['y'], {
        ceil_mode: int(1),
        kernel_shape: ints(3, 2),
        strides: ints(2, 2),
        pads: ints(1, 0, 1, 0),
      }),
    ],
  },
  'DepthToSpace in both orders, SpaceToDepth': {
    version: 13,
    inputs: { x: ['batch', 8, 2, 3] },
    sizes: { batch: 2 },
    nodes: [
      node('DepthToSpace', ['x'], ['a'], { blocksize: int(2), mode: string('CRD') }),
      node('SpaceToDepth', ['a'], ['b'], { blocksize: int(2) }),
      node('DepthToSpace', ['b'], ['y'], { blocksize: int(2) }),
    ],
  },
  'OneHot along a middle axis': {
    version: 13,
    inputs: {},
    constants: {
      indices: tensorOf('int64', [2, 3], [0, 3, -1, 2, 1, 3]),
      depth: scalar(4),
      values: tensorOf('float32', [2], [-1, 2]),
    },
    nodes: [node('OneHot', ['indices', 'depth', 'values'], ['y'], { axis: int(1) })],
  },
  'BatchNormalization given statistics': {
    version: 15,
    inputs: { x: [2, 3, 4] },
    constants: { s: drawn(1, [3]), b: drawn(2, [3]), m: drawn(3, [3]), v: tensorOf('float32', [3], [0.5, 1, 2]) },
    nodes: [
      node('BatchNormalization', ['x', 's', 'b', 'm', 'v'], ['y'], { epsilon: float(0.01), momentum: float(0.5) }),
    ],
  },
  InstanceNormalization: {
    version: 13,
    inputs: { x: [2, 3, 4, 2] },
    constants: { s: drawn(1, [3]), b: drawn(2, [3]) },
    nodes: [node('InstanceNormalization', ['x', 's', 'b'], ['y'], { epsilon: float(0.01) })],
  },
  'GroupNormalization of version 18': {
    version: 18,
    inputs: { x: [2, 4, 3] },
    constants: { s: drawn(1, [2]), b: drawn(2, [2]) },
    nodes: [node('GroupNormalization', ['x', 's', 'b'], ['y'], { num_groups: int(2), epsilon: float(0.01) })],
  },
  'GroupNormalization of version 21': {
    version: 21,
    inputs: { x: [2, 4, 3] },
    constants: { s: drawn(1, [4]), b: drawn(2, [4]) },
    nodes: [node('GroupNormalization', ['x', 's', 'b'], ['y'], { num_groups: int(2), epsilon: float(0.01) })],
  },
  'triangles, truths and sums': {
    version: 14,
    inputs: { x: [3, 3] },
    constants: { zero: tensorOf('float32', [], [0]), axis: scalar(1), k: scalar(-1) },
    nodes: [
      node('Trilu', ['x', 'k'], ['low'], { upper: int(0) }),
      node('CumSum', ['low', 'axis'], ['sum'], { reverse: int(1) }),
      node('Greater', ['sum', 'zero'], ['up']),
      node('IsNaN', ['sum'], ['odd']),
      node('Or', ['up', 'odd'], ['either']),
      node('Not', ['either'], ['neither']),
      node('Xor', ['neither', 'up'], ['other']),
      node('And', ['other', 'up'], ['both']),
      node('Where', ['both', 'sum', 'x'], ['y']),
    ],
  },
  activations: {
    version: 18,
    inputs: { x: [2, 4] },
    constants: { slope: drawn(1, [4]), repeats: i64(2, 1) },
    nodes: [
      node('HardSigmoid', ['x'], ['a'], { alpha: float(0.3) }),
      node('HardSwish', ['a'], ['b']),
      node('Mish', ['b'], ['c']),
      node('PRelu', ['c', 'slope'], ['d']),
      node('Selu', ['d'], ['e']),
      node('Celu', ['e'], ['f'], { alpha: float(0.5) }),
      node('ThresholdedRelu', ['f'], ['g'], { alpha: float(0.1) }),
      node('Softsign', ['g'], ['h']),
      node('Tile', ['h', 'repeats'], ['y']),
    ],
  },
  'LSTM in both directions, its ends too': {
    version: 14,
    inputs: sequence,
    constants: recurrent(4, 2),
    nodes: [
      node('LSTM', ['x', 'w', 'r', 'b', '', 'h', 'c'], ['y', 'hn', 'cn'], {
        hidden_size: int(3),
        direction: string('bidirectional'),
      }),
    ],
    outputs: ['y', 'hn', 'cn'],
  },
  'LSTM backwards, begun with zeros, without bias': {
    version: 14,
    inputs: { x: [5, 'batch', 4] },
    sizes: { batch: 2 },
    constants: recurrent(4, 1),
    nodes: [node('LSTM', ['x', 'w', 'r'], ['y', '', 'cn'], { hidden_size: int(3), direction: string('reverse') })],
    outputs: ['y', 'cn'],
  },
  'GRU, reset before the product': {
    version: 14,
    inputs: sequence,
    constants: recurrent(3, 1),
    nodes: [node('GRU', ['x', 'w', 'r', 'b', '', 'h'], ['y', 'hn'], { hidden_size: int(3) })],
    outputs: ['y', 'hn'],
  },
  'GRU, reset after the product, in both directions': {
    version: 14,
    inputs: sequence,
    constants: recurrent(3, 2),
    nodes: [
      node('GRU', ['x', 'w', 'r', 'b'], ['y', 'hn'], {
        hidden_size: int(3),
        linear_before_reset: int(1),
        direction: string('bidirectional'),
      }),
    ],
    outputs: ['y', 'hn'],
  },
  RNN: {
    version: 14,
    inputs: sequence,
    constants: recurrent(1, 1),
    nodes: [node('RNN', ['x', 'w', 'r', 'b', '', 'h'], ['y'], { hidden_size: int(3) })],
  },
}
const einsums: Readonly<Record<string, readonly (readonly number[])[]>> = {
  'bhid,bhjd->bhij': [
    [2, 3, 4, 5],
    [2, 3, 6, 5],
  ],
  'bij,bjk->bik': [
    [2, 3, 4],
    [2, 4, 5],
  ],
  'bthc,hcd->btd': [
    [2, 3, 2, 4],
    [2, 4, 5],
  ],
  'i,j->ij': [[3], [4]],
  'ij,ij->': [
    [3, 4],
    [3, 4],
  ],
  '...ij,...jk->...ik': [
    [2, 2, 3, 4],
    [2, 2, 4, 5],
  ],
  'ijk->kj': [[2, 3, 4]],
  'ij,jk,kl->il': [
    [2, 3],
    [3, 4],
    [4, 5],
  ],
  'ba,cb': [
    [3, 2],
    [4, 3],
  ],
  'abc,cbd->dba': [
    [2, 3, 4],
    [4, 3, 5],
  ],
}
const einsumCases = Object.entries(einsums).map(([equation, shapes]) => {
  const inputs = Object.fromEntries(shapes.map((shape, at) => [`x${at}`, shape]))
  const attributes = { equation: string(equation) }
  const nodes = [node('Einsum', Object.keys(inputs), ['y'], attributes)]
  const foreign: Foreign = { version: 13, inputs, nodes }
  return [`Einsum ${equation}`, foreign] as const
})

function modelOf({ version, inputs, nodes, constants = {}, outputs = ['y'] }: Foreign): Model {
  const info = (name: string, shape: ValueInfo['shape']): ValueInfo => ({ name, type: 'float32', shape })
  const used = new Set(nodes.flatMap((one) => one.inputs))
  return {
    opset: version,
    graph: {
      name: 'foreign',
      inputs: Object.entries(inputs).map(([name, shape]) => info(name, shape)),
      // A shape would have to be right; the runtime infers it.
      outputs: outputs.map((name) => info(name, [])),
      initializers: new Map(Object.entries(constants).filter(([name]) => used.has(name))),
      nodes,
    },
  }
}

const noExternal = {
  external: (): never => {
    throw new Error('no tensor is outside')
  },
}
const opened = (model: Model) =>
  importGraph(decodeForeign(encodeModel(model), noExternal), {
    outputs: model.graph.outputs.map(({ name }) => name),
    input: (g, { name, type, shape }) => g.input(name, type, shape),
  })

async function results(bytes: Uint8Array, feeds: Record<string, RuntimeTensor>) {
  const session = await openSession(bytes, { threads: 1 })
  const values = await session.run(feeds)
  await session.release()
  return values
}

for (const [title, foreign] of [...Object.entries(cases), ...einsumCases]) {
  test(title, async () => {
    const model = modelOf(foreign)
    const { builder, outputs } = opened(model)
    for (const [name, value] of outputs) builder.output(`ours.${name}`, value)
    // The runtime refuses a file whose outputs have other shapes than it says.
    const declared = [...outputs].map(([name, { type, shape }]) => ({ name, type, shape }))
    const original = encodeModel({ ...model, graph: { ...model.graph, outputs: declared } })
    const random = createRandom(title.length)
    const feeds = Object.fromEntries(
      Object.entries(foreign.inputs).map(([name, given]) => {
        const shape = given.map((size) => (typeof size === 'number' ? size : foreign.sizes![size]!))
        const data = Float32Array.from({ length: elementCount(shape) }, () => random.unit() * 2 - 1)
        return [name, { type: 'float32', shape, data } as const]
      }),
    )
    const theirs = await results(original, feeds)
    const ours = await results(encodeModel({ opset: 20, graph: builder.graph() }), feeds)
    for (const { name } of declared) {
      const [a, b] = [ours[`ours.${name}`]!, theirs[name]!]
      assert.equal(a.shape, b.shape, name)
      assert.ok(a.data.length > 0)
      for (const at of a.data.keys()) {
        const error = Math.abs(Number(a.data[at]) - Number(b.data[at]))
        assert.ok(error < 2e-6, `${name}[${at}]: ${a.data[at]}, not ${b.data[at]}`)
      }
    }
  })
}

test('what is calculated from shapes alone is a constant once they are numbers', () => {
  const { version, nodes, constants } = cases['shapes that are calculated']!
  const { builder, outputs } = opened(modelOf({ version, nodes, constants: constants!, inputs: { x: [2, 3, 6] } }))
  builder.output('y.out', outputs.get('y')!)
  assert.equal(
    builder.graph().nodes.map(({ op }) => op),
    ['Reshape', 'Transpose', 'Expand', 'Expand', 'Add'],
  )
})

const detailsOf = (action: () => unknown): readonly [string, Readonly<Record<string, unknown>>] => {
  try {
    action()
  } catch (error) {
    if (error instanceof OwmError) return [error.code, error.details]
    throw error
  }
  return ['none', {}]
}

test('what is not known is named, with its node', () => {
  const refused: readonly (readonly [Node, string])[] = [
    [node('Resize', ['x'], ['y']), 'unsupported_model'],
    [
      node('If', ['x'], ['y'], { then_branch: { kind: 'graph', value: modelOf(cases['RNN']!).graph } }),
      'unsupported_model',
    ],
    [node('LSTM', ['x', 'w', 'r'], ['y'], { clip: float(1) }), 'unsupported_model'],
    [node('Cast', ['x'], ['y'], { to: int(8) }), 'unsupported_model'],
    [node('Einsum', ['x'], ['y'], { equation: string('iij->j') }), 'unsupported_model'],
    [node('Einsum', ['x'], ['y'], { equation: string('ij->i') }), 'bad_graph'],
    [node('Softmax', ['x'], ['y'], { axis: string('last') }), 'unsupported_model'],
    [node('ReduceMean', ['x'], ['y'], { axes: string('last') }), 'malformed_model'],
    [node('MaxPool', ['x'], ['y'], { kernel_shape: ints(2), auto_pad: string('WIDE') }), 'bad_graph'],
  ]
  for (const [bad, code] of refused) {
    const foreign = { version: 13, inputs: { x: [2, 2, 4] }, nodes: [bad], constants: recurrent(4, 1) }
    const [actual, details] = detailsOf(() => opened(modelOf(foreign)))
    assert.is(actual, code, bad.op)
    if (bad.op !== 'If') assert.is(details['node'], bad.name, bad.op)
  }
  // What no output needs is no matter.
  const aside = [node('Relu', ['x'], ['y']), node('Resize', ['x'], ['unused'])]
  assert.is(detailsOf(() => opened(modelOf({ version: 13, inputs: { x: [2] }, nodes: aside })))[0], 'none')
})

test('only operator sets 13 to 21', () => {
  const nodes = [node('Relu', ['x'], ['y'])]
  const codes = [12, 13, 21, 22].map(
    (version) => detailsOf(() => opened(modelOf({ version, inputs: { x: [2] }, nodes })))[0],
  )
  assert.equal(codes, ['unsupported_model', 'none', 'none', 'unsupported_model'])
})

test('a length that is not known is asked for', () => {
  const foreign = {
    version: 14,
    inputs: { x: ['length', 2, 4] },
    constants: recurrent(4, 1),
    nodes: [node('LSTM', ['x', 'w', 'r'], ['y'])],
  }
  const [code, details] = detailsOf(() => opened(modelOf(foreign)))
  assert.is(code, 'bad_graph')
  assert.is(details['size'], 'length')
})

test('a cut or changed file is an error with a code, and nothing else', () => {
  const allowed = new Set(['none', 'malformed_model', 'unsupported_model', 'oversized', 'bad_graph'])
  const random = createRandom(2)
  for (const [title, foreign] of [...Object.entries(cases), ...einsumCases]) {
    const bytes = encodeModel(modelOf(foreign))
    const read = (input: Uint8Array): void => {
      const [code] = detailsOf(() => {
        importGraph(decodeForeign(input, noExternal), {
          outputs: foreign.outputs ?? ['y'],
          input: (g, one) => g.input(one.name, one.type, one.shape),
        })
      })
      assert.ok(allowed.has(code), `${title}: ${code}`)
    }
    for (let length = 0; length < bytes.length; length += 17) read(bytes.subarray(0, length))
    for (let round = 0; round < 150; round++) {
      const changed = bytes.slice()
      for (let flips = 1 + random.below(3); flips > 0; flips--)
        changed[random.below(changed.length)] = random.below(256)
      read(changed)
    }
  }
})

test.run()
