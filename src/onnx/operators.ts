/**
 * The operators that a graph may use: their attributes, and how the types and shapes of what they give follow from
 * what they get (https://onnx.ai/onnx/operators, version 20). Data, one entry per operator; an operator that is not
 * here is refused.
 */
import { OwmError } from '../lib/index.ts'
import { broadcast, divide, multiply } from './dimensions.ts'
import type { Dimension, ElementType } from './model.ts'
import { type Attributes, axisOf, knownOf, need, numbersOf, operator, sameTypes, type Typed } from './operator.ts'
import { windowOperators } from './windows.ts'

const same = operator({}, (inputs) => [{ type: need(inputs, 0).type, shape: need(inputs, 0).shape }])
const sameOverAxis = operator({ axis: 'int' }, (inputs, { axis = -1 }) => {
  const { type, shape } = need(inputs, 0)
  axisOf(axis, shape.length)
  return [{ type, shape }]
})
const typeOnly = ({ type, shape }: Typed): Typed => ({ type, shape })
const elementwise = (calculate?: (a: Dimension, b: Dimension) => Dimension | undefined) =>
  operator({}, (inputs) => {
    const [a, b] = [need(inputs, 0), need(inputs, 1)]
    const type = sameTypes([a, b])
    const known = a.known?.length === 1 && b.known?.length === 1 ? calculate?.(a.known[0]!, b.known[0]!) : undefined
    return [{ type, shape: broadcast(a.shape, b.shape), known: known === undefined ? undefined : [known] }]
  })
const onNumbers = (f: (a: number, b: number) => number) => (a: Dimension, b: Dimension) =>
  typeof a === 'number' && typeof b === 'number' ? f(a, b) : undefined
const comparison = operator({}, (inputs) => {
  sameTypes(inputs.slice(0, 2))
  return [{ type: 'bool', shape: broadcast(need(inputs, 0).shape, need(inputs, 1).shape) }]
})
const reduction = operator({ keepdims: 'int' }, (inputs, { keepdims = 1 }) => {
  const { type, shape } = need(inputs, 0)
  const axes = inputs[1] === undefined ? shape.map((_, axis) => axis) : numbersOf(inputs[1])
  const reduced = new Set(axes.map((axis) => axisOf(axis, shape.length)))
  return [{ type, shape: shape.flatMap((size, axis) => (!reduced.has(axis) ? [size] : keepdims === 1 ? [1] : [])) }]
})

/** ONNX numbers of the types that `Cast` makes. */
const castTargets: Readonly<Record<number, ElementType>> = {
  1: 'float32',
  2: 'uint8',
  6: 'int32',
  7: 'int64',
  9: 'bool',
  11: 'float64',
}

export const operators = {
  Add: elementwise(onNumbers((a, b) => a + b)),
  Sub: elementwise(onNumbers((a, b) => a - b)),
  Mul: elementwise((a, b) => multiply([a, b])),
  Div: elementwise((a, b) => divide([a], [b])),
  Mod: elementwise(),
  Pow: elementwise(),
  Max: elementwise(),
  Min: elementwise(),
  Equal: comparison,
  Less: comparison,
  LessOrEqual: comparison,
  Greater: comparison,
  GreaterOrEqual: comparison,
  Where: operator({}, (inputs) => {
    const [condition, a, b] = [need(inputs, 0), need(inputs, 1), need(inputs, 2)]
    return [{ type: sameTypes([a, b]), shape: broadcast(condition.shape, a.shape, b.shape) }]
  }),
  Identity: same,
  Neg: same,
  Abs: same,
  Sign: same,
  Erf: same,
  Sin: same,
  Cos: same,
  Sigmoid: same,
  Softplus: same,
  Elu: operator({ alpha: 'float' }, (inputs) => [typeOnly(need(inputs, 0))]),
  LeakyRelu: operator({ alpha: 'float' }, (inputs) => [typeOnly(need(inputs, 0))]),
  Gelu: operator({ approximate: 'string' }, (inputs) => [typeOnly(need(inputs, 0))]),
  /** Lower and upper bound are scalars, either of which may be left out. */
  Clip: operator({}, (inputs) => {
    for (const bound of inputs.slice(1)) {
      if (bound !== undefined && bound.shape.length > 0) throw new OwmError('bad_graph', 'A bound that is no scalar.')
      if (bound !== undefined) sameTypes([need(inputs, 0), bound])
    }
    return [typeOnly(need(inputs, 0))]
  }),
  Sqrt: same,
  Exp: same,
  Log: same,
  Tanh: same,
  Relu: same,
  Reciprocal: same,
  Softmax: sameOverAxis,
  LogSoftmax: sameOverAxis,
  Cast: operator({ to: 'int' }, (inputs, { to = 0 }) => {
    const { shape, known } = need(inputs, 0)
    const type = castTargets[to]
    if (type === undefined) throw new OwmError('bad_graph', `A cast to type ${to}.`)
    return [{ type, shape, known }]
  }),
  MatMul: operator({}, (inputs) => {
    const [a, b] = [need(inputs, 0), need(inputs, 1)]
    if (a.shape.length < 2 || b.shape.length < 2 || a.shape.at(-1) !== b.shape.at(-2)) {
      throw new OwmError('bad_graph', `[${a.shape.join(', ')}] cannot be multiplied with [${b.shape.join(', ')}].`)
    }
    const batch = broadcast(a.shape.slice(0, -2), b.shape.slice(0, -2))
    return [{ type: sameTypes([a, b]), shape: [...batch, a.shape.at(-2)!, b.shape.at(-1)!] }]
  }),
  Gemm: operator(
    { alpha: 'float', beta: 'float', transA: 'int', transB: 'int' },
    (inputs, { transA = 0, transB = 0 }) => {
      const [a, b] = [need(inputs, 0), need(inputs, 1)]
      if (a.shape.length !== 2 || b.shape.length !== 2) throw new OwmError('bad_graph', 'Gemm takes matrices.')
      const [rows, inner] = transA === 0 ? [a.shape[0]!, a.shape[1]!] : [a.shape[1]!, a.shape[0]!]
      const [height, columns] = transB === 0 ? [b.shape[0]!, b.shape[1]!] : [b.shape[1]!, b.shape[0]!]
      if (inner !== height) throw new OwmError('bad_graph', `Sums over ${inner} and ${height} elements.`)
      const shape = [rows, columns]
      const [added] = inputs.slice(2, 3)
      if (added !== undefined && broadcast(added.shape, shape).join() !== shape.join()) {
        throw new OwmError('bad_graph', `[${added.shape.join(', ')}] does not fit [${shape.join(', ')}].`)
      }
      return [{ type: sameTypes([a, b, ...(added === undefined ? [] : [added])]), shape }]
    },
  ),
  LayerNormalization: operator({ axis: 'int', epsilon: 'float' }, (inputs, { axis = -1 }, count) => {
    const { type, shape } = need(inputs, 0)
    const from = axisOf(axis, shape.length)
    broadcast(shape.slice(from), need(inputs, 1).shape)
    // Mean and inverse deviation are float32 whatever the input is: the operator's `stash_type`.
    const statistics: Typed = { type: 'float32', shape: shape.map((size, at) => (at >= from ? 1 : size)) }
    return [{ type, shape }, statistics, statistics].slice(0, count)
  }),
  ReduceSum: reduction,
  ReduceMean: reduction,
  ReduceMax: reduction,
  ReduceMin: reduction,
  ReduceSumSquare: reduction,
  ReduceL2: reduction,
  Shape: operator({ start: 'int', end: 'int' }, (inputs, { start = 0, end }) => {
    const known = need(inputs, 0).shape.slice(start, end)
    return [{ type: 'int64', shape: [known.length], known }]
  }),
  Range: operator({}, (inputs) => {
    const [start, limit, delta] = [0, 1, 2].map((at) => knownOf(need(inputs, at))[0]!)
    if (start !== 0 || delta !== 1) throw new OwmError('bad_graph', 'A range that does not count from 0 by 1.')
    return [{ type: need(inputs, 0).type, shape: [limit!] }]
  }),
  Reshape: operator({ allowzero: 'int' }, (inputs, { allowzero = 0 }) => {
    const { type, shape, known } = need(inputs, 0)
    const wanted = knownOf(need(inputs, 1)).map((size, axis) => (size === 0 && allowzero === 0 ? shape[axis] : size))
    const given = wanted.filter((size): size is Dimension => size !== -1 && size !== undefined)
    if (wanted.length - given.length > 1) throw new OwmError('bad_graph', 'A reshape to several unknown sizes.')
    const rest = divide(shape, given)
    if (rest === undefined || (given.length === wanted.length && rest !== 1)) {
      throw new OwmError('bad_graph', `[${shape.join(', ')}] cannot be reshaped to [${wanted.join(', ')}].`)
    }
    return [{ type, shape: wanted.map((size) => (size === -1 || size === undefined ? rest : size)), known }]
  }),
  Unsqueeze: operator({}, (inputs) => {
    const { type, shape, known } = need(inputs, 0)
    const axes = numbersOf(need(inputs, 1))
    const rank = shape.length + axes.length
    const added = new Set(axes.map((axis) => axisOf(axis, rank)))
    const rest = [...shape]
    return [{ type, shape: Array.from({ length: rank }, (_, axis) => (added.has(axis) ? 1 : rest.shift()!)), known }]
  }),
  Squeeze: operator({}, (inputs) => {
    const { type, shape, known } = need(inputs, 0)
    const axes = new Set(numbersOf(need(inputs, 1)).map((axis) => axisOf(axis, shape.length)))
    if ([...axes].some((axis) => shape[axis] !== 1)) throw new OwmError('bad_graph', 'A squeeze of a size over 1.')
    return [{ type, shape: shape.filter((_, axis) => !axes.has(axis)), known }]
  }),
  Transpose: operator({ perm: 'ints' }, (inputs, { perm }) => {
    const { type, shape } = need(inputs, 0)
    const order = perm ?? shape.map((_, axis) => shape.length - 1 - axis)
    if (order.length !== shape.length || new Set(order).size !== order.length) {
      throw new OwmError('bad_graph', `[${order.join(', ')}] does not order the axes of [${shape.join(', ')}].`)
    }
    return [{ type, shape: order.map((axis) => shape[axisOf(axis, shape.length)]!) }]
  }),
  Flatten: operator({ axis: 'int' }, (inputs, { axis = 1 }) => {
    const { type, shape } = need(inputs, 0)
    const at = axis < 0 ? axis + shape.length : axis
    if (at < 0 || at > shape.length) throw new OwmError('bad_graph', `Axis ${axis} is outside.`)
    return [{ type, shape: [multiply(shape.slice(0, at)), multiply(shape.slice(at))] }]
  }),
  /** With a constant; negative pads cut off. */
  Pad: operator({ mode: 'string' }, (inputs, { mode = 'constant' }) => {
    const { type, shape } = need(inputs, 0)
    const pads = numbersOf(need(inputs, 1))
    const axes = inputs[3] === undefined ? shape.map((_, axis) => axis) : numbersOf(inputs[3])
    if (mode !== 'constant' || pads.length !== 2 * axes.length) throw new OwmError('bad_graph', 'A pad of this kind.')
    const padded = [...shape]
    axes.forEach((axis, index) => {
      const at = axisOf(axis, shape.length)
      const [before, after] = [pads[index]!, pads[index + axes.length]!]
      const size = shape[at]!
      if (before === 0 && after === 0) return
      if (typeof size === 'string') throw new OwmError('bad_graph', `A pad of the size ${size}, which is not known.`)
      if (size + before + after < 0) throw new OwmError('bad_graph', 'A pad that cuts off more than there is.')
      padded[at] = size + before + after
    })
    return [{ type, shape: padded }]
  }),
  Expand: operator({}, (inputs) => {
    const { type, shape } = need(inputs, 0)
    return [{ type, shape: broadcast(shape, knownOf(need(inputs, 1))) }]
  }),
  ConstantOfShape: operator({}, (inputs) => [{ type: 'float32', shape: knownOf(need(inputs, 0)) }]),
  Concat: operator({ axis: 'int' }, (inputs, { axis = 0 }) => {
    const first = need(inputs, 0)
    const at = axisOf(axis, first.shape.length)
    const type = sameTypes(inputs)
    const parts = inputs.map((_, index) => need(inputs, index))
    for (const { shape } of parts) broadcast(shape.with(at, 1), first.shape.with(at, 1))
    const sizes = parts.map(({ shape }) => shape[at]!)
    const total = sizes.every((size) => typeof size === 'number')
      ? sizes.reduce((sum, size) => sum + size, 0)
      : sizes.join('+')
    const known = parts.every((part) => part.known !== undefined) ? parts.flatMap((part) => part.known!) : undefined
    return [{ type, shape: first.shape.with(at, total), known }]
  }),
  Slice: operator({}, (inputs) => {
    const { type, shape, known } = need(inputs, 0)
    const [starts, ends] = [numbersOf(need(inputs, 1)), knownOf(need(inputs, 2))]
    const axes = inputs[3] === undefined ? starts.map((_, at) => at) : numbersOf(inputs[3])
    const steps = inputs[4] === undefined ? starts.map(() => 1) : numbersOf(inputs[4])
    const sliced = [...shape]
    axes.forEach((axis, at) => {
      const target = axisOf(axis, shape.length)
      sliced[target] = sliceSize(shape[target]!, starts[at]!, ends[at]!, steps[at]!)
    })
    const [start, end] = [starts[0], ends[0]]
    const content =
      shape.length === 1 && steps[0] === 1 && typeof end === 'number' ? known?.slice(start, end) : undefined
    return [{ type, shape: sliced, known: content }]
  }),
  Split: operator({ axis: 'int' }, (inputs, { axis = 0 }, count) => {
    const { type, shape } = need(inputs, 0)
    const at = axisOf(axis, shape.length)
    const sizes = numbersOf(need(inputs, 1))
    if (sizes.length !== count || sizes.reduce((sum, size) => sum + size, 0) !== shape[at]) {
      throw new OwmError('bad_graph', `[${shape.join(', ')}] cannot be split into parts of [${sizes.join(', ')}].`)
    }
    return sizes.map((size) => ({ type, shape: shape.with(at, size) }))
  }),
  Gather: operator({ axis: 'int' }, (inputs, { axis = 0 }) => {
    const [data, indices] = [need(inputs, 0), need(inputs, 1)]
    const at = axisOf(axis, data.shape.length)
    return [{ type: data.type, shape: [...data.shape.slice(0, at), ...indices.shape, ...data.shape.slice(at + 1)] }]
  }),
  GatherElements: operator({ axis: 'int' }, (inputs, { axis = 0 }) => {
    const [data, indices] = [need(inputs, 0), need(inputs, 1)]
    axisOf(axis, data.shape.length)
    return [{ type: data.type, shape: indices.shape }]
  }),
  ScatterElements: operator({ axis: 'int', reduction: 'string' }, (inputs, { axis = 0 }) => {
    const [data, indices, updates] = [need(inputs, 0), need(inputs, 1), need(inputs, 2)]
    axisOf(axis, data.shape.length)
    if (indices.shape.join() !== updates.shape.join()) {
      throw new OwmError('bad_graph', 'A scatter whose indices and updates differ in shape.')
    }
    return [{ type: data.type, shape: data.shape }]
  }),
  ...windowOperators,
  /** Loop-carried values alone; the body takes iteration and condition first and gives the condition first. */
  Loop: operator({ body: 'graph' }, (inputs, { body }) => {
    if (body === undefined) throw new OwmError('bad_graph', 'A loop without a body.')
    const carried = body.outputs.slice(1).map(({ type, shape }) => ({ type, shape }))
    carried.forEach((output, at) => {
      const input = need(inputs, at + 2)
      if (input.type !== output.type || input.shape.join() !== output.shape.join()) {
        throw new OwmError('bad_graph', `The loop's value ${at} changes its type or shape.`)
      }
    })
    return carried
  }),
} as const

export type { Typed }
export type OperatorName = keyof typeof operators
export type AttributesOf<K extends OperatorName> = Attributes<(typeof operators)[K]['attributes']>

function sliceSize(size: Dimension, start: number, end: Dimension, step: number): Dimension {
  if (typeof size === 'string' || typeof end === 'string') {
    if (start !== 0 || step !== 1) throw new OwmError('bad_graph', 'A slice of unknown size.')
    // A part up to a named size: the caller vouches that it is no larger than the whole.
    return typeof end === 'string' ? end : size
  }
  const clamp = (at: number): number => Math.min(Math.max(at < 0 ? at + size : at, step < 0 ? -1 : 0), size)
  return Math.max(0, Math.ceil((clamp(end) - clamp(start)) / step))
}
