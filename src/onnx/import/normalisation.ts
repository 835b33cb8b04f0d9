/** Normalisations whose statistics are computed, made of reductions: their gradients are those of the parts. */
import type { Value } from '../graph.ts'
import { type Conversion, type ForeignNode, floatOf, inputOf, intOf, like, op, reshaped, sizeOf } from './node.ts'

/**
 * Ioffe and Szegedy 2015. In inference the statistics are given. In training they are the batch's, and the running ones
 * move towards them.
 */
export const batchNormalization: Conversion = (c) => {
  const epsilon = floatOf(c, 'epsilon', 1e-5)
  if (intOf(c, 'training_mode', 0) === 0) {
    return [op(c, 'BatchNormalization', c.inputs, { epsilon }), undefined, undefined]
  }
  const x = inputOf(c, 0)
  const axes = x.shape.map((_, axis) => axis).filter((axis) => axis !== 1)
  const { normal, mean, variance } = normalised(c, x, axes, epsilon)
  const [scale, bias] = [1, 2].map((at) => perChannel(c, inputOf(c, at), x.shape.length))
  const momentum = floatOf(c, 'momentum', 0.9)
  const moved = (running: Value, batch: Value): Value => {
    const now = reshaped(c, batch, [-1])
    const kept = op(c, 'Mul', [running, like(c, running, momentum)])
    return op(c, 'Add', [kept, op(c, 'Mul', [now, like(c, now, 1 - momentum)])])
  }
  return [
    op(c, 'Add', [op(c, 'Mul', [normal, scale]), bias]),
    moved(inputOf(c, 3), mean),
    moved(inputOf(c, 4), variance),
  ]
}

/** Ulyanov et al. 2016: each channel of each example for itself. */
export const instanceNormalization: Conversion = (c) => {
  const x = inputOf(c, 0)
  const axes = x.shape.map((_, axis) => axis).slice(2)
  const { normal } = normalised(c, x, axes, floatOf(c, 'epsilon', 1e-5))
  const [scale, bias] = [1, 2].map((at) => perChannel(c, inputOf(c, at), x.shape.length))
  return [op(c, 'Add', [op(c, 'Mul', [normal, scale]), bias])]
}

/** Wu and He 2018. Before version 21, scale and bias are one a group. */
export const groupNormalization: Conversion = (c) => {
  const x = inputOf(c, 0)
  const groups = intOf(c, 'num_groups', 1)
  const [channels, spatial] = [sizeOf(x, 1), x.shape.slice(2).map((_, axis) => sizeOf(x, axis + 2))]
  const grouped = reshaped(c, x, [0, groups, -1])
  const { normal } = normalised(c, grouped, [2], floatOf(c, 'epsilon', 1e-5))
  const scaled = (value: Value): Value => {
    const [scale, bias] = [1, 2].map((at) => perChannel(c, inputOf(c, at), value.shape.length))
    return op(c, 'Add', [op(c, 'Mul', [value, scale]), bias])
  }
  const back = (value: Value): Value => reshaped(c, value, [0, channels, ...spatial])
  return [c.version < 21 ? back(scaled(normal)) : scaled(back(normal))]
}

function normalised(c: ForeignNode, x: Value, over: readonly number[], epsilon: number) {
  const axes = c.g.integers(over)
  const mean = op(c, 'ReduceMean', [x, axes], { keepdims: 1 })
  const centred = op(c, 'Sub', [x, mean])
  const variance = op(c, 'ReduceMean', [op(c, 'Mul', [centred, centred]), axes], { keepdims: 1 })
  const deviation = op(c, 'Sqrt', [op(c, 'Add', [variance, like(c, x, epsilon)])])
  return { normal: op(c, 'Div', [centred, deviation]), mean, variance }
}

/** [C] as [C, 1, ...]. */
function perChannel(c: ForeignNode, value: Value, rank: number): Value {
  return rank === 2 ? value : reshaped(c, value, [-1, ...Array.from({ length: rank - 2 }, () => 1)])
}
