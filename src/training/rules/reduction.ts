/** Reductions, and what normalises along an axis. */
import type { Value } from '../../onnx/index.ts'
import {
  attribute,
  constantLike,
  fromFront,
  input,
  integersAt,
  output,
  type RuleContext,
  type RuleTable,
  reshape,
  shapeOf,
  size,
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
  ReduceL1: [(c) => c.g.op('Mul', [c.g.op('Sign', [input(c, 0)]), kept(c, c.dy)])],
  // 1 / sum(x), the sum being e^y
  ReduceLogSum: [(c) => spread(c, kept(c, c.g.op('Div', [c.dy, c.g.op('Exp', [output(c)])])))],
  // e^(x - y)
  ReduceLogSumExp: [
    (c) => c.g.op('Mul', [c.g.op('Exp', [c.g.op('Sub', [input(c, 0), kept(c, output(c))])]), kept(c, c.dy)]),
  ],
  // The product of all others, which is y / x but where x is 0.
  ReduceProd: [productOfOthers],
  ReduceMax: [sharedByWinners],
  ReduceMin: [sharedByWinners],
  // y (dy - sum(dy y))
  Softmax: [
    (c) => {
      const mean = sumAlong(c, c.g.op('Mul', [c.dy, output(c)]))
      return c.g.op('Mul', [output(c), c.g.op('Sub', [c.dy, mean])])
    },
  ],
  // dy - softmax(x) sum(dy)
  LogSoftmax: [(c) => c.g.op('Sub', [c.dy, c.g.op('Mul', [c.g.op('Exp', [output(c)]), sumAlong(c, c.dy)])])],
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

/**
 * dy times the product of all others. With no zero among them that is y / x; with one, it is the product of the rest at
 * that place, and 0 elsewhere; with more, 0.
 */
function productOfOthers(c: RuleContext): Value {
  const { g } = c
  const [x, zero, one] = [input(c, 0), constantLike(c, 0), constantLike(c, 1)]
  const axes = g.integers(integersAt(c, 1) ?? shapeOf(x).map((_, axis) => axis))
  const isZero = g.op('Equal', [x, zero])
  const rest = g.op('ReduceProd', [g.op('Where', [isZero, one, x]), axes], { keepdims: 1 })
  const zeroCount = g.op('ReduceSum', [g.cast(isZero, c.dy.type), axes], { keepdims: 1 })
  const atZero = g.op('Where', [g.op('Equal', [zeroCount, one]), rest, zero])
  const elsewhere = g.op('Div', [kept(c, output(c)), g.op('Where', [isZero, one, x])])
  return g.op('Mul', [g.op('Where', [isZero, atZero, elsewhere]), kept(c, c.dy)])
}
