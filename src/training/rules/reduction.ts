/** Reductions, and what normalises along an axis. */
import type { Value } from '../../onnx/index.ts'
import {
  attribute,
  constantLike,
  fromFront,
  input,
  integersAt,
  output,
  pass,
  type RuleContext,
  type RuleTable,
  reshape,
  shapeOf,
  size,
  times,
} from './rule.ts'

/** Sum along the operator's axis, kept as 1. */
const sumAlong = (c: RuleContext, value: Value): Value =>
  c.g.op('ReduceSum', [value, c.g.integers([fromFront(attribute(c, 'axis', -1), value.shape.length)])], { keepdims: 1 })
const spread = (c: RuleContext, value: Value): Value => c.g.op('Expand', [value, c.g.integers(shapeOf(input(c, 0)))])

export const reductions: RuleTable = {
  ReduceSum: [(c) => spread(c, kept(c, c.dy))],
  ReduceMean: [(c) => spread(c, c.g.op('Mul', [kept(c, c.dy), constantLike(c, size(output(c)) / size(input(c, 0)))]))],
  // 2 x
  ReduceSumSquare: [(c) => c.g.op('Mul', [c.g.op('Mul', [input(c, 0), constantLike(c, 2)]), kept(c, c.dy)])],
  // x / y
  ReduceL2: [(c) => c.g.op('Mul', [input(c, 0), kept(c, c.g.op('Div', [c.dy, output(c)]))])],
  ReduceMax: [sharedByWinners],
  ReduceMin: [sharedByWinners],
  // y (dy - sum(dy y))
  Softmax: [
    (c) => {
      const weighted = c.g.op('Mul', [c.dy, output(c)])
      return c.g.op('Sub', [weighted, c.g.op('Mul', [output(c), sumAlong(c, weighted)])])
    },
  ],
  // dy - softmax(x) sum(dy)
  LogSoftmax: [(c) => c.g.op('Sub', [c.dy, c.g.op('Mul', [c.g.op('Exp', [output(c)]), sumAlong(c, c.dy)])])],
  LayerNormalization: [
    // (dys - mean(dys) - n mean(dys n)) / deviation, with n the normalised input and dys = dy scale
    (c) => {
      const { normal, inverse } = normalised(c)
      const dys = c.g.op('Mul', [c.dy, input(c, 1)])
      const along = c.g.op('Mul', [normal, average(c, c.g.op('Mul', [dys, normal]))])
      return c.g.op('Mul', [c.g.op('Sub', [c.g.op('Sub', [dys, average(c, dys)]), along]), inverse])
    },
    times(1, (c) => normalised(c).normal),
    pass(2),
  ],
}

/** A reduction's output, or its gradient, with the reduced axes kept as 1. */
function kept(c: RuleContext, value: Value): Value {
  const from = shapeOf(input(c, 0))
  const axes = integersAt(c, 1) ?? from.map((_, axis) => axis)
  const reduced = new Set(axes.map((axis) => fromFront(axis, from.length)))
  const shape = from.map((length, axis) => (reduced.has(axis) ? 1 : length))
  return value.shape.join() === shape.join() ? value : reshape(c.g, value, shape)
}

/** Of several largest (or smallest) elements, each takes the same share. */
function sharedByWinners(c: RuleContext): Value {
  const winners = c.g.cast(c.g.op('Equal', [input(c, 0), kept(c, output(c))]), c.dy.type)
  const axes = integersAt(c, 1) ?? shapeOf(input(c, 0)).map((_, axis) => axis)
  const count = c.g.op('ReduceSum', [winners, c.g.integers(axes)], { keepdims: 1 })
  return c.g.op('Mul', [winners, c.g.op('Div', [kept(c, c.dy), count])])
}

/** Mean over the normalised axes, kept as 1. */
function average(c: RuleContext, value: Value): Value {
  const rank = input(c, 0).shape.length
  const from = fromFront(attribute(c, 'axis', -1), rank)
  const axes = Array.from({ length: rank - from }, (_, at) => from + at)
  return c.g.op('ReduceMean', [value, c.g.integers(axes)], { keepdims: 1 })
}

/** (x - mean) / deviation, over the normalised axes. */
function normalised(c: RuleContext): { readonly normal: Value; readonly inverse: Value } {
  const { mean, inverse } = statistics(c)
  return { normal: c.g.op('Mul', [c.g.op('Sub', [input(c, 0), mean]), inverse]), inverse }
}

/** Those that the forward node gives, where it does and they are exact enough. */
function statistics(c: RuleContext): { readonly mean: Value; readonly inverse: Value } {
  const x = input(c, 0)
  const [, given, givenInverse] = c.step.outputs
  if (given !== undefined && givenInverse !== undefined && x.type === 'float32') {
    return { mean: given, inverse: givenInverse }
  }
  const mean = average(c, x)
  const centred = c.g.op('Sub', [x, mean])
  const epsilon = c.g.scalar(x.type, attribute(c, 'epsilon', 1e-5))
  const variance = c.g.op('Add', [average(c, c.g.op('Mul', [centred, centred])), epsilon])
  return { mean, inverse: c.g.op('Reciprocal', [c.g.op('Sqrt', [variance])]) }
}
