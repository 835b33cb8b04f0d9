/** Every gradient rule against central differences in float64. */
import * as assert from 'uvu/assert'
import type { OwmError } from '../../src/lib/index.ts'
import {
  createGraphBuilder,
  createRandom,
  elementCount,
  encodeModel,
  type GraphBuilder,
  openSession,
  type RuntimeTensor,
  type Session,
  staticShape,
  type Value,
} from '../../src/onnx/index.ts'
import { appendGradients } from '../../src/training/autodiff.ts'
import { rules } from '../../src/training/rules.ts'
import { suite } from '../suite.ts'

const test = suite('gradient rules')

/** Of central differences with this step, in float64: their error is about its square. */
const difference = 1e-4
const tolerance = 1e-6

interface Check {
  /** Shapes of what is differentiated by. */
  readonly shapes: readonly (readonly number[])[]
  /** Keeps clear of where a function is not smooth, or not defined. */
  readonly from?: number
  readonly use: (g: GraphBuilder, ...inputs: Value[]) => Value
}
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

for (const [title, check] of Object.entries(checks)) {
  test(title, async () => {
    const random = createRandom(title.length)
    const g = createGraphBuilder('check')
    const inputs = check.shapes.map((shape, at) => g.input(`x${at}`, 'float64', shape))
    const result = check.use(g, ...inputs)
    // A random weighting of the result, so that no error cancels out in the sum.
    const weights = g.input('weights', 'float64', result.shape)
    const axes = result.shape.map((_, axis) => axis)
    const loss = g.op('ReduceSum', [g.op('Mul', [result, weights]), g.integers(axes)], { keepdims: 0 })
    appendGradients(g, { value: loss, gradient: f64(g, 1) }, inputs).forEach((gradient, at) => {
      assert.equal(gradient.shape, check.shapes[at])
      g.output(`d${at}`, gradient)
    })
    g.output('loss', loss)
    const session = await openSession(encodeModel(g.model()), { threads: 1 })
    const draw = (shape: readonly number[]): RuntimeTensor => ({
      type: 'float64',
      shape,
      data: Float64Array.from({ length: elementCount(shape) }, () => (check.from ?? -1) + random.unit() * 2),
    })
    const feeds: Record<string, RuntimeTensor> = { weights: draw(staticShape(result.shape)) }
    check.shapes.forEach((shape, at) => {
      feeds[`x${at}`] = draw(shape)
    })
    const gradients = await session.run(feeds)
    for (const at of check.shapes.keys()) await compare(session, feeds, `x${at}`, gradients[`d${at}`]!)
    await session.release()
  })
}

async function compare(
  session: Session,
  feeds: Record<string, RuntimeTensor>,
  name: string,
  gradient: RuntimeTensor,
): Promise<void> {
  const values = feeds[name]!.data as Float64Array
  const lossAt = async (index: number, change: number): Promise<number> => {
    const data = values.slice()
    data[index]! += change
    return Number((await session.run({ ...feeds, [name]: { ...feeds[name]!, data } }))['loss']!.data[0])
  }
  for (const index of values.keys()) {
    // Four points: the error falls with the fourth power of the step.
    const near = (await lossAt(index, difference)) - (await lossAt(index, -difference))
    const far = (await lossAt(index, 2 * difference)) - (await lossAt(index, -2 * difference))
    const expected = (8 * near - far) / (12 * difference)
    const actual = Number(gradient.data[index])
    assert.ok(
      Math.abs(actual - expected) <= tolerance * Math.max(1, Math.abs(expected)),
      `${name}[${index}]: ${actual}, not ${expected}`,
    )
  }
}

test('no rule is without a check', () => {
  const checked = new Set(Object.keys(checks).flatMap((title) => title.match(/\w+/g) ?? []))
  assert.equal(
    Object.keys(rules).filter((op) => !checked.has(op)),
    [],
  )
})

test('an operator without a rule is named, with its node', () => {
  const g = createGraphBuilder('none')
  const x = g.input('x', 'float64', [3])
  const y = g.ops('Reciprocal', [x], {}, 1, 'the_node')[0]!
  try {
    appendGradients(g, { value: y, gradient: y }, [x])
    assert.unreachable()
  } catch (error) {
    assert.is((error as OwmError).code, 'no_gradient')
    assert.equal((error as OwmError).details, { op: 'Reciprocal', node: 'the_node', input: 0 })
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
