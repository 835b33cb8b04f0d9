/** Compares what the rules give with differences, in float64. */
import * as assert from 'uvu/assert'
import {
  createGraphBuilder,
  elementCount,
  encodeModel,
  type GraphBuilder,
  openSession,
  type Random,
  type RuntimeTensor,
  staticShape,
  type Value,
} from '../../src/onnx/index.ts'
import { appendGradients } from '../../src/training/autodiff.ts'
import { type Lowering, lowered, lowerings } from '../../src/training/lowering.ts'
import { inFloat64 } from './float64.ts'

/** Of differences with this step, in float64: their error is about its fourth power. */
const difference = 1e-3
const tolerance = 1e-6
/** Elements of an input that are tried one by one; two directions through all of them follow. */
const maxElements = 12

export interface Check {
  /** Shapes of what is differentiated by. */
  readonly shapes: readonly (readonly number[])[]
  /** Keeps clear of where a function is not smooth, or not defined: inputs are from here to 2 above. */
  readonly from?: number
  /** Inputs are all different by more than the differences, in random order: for a maximum. */
  readonly spaced?: boolean
  readonly use: (g: GraphBuilder, ...inputs: Value[]) => Value
}

/** `lowering`: with the operators and rules of another provider, which the CPU can compute too. */
export async function checkGradients(check: Check, random: Random, lowering: Lowering = lowerings.cpu): Promise<void> {
  const g = lowered(createGraphBuilder('check'), lowering)
  const inputs = check.shapes.map((shape, at) => g.input(`x${at}`, 'float64', shape))
  const result = check.use(g, ...inputs)
  // A random weighting of the result, so that no error cancels out in the sum.
  const weights = g.input('weights', 'float64', result.shape)
  const axes = result.shape.map((_, axis) => axis)
  const loss = g.op('ReduceSum', [g.op('Mul', [result, weights]), g.integers(axes)], { keepdims: 0 })
  appendGradients(g, { value: loss, gradient: g.scalar('float64', 1) }, inputs, lowering.rules).forEach(
    (gradient, at) => {
      assert.equal(gradient.shape, check.shapes[at])
      g.output(`d${at}`, gradient)
    },
  )
  g.output('loss', loss)
  const session = await openSession(encodeModel(inFloat64(g.graph())), { threads: 1 })
  const tensor = (shape: readonly number[], data: Float64Array): RuntimeTensor => ({ type: 'float64', shape, data })
  const draw = (shape: readonly number[], from: number): RuntimeTensor =>
    tensor(
      shape,
      Float64Array.from({ length: elementCount(shape) }, () => from + random.unit() * 2),
    )
  const feeds: Record<string, RuntimeTensor> = { weights: draw(staticShape(result.shape), -1) }
  check.shapes.forEach((shape, at) => {
    feeds[`x${at}`] = draw(shape, check.from ?? -1)
    if (check.spaced === true) feeds[`x${at}`] = tensor(shape, spaced(elementCount(shape), check.from ?? -1, random))
  })
  const lossAt = async (name: string, direction: Float64Array, step: number): Promise<number> => {
    const data = (feeds[name]!.data as Float64Array).map((value, i) => value + step * direction[i]!)
    return Number((await session.run({ ...feeds, [name]: { ...feeds[name]!, data } }))['loss']!.data[0])
  }
  const gradients = await session.run(feeds)
  for (const at of check.shapes.keys()) {
    const name = `x${at}`
    const gradient = gradients[`d${at}`]!.data as Float64Array
    const count = gradient.length
    const tried =
      count <= maxElements ? [...gradient.keys()] : Array.from({ length: maxElements }, () => random.below(count))
    const directions = [
      ...tried.map((index) => new Float64Array(count).fill(1, index, index + 1)),
      ...[1, 2].map(() => Float64Array.from({ length: count }, () => (random.unit() - 0.5) / Math.sqrt(count))),
    ]
    for (const direction of directions) {
      // Four points: the error falls with the fourth power of the step.
      const h = difference
      const near = (await lossAt(name, direction, h)) - (await lossAt(name, direction, -h))
      const far = (await lossAt(name, direction, 2 * h)) - (await lossAt(name, direction, -2 * h))
      const expected = (8 * near - far) / (12 * h)
      const actual = gradient.reduce((sum, value, i) => sum + value * direction[i]!, 0)
      const scale = Math.max(1, Math.abs(expected))
      assert.ok(Math.abs(actual - expected) <= tolerance * scale, `by ${name}: ${actual}, not ${expected}`)
    }
  }
  await session.release()
}

function spaced(count: number, from: number, random: Random): Float64Array {
  const values = Float64Array.from({ length: count }, (_, i) => from + (2 * (i + 0.5)) / count)
  for (let i = count - 1; i > 0; i--) {
    const other = random.below(i + 1)
    ;[values[i], values[other]] = [values[other]!, values[i]!]
  }
  return values
}
