/** Every gradient rule against central differences in float64. */
import * as assert from 'uvu/assert'
import type { OwmError } from '../../src/lib/index.ts'
import { conversions } from '../../src/onnx/import/conversion.ts'
import {
  type Attribute,
  createGraphBuilder,
  createRandom,
  elementCount,
  encodeModel,
  type GraphBuilder,
  openSession,
  staticShape,
  type Value,
} from '../../src/onnx/index.ts'
import { appendGradients } from '../../src/training/autodiff.ts'
import { lowerings } from '../../src/training/lowering.ts'
import { rules } from '../../src/training/rules/index.ts'
import { suite } from '../suite.ts'
import { type Check, checkGradients } from './gradient-check.ts'

const test = suite('gradient rules')

const f64 = (g: GraphBuilder, value: number): Value => g.scalar('float64', value)

/** At least one for each operator that has a rule, named by it first. */
const checks: Record<string, Check> = {
  Identity: { shapes: [[3]], use: (g, x) => g.op('Identity', [x]) },
  'Add with broadcasting on both sides': {
    shapes: [
      [3, 1],
      [2, 1, 4],
    ],
    use: (g, a, b) => g.op('Add', [a, b]),
  },
  'Sub with broadcasting': { shapes: [[2, 3], [3]], use: (g, a, b) => g.op('Sub', [a, b]) },
  'Mul with broadcasting': {
    shapes: [
      [2, 3],
      [2, 1],
    ],
    use: (g, a, b) => g.op('Mul', [a, b]),
  },
  'Mul of a value with itself': { shapes: [[5]], use: (g, x) => g.op('Mul', [x, x]) },
  'Div with broadcasting': {
    shapes: [
      [2, 3],
      [1, 3],
    ],
    from: 0.5,
    use: (g, a, b) => g.op('Div', [a, b]),
  },
  Neg: { shapes: [[4]], use: (g, x) => g.op('Neg', [x]) },
  Exp: { shapes: [[4]], use: (g, x) => g.op('Exp', [x]) },
  Log: { shapes: [[4]], from: 0.5, use: (g, x) => g.op('Log', [x]) },
  Sqrt: { shapes: [[4]], from: 0.5, use: (g, x) => g.op('Sqrt', [x]) },
  Tanh: { shapes: [[4]], use: (g, x) => g.op('Tanh', [x]) },
  Relu: { shapes: [[6]], from: 0.1, use: (g, x) => g.op('Relu', [g.op('Sub', [x, f64(g, 0.7)])]) },
  'Where, both branches': {
    shapes: [[2, 3], [3]],
    use: (g, a, b) => g.op('Where', [g.constant('bool', [2, 3], [1, 0, 1, 0, 0, 1]), a, b]),
  },
  Softmax: { shapes: [[2, 5]], use: (g, x) => g.op('Softmax', [x], { axis: -1 }) },
  LogSoftmax: { shapes: [[2, 5]], use: (g, x) => g.op('LogSoftmax', [x], { axis: -1 }) },
  'ReduceSum, axes dropped': {
    shapes: [[2, 3, 4]],
    use: (g, x) => g.op('ReduceSum', [x, g.integers([0, -1])], { keepdims: 0 }),
  },
  'ReduceMean, axes kept': {
    shapes: [[2, 3, 4]],
    use: (g, x) => g.op('ReduceMean', [x, g.integers([1])], { keepdims: 1 }),
  },
  'MatMul of matrices': {
    shapes: [
      [3, 4],
      [4, 2],
    ],
    use: (g, a, b) => g.op('MatMul', [a, b]),
  },
  'MatMul of rows with a matrix': {
    shapes: [
      [2, 3, 4],
      [4, 2],
    ],
    use: (g, a, b) => g.op('MatMul', [a, b]),
  },
  'MatMul of batches': {
    shapes: [
      [2, 2, 3, 4],
      [2, 4, 3],
    ],
    use: (g, a, b) => g.op('MatMul', [a, b]),
  },
  'LayerNormalization with scale': {
    shapes: [[3, 5], [5]],
    use: (g, x, scale) => g.ops('LayerNormalization', [x, scale], { axis: -1, epsilon: 1e-5 }, 3)[0]!,
  },
  'LayerNormalization with scale and bias, statistics not given': {
    shapes: [[2, 3, 5], [5], [5]],
    use: (g, x, scale, bias) => g.op('LayerNormalization', [x, scale, bias], { axis: -1, epsilon: 1e-5 }),
  },
  Reshape: { shapes: [[2, 6]], use: (g, x) => g.op('Reshape', [x, g.integers([3, -1])]) },
  Unsqueeze: { shapes: [[2, 3]], use: (g, x) => g.op('Unsqueeze', [x, g.integers([1])]) },
  Squeeze: { shapes: [[2, 1, 3]], use: (g, x) => g.op('Squeeze', [x, g.integers([1])]) },
  'Transpose by an order that is not its own inverse': {
    shapes: [[2, 3, 4]],
    use: (g, x) => g.op('Transpose', [x], { perm: [1, 2, 0] }),
  },
  'Gather of rows, some twice': {
    shapes: [[5, 3]],
    use: (g, table) => g.op('Gather', [table, g.constant('int32', [2, 3], [0, 2, 2, 4, 2, 0])], { axis: 0 }),
  },
  Pow: {
    shapes: [[2, 3], [3]],
    from: 0.5,
    use: (g, x, p) => g.op('Pow', [x, p]),
  },
  'Pow to a whole number, of negative numbers too': { shapes: [[5]], use: (g, x) => g.op('Pow', [x, f64(g, 3)]) },
  'Max and Min with broadcasting': {
    shapes: [[3, 4], [4]],
    spaced: true,
    use: (g, a, b) => g.op('Min', [g.op('Max', [a, b]), g.op('Mul', [b, f64(g, -1.3)])]),
  },
  Abs: { shapes: [[6]], spaced: true, use: (g, x) => g.op('Abs', [x]) },
  Reciprocal: { shapes: [[4]], from: 0.5, use: (g, x) => g.op('Reciprocal', [x]) },
  'Sin and Cos': { shapes: [[4]], use: (g, x) => g.op('Sin', [g.op('Cos', [x])]) },
  Erf: { shapes: [[5]], use: (g, x) => g.op('Erf', [x]) },
  Sigmoid: { shapes: [[5]], use: (g, x) => g.op('Sigmoid', [x]) },
  Softplus: { shapes: [[5]], use: (g, x) => g.op('Softplus', [x]) },
  Elu: { shapes: [[2, 3]], spaced: true, use: (g, x) => g.op('Elu', [x], { alpha: 0.5 }) },
  LeakyRelu: { shapes: [[6]], spaced: true, use: (g, x) => g.op('LeakyRelu', [x], { alpha: 0.25 }) },
  Gelu: { shapes: [[5]], use: (g, x) => g.op('Gelu', [x]) },
  'Gelu by tanh': { shapes: [[5]], use: (g, x) => g.op('Gelu', [x], { approximate: 'tanh' }) },
  'Clip on both sides': { shapes: [[8]], spaced: true, use: (g, x) => g.op('Clip', [x, f64(g, -0.4), f64(g, 0.5)]) },
  'Clip on one side': { shapes: [[8]], spaced: true, use: (g, x) => g.op('Clip', [x, undefined, f64(g, 0.5)]) },
  'Cast to its own type': { shapes: [[3]], use: (g, x) => g.op('Cast', [x], { to: 11 }) },
  ReduceSumSquare: { shapes: [[2, 3]], use: (g, x) => g.op('ReduceSumSquare', [x, g.integers([1])], { keepdims: 0 }) },
  ReduceL2: { shapes: [[2, 3]], from: 0.5, use: (g, x) => g.op('ReduceL2', [x, g.integers([0])], { keepdims: 0 }) },
  'ReduceMax, axes dropped': {
    shapes: [[2, 3, 2]],
    spaced: true,
    use: (g, x) => g.op('ReduceMax', [x, g.integers([1])], { keepdims: 0 }),
  },
  'ReduceMin of all': { shapes: [[2, 3]], spaced: true, use: (g, x) => g.op('ReduceMin', [x], { keepdims: 0 }) },
  'Softmax and LogSoftmax along another axis': {
    shapes: [[3, 2, 2]],
    use: (g, x) => g.op('LogSoftmax', [g.op('Softmax', [x], { axis: 0 })], { axis: 1 }),
  },
  'LayerNormalization over two axes': {
    shapes: [
      [2, 3, 2],
      [3, 2],
    ],
    use: (g, x, scale) => g.op('LayerNormalization', [x, scale], { axis: 1, epsilon: 1e-5 }),
  },
  Flatten: { shapes: [[2, 3, 2]], use: (g, x) => g.op('Flatten', [x], { axis: 2 }) },
  Expand: { shapes: [[3, 1]], use: (g, x) => g.op('Expand', [x, g.integers([2, 3, 4])]) },
  'Concat of three': {
    shapes: [
      [2, 1],
      [2, 3],
      [2, 2],
    ],
    use: (g, ...parts) => g.op('Concat', parts, { axis: -1 }),
  },
  'Split, of which one part is not used': {
    shapes: [[2, 6]],
    use: (g, x) => {
      const [a, , b] = g.ops('Split', [x, g.integers([2, 1, 3])], { axis: 1 }, 3)
      return g.op('Concat', [b!, g.op('Mul', [a!, a!])], { axis: 1 })
    },
  },
  'Slice with a step, and backwards': {
    shapes: [[5, 4]],
    use: (g, x) =>
      g.op('Slice', [x, g.integers([1, -1]), g.integers([5, -9]), g.integers([0, 1]), g.integers([2, -1])]),
  },
  'Pad, and cutting off': { shapes: [[3, 4]], use: (g, x) => g.op('Pad', [x, g.integers([1, -1, 0, 2])]) },
  'Gather along an inner axis, some twice': {
    shapes: [[2, 3, 2]],
    use: (g, x) => g.op('Gather', [x, g.constant('int64', [2, 2], [2, 0, 0, 1])], { axis: 1 }),
  },
  GatherElements: {
    shapes: [[3, 4]],
    use: (g, x) => g.op('GatherElements', [x, g.constant('int64', [3, 2], [3, 3, 0, 1, 2, 2])], { axis: 1 }),
  },
  GlobalAveragePool: { shapes: [[2, 3, 2, 2]], use: (g, x) => g.op('GlobalAveragePool', [x]) },
  'AveragePool whose pads do not count': {
    shapes: [[1, 2, 5]],
    use: (g, x) => g.op('AveragePool', [x], { kernel_shape: [3], strides: [2], pads: [1, 0] }),
  },
  'Conv, ConvTranspose, MaxPool one after the other': {
    shapes: [
      [1, 2, 6, 6],
      [3, 2, 3, 3],
      [3, 2, 2, 2],
    ],
    spaced: true,
    use: (g, x, down, up) => {
      const narrow = g.op('Conv', [x, down], { pads: [1, 1, 1, 1] })
      return g.op('ConvTranspose', [g.op('MaxPool', [narrow], { kernel_shape: [2, 2], strides: [2, 2] }), up])
    },
  },
  'Floor, Ceil, Round, Sign: flat but for jumps': {
    shapes: [[8]],
    spaced: true,
    use: (g, x) =>
      (['Floor', 'Ceil', 'Round', 'Sign'] as const).map((op) => g.op(op, [x])).reduce((a, b) => g.op('Add', [a, b]), x),
  },
  'Tan and Atan': { shapes: [[5]], use: (g, x) => g.op('Tan', [g.op('Atan', [x])]) },
  HardSigmoid: { shapes: [[8]], spaced: true, use: (g, x) => g.op('HardSigmoid', [x], { alpha: 0.9, beta: 0.4 }) },
  HardSwish: { shapes: [[8]], spaced: true, use: (g, x) => g.op('HardSwish', [g.op('Mul', [x, f64(g, 5)])]) },
  Mish: { shapes: [[6]], use: (g, x) => g.op('Mish', [x]) },
  Softsign: { shapes: [[6]], spaced: true, use: (g, x) => g.op('Softsign', [x]) },
  Selu: { shapes: [[6]], spaced: true, use: (g, x) => g.op('Selu', [x]) },
  Celu: { shapes: [[6]], spaced: true, use: (g, x) => g.op('Celu', [x], { alpha: 0.7 }) },
  ThresholdedRelu: { shapes: [[6]], spaced: true, use: (g, x) => g.op('ThresholdedRelu', [x], { alpha: 0.4 }) },
  'PRelu with a slope for each channel': {
    shapes: [
      [2, 3, 2],
      [3, 1],
    ],
    spaced: true,
    use: (g, x, slope) => g.op('PRelu', [x, slope]),
  },
  ReduceL1: { shapes: [[2, 4]], spaced: true, use: (g, x) => g.op('ReduceL1', [x, g.integers([1])], { keepdims: 0 }) },
  ReduceLogSum: {
    shapes: [[2, 3]],
    from: 0.5,
    use: (g, x) => g.op('ReduceLogSum', [x, g.integers([0])], { keepdims: 0 }),
  },
  'ReduceLogSumExp of all': { shapes: [[2, 3]], use: (g, x) => g.op('ReduceLogSumExp', [x], { keepdims: 0 }) },
  'ReduceProd of numbers, one of them zero, two of them zero': {
    shapes: [[3, 4]],
    from: 0.5,
    use: (g, x) => {
      const kept = g.constant('float64', [3, 4], [1, 1, 1, 1, 1, 0, 1, 1, 1, 0, 0, 1])
      return g.op('ReduceProd', [g.op('Mul', [x, kept]), g.integers([1])], { keepdims: 0 })
    },
  },
  'ReduceProd where a factor is zero itself': {
    shapes: [[1, 3]],
    from: 0.5,
    use: (g, x) => {
      const shifted = g.op('Sub', [x, g.op('Mul', [x, g.constant('float64', [1, 3], [0, 1, 0])])])
      const moved = g.op('Add', [shifted, g.op('Mul', [g.op('Sub', [x, x]), x])])
      return g.op('ReduceProd', [moved, g.integers([1])], { keepdims: 1 })
    },
  },
  'BatchNormalization with given statistics': {
    shapes: [[2, 3, 2, 2], [3], [3]],
    use: (g, x, scale, bias) => {
      const [mean, variance] = [g.constant('float64', [3], [0.1, -0.2, 0.3]), g.constant('float64', [3], [0.5, 1, 2])]
      return g.op('BatchNormalization', [x, scale, bias, mean, variance], { epsilon: 1e-3 })
    },
  },
  'BatchNormalization of rows': {
    shapes: [[4, 3], [3], [3]],
    use: (g, x, scale, bias) => {
      const [mean, variance] = [g.constant('float64', [3], [0.1, -0.2, 0.3]), g.constant('float64', [3], [0.5, 1, 2])]
      return g.op('BatchNormalization', [x, scale, bias, mean, variance])
    },
  },
  Tile: { shapes: [[2, 3]], use: (g, x) => g.op('Tile', [x, g.integers([3, 2])]) },
  'Trilu above and below': {
    shapes: [[2, 3, 4]],
    use: (g, x) => g.op('Add', [g.op('Trilu', [x, g.scalar('int64', 1)]), g.op('Trilu', [x], { upper: 0 })]),
  },
  'CumSum, to either side, with and without itself': {
    shapes: [[2, 4]],
    use: (g, x) => {
      const back = g.op('CumSum', [x, g.scalar('int64', 1)], { exclusive: 1, reverse: 1 })
      return g.op('Add', [back, g.op('Mul', [x, g.op('CumSum', [x, g.scalar('int64', -2)])])])
    },
  },
  'ScatterElements, written over and added': {
    shapes: [
      [3, 3],
      [2, 3],
    ],
    use: (g, x, updates) => {
      const places = g.constant('int64', [2, 3], [0, 1, 2, 2, 0, 0])
      const written = g.op('ScatterElements', [x, places, updates], { axis: 0 })
      return g.op('ScatterElements', [g.op('Mul', [written, x]), places, updates], { axis: 1, reduction: 'add' })
    },
  },
  'ScatterND of rows': {
    shapes: [
      [4, 2],
      [2, 2],
    ],
    use: (g, x, updates) => {
      const written = g.op('ScatterND', [x, g.constant('int64', [2, 1], [3, 1]), updates])
      return g.op('Mul', [written, x])
    },
  },
  'a rotary position and a root mean square norm': {
    shapes: [[3, 4], [4]],
    use: (g, x, scale) => {
      const mean = g.op('ReduceMean', [g.op('Mul', [x, x]), g.integers([-1])], { keepdims: 1 })
      const normal = g.op('Mul', [g.op('Div', [x, g.op('Sqrt', [g.op('Add', [mean, f64(g, 1e-5)])])]), scale])
      const [a, b] = g.ops('Split', [normal, g.integers([2, 2])], { axis: -1 }, 2)
      const turned = g.op('Concat', [g.op('Neg', [b!]), a!], { axis: -1 })
      return g.op('Add', [g.op('Mul', [normal, f64(g, 0.8)]), g.op('Mul', [turned, f64(g, 0.6)])])
    },
  },
  'Gemm with a bias of one row': {
    shapes: [[3, 4], [4, 2], [2]],
    use: (g, a, b, c) => g.op('Gemm', [a, b, c], { alpha: 0.5, beta: 2 }),
  },
  'Mul, MatMul, Softmax: an attention head': {
    shapes: [
      [4, 3],
      [3, 3],
      [3, 3],
    ],
    use: (g, x, q, k) => {
      const scores = g.op('MatMul', [
        g.op('MatMul', [x, q]),
        g.op('Transpose', [g.op('MatMul', [x, k])], { perm: [1, 0] }),
      ])
      return g.op('MatMul', [g.op('Softmax', [scores], { axis: -1 }), x])
    },
  },
}

/** Operators that are made of others when a file is imported: their gradients are those of the parts. */
const made = (
  op: string,
  inputs: (Value | undefined)[],
  attributes: Record<string, Attribute>,
  g: GraphBuilder,
): Value => {
  const node = { op, name: op, inputs: [], outputs: [''], attributes }
  return conversions[op]!({ g, node, version: 20, inputs })[0]!
}
const composed: Record<string, Check> = {
  'a GRU of three steps': {
    shapes: [
      [3, 2, 2],
      [1, 6, 2],
      [1, 6, 2],
      [1, 12],
      [1, 2, 2],
    ],
    use: (g, x, w, r, b, h) =>
      made('GRU', [x, w, r, b, undefined, h], { linear_before_reset: { kind: 'int', value: 1 } }, g),
  },
  'an LSTM of three steps in both directions': {
    shapes: [
      [3, 1, 2],
      [2, 8, 2],
      [2, 8, 2],
      [2, 16],
      [2, 1, 2],
      [2, 1, 2],
    ],
    use: (g, x, w, r, b, h, c) =>
      made('LSTM', [x, w, r, b, undefined, h, c], { direction: { kind: 'string', value: 'bidirectional' } }, g),
  },
  'a batch norm over its own batch': {
    shapes: [[3, 2, 2], [2], [2]],
    use: (g, x, scale, bias) => {
      const running = g.constant('float64', [2], [0, 0])
      return made(
        'BatchNormalization',
        [x, scale, bias, running, running],
        { training_mode: { kind: 'int', value: 1 } },
        g,
      )
    },
  },
  'a group norm': {
    shapes: [[2, 4, 2], [4], [4]],
    use: (g, x, scale, bias) => {
      const attributes = { num_groups: { kind: 'int', value: 2 }, epsilon: { kind: 'float', value: 0.1 } } as const
      const node = { op: 'GroupNormalization', name: 'norm', inputs: [], outputs: [''], attributes }
      return conversions['GroupNormalization']!({ g, node, version: 21, inputs: [x, scale, bias] })[0]!
    },
  },
  'an Einstein sum of three': {
    shapes: [
      [2, 3],
      [3, 2, 2],
      [2, 2],
    ],
    use: (g, ...inputs) => made('Einsum', inputs, { equation: { kind: 'string', value: 'ij,jkl,lm->mki' } }, g),
  },
}

for (const [title, check] of Object.entries({ ...checks, ...composed })) {
  test(title, () => checkGradients(check, createRandom(title.length)))
}

// What another provider's table has of its own.
const ownOfWebgpu = new Set([
  ...Object.keys(lowerings.webgpu.operators),
  ...Object.entries(lowerings.webgpu.rules).flatMap(([op, rule]) =>
    rule === rules[op as keyof typeof rules] ? [] : [op],
  ),
])
for (const [title, check] of Object.entries(checks)) {
  if (!title.match(/\w+/g)?.some((word) => ownOfWebgpu.has(word))) continue
  test(`as written for webgpu: ${title}`, () => checkGradients(check, createRandom(title.length), lowerings.webgpu))
}

test('no rule is without a check', () => {
  const checked = new Set(Object.keys(checks).flatMap((title) => title.match(/\w+/g) ?? []))
  assert.equal(
    Object.keys(rules).filter((op) => !checked.has(op)),
    [],
  )
})

test('the gradient of an average takes what the average gave: pads and windows that hang over', async () => {
  const random = createRandom(9)
  for (const ceil_mode of [0, 1]) {
    for (const count_include_pad of [0, 1]) {
      for (const pads of [
        [0, 0, 0, 0],
        [1, 0, 1, 1],
      ]) {
        const g = createGraphBuilder('average')
        const x = g.input('x', 'float32', [1, 2, 6, 7])
        const attributes = { kernel_shape: [3, 2], strides: [2, 2], pads, ceil_mode, count_include_pad }
        const y = g.op('AveragePool', [x], attributes)
        const dy = g.input('dy', 'float32', y.shape)
        const [dx] = appendGradients(g, { value: y, gradient: dy }, [x])
        g.output('y', y)
        g.output('dx', dx!)
        const draw = (shape: readonly number[]) => {
          const data = Float32Array.from({ length: elementCount(shape) }, () => random.unit() - 0.5)
          return { type: 'float32', shape, data } as const
        }
        const feeds = { x: draw([1, 2, 6, 7]), dy: draw(staticShape(y.shape)) }
        const session = await openSession(encodeModel(g.model()), { threads: 1 })
        const results = await session.run(feeds)
        await session.release()
        const dot = (a: ArrayLike<unknown>, b: Float32Array): number =>
          b.reduce((sum, value, i) => sum + value * Number(a[i]), 0)
        // An average is linear: <y(x), dy> = <x, dx(dy)>.
        const [there, back] = [dot(results['y']!.data, feeds.dy.data), dot(results['dx']!.data, feeds.x.data)]
        const how = JSON.stringify(attributes)
        assert.ok(Math.abs(there - back) < 1e-5, `${how}: ${there}, and ${back}`)
      }
    }
  }
})

test('an operator without a rule is named, with its node', () => {
  const g = createGraphBuilder('none')
  const x = g.input('x', 'float64', [3])
  const y = g.ops('Mod', [x, x], { fmod: 1 }, 1, 'the_node')[0]!
  try {
    appendGradients(g, { value: y, gradient: y }, [x])
    assert.unreachable()
  } catch (error) {
    assert.is((error as OwmError).code, 'no_gradient')
    assert.equal((error as OwmError).details, { op: 'Mod', node: 'the_node', input: 0 })
  }
})

test('an output after the first, through which nothing can go back, is named', () => {
  const g = createGraphBuilder('none')
  const [x, scale] = [g.input('x', 'float32', [2, 3]), g.input('scale', 'float32', [3])]
  const [, mean] = g.ops('LayerNormalization', [x, scale], { axis: -1 }, 2, 'the_node')
  try {
    appendGradients(g, { value: mean!, gradient: mean! }, [x])
    assert.unreachable()
  } catch (error) {
    assert.is((error as OwmError).code, 'no_gradient')
    assert.match((error as OwmError).message, 'the_node')
  }
})

test('a parameter that has no influence is named', () => {
  const g = createGraphBuilder('none')
  const [x, unused] = [g.input('x', 'float64', [3]), g.input('unused', 'float64', [3])]
  try {
    appendGradients(g, { value: x, gradient: x }, [unused])
    assert.unreachable()
  } catch (error) {
    assert.is((error as OwmError).code, 'no_gradient')
    assert.match((error as OwmError).message, 'unused')
  }
})

test.run()
