/** Reductions, and what normalises along an axis. */
import { OwmError } from '../../lib/index.ts'
import { broadcast } from '../dimensions.ts'
import { axisOf, need, numbersOf, operator, sameTypes, type Typed } from './operator.ts'

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
  ReduceL1: reduction,
  ReduceLogSum: reduction,
  ReduceLogSumExp: reduction,
  ReduceProd: reduction,
  /** With the mean and the variance of each channel given: [N, C, ...], then scale, bias, mean and variance [C]. */
  BatchNormalization: operator({ epsilon: 'float' }, (inputs) => {
    const { type, shape } = need(inputs, 0)
    for (const at of [1, 2, 3, 4]) {
      if (need(inputs, at).shape.join() !== String(shape[1])) throw new OwmError('bad_graph', `Input ${at} is not [C].`)
    }
    sameTypes(inputs.slice(0, 5))
    return [{ type, shape }]
  }),
} as const
