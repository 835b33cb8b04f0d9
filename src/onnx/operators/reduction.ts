/** Reductions, and what normalises along an axis. */
import { broadcast } from '../dimensions.ts'
import { axisOf, need, numbersOf, operator, type Typed } from './operator.ts'

const sameOverAxis = operator({ axis: 'int' }, (inputs, { axis = -1 }) => {
  const { type, shape } = need(inputs, 0)
  axisOf(axis, shape.length)
  return [{ type, shape }]
})
const reduction = operator({ keepdims: 'int' }, (inputs, { keepdims = 1 }) => {
  const { type, shape } = need(inputs, 0)
  const axes = inputs[1] === undefined ? shape.map((_, axis) => axis) : numbersOf(inputs[1])
  const reduced = new Set(axes.map((axis) => axisOf(axis, shape.length)))
  return [{ type, shape: shape.flatMap((size, axis) => (!reduced.has(axis) ? [size] : keepdims === 1 ? [1] : [])) }]
})

export const reductions = {
  Softmax: sameOverAxis,
  LogSoftmax: sameOverAxis,
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
} as const
