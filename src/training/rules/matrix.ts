/** Products of matrices. */
import type { GraphBuilder, Value } from '../../onnx/index.ts'
import {
  attribute,
  constantLike,
  input,
  type Rule,
  type RuleContext,
  type RuleTable,
  reshape,
  shapeOf,
  size,
  unbroadcast,
} from './rule.ts'

export const matrices: RuleTable = {
  MatMul: [
    (c) => {
      const [a, b] = [input(c, 0), input(c, 1)]
      if (b.shape.length > 2) return unbroadcast(c.g, c.g.op('MatMul', [c.dy, transposed(c.g, b)]), a)
      // A transposition of its own would be a second copy of a frozen weight.
      const rows = c.g.op('Gemm', [flat(c.g, c.dy, Number(b.shape[1])), b], { transB: 1 })
      return a.shape.length === 2 ? rows : reshape(c.g, rows, shapeOf(a))
    },
    (c) => {
      const [a, b] = [input(c, 0), input(c, 1)]
      if (b.shape.length > 2) return unbroadcast(c.g, c.g.op('MatMul', [transposed(c.g, a), c.dy]), b)
      // One product over all rows, not a sum over a batch of products.
      const [inner, outer] = shapeOf(b) as [number, number]
      return c.g.op('MatMul', [transposed(c.g, flat(c.g, a, inner)), flat(c.g, c.dy, outer)])
    },
  ],
  // Y = alpha A' B' + beta C, where a dash stands for a transposition that the node may ask for. dA' = alpha dY B'^T
  // and dB' = alpha A'^T dY; that of a transposed input is the product turned round. No transposition is carried out.
  Gemm: [
    product((c, flipA, flipB) => (flipA ? [input(c, 1), c.dy, flipB, true] : [c.dy, input(c, 1), false, !flipB])),
    product((c, flipA, flipB) => (flipB ? [c.dy, input(c, 0), true, flipA] : [input(c, 0), c.dy, !flipA, false])),
    (c) => {
      const beta = attribute<number>(c, 'beta', 1)
      return unbroadcast(c.g, beta === 1 ? c.dy : c.g.op('Mul', [c.dy, constantLike(c, beta)]), input(c, 2))
    },
  ],
}

/** A gradient that is again a Gemm: of which two matrices, and which of them are transposed. */
function product(
  factors: (c: RuleContext, flipA: boolean, flipB: boolean) => [a: Value, b: Value, transA: boolean, transB: boolean],
): Rule {
  return (c) => {
    const [a, b, transA, transB] = factors(
      c,
      attribute<number>(c, 'transA', 0) === 1,
      attribute<number>(c, 'transB', 0) === 1,
    )
    return c.g.op('Gemm', [a, b], {
      alpha: attribute<number>(c, 'alpha', 1),
      transA: Number(transA),
      transB: Number(transB),
    })
  }
}

/** The last two axes exchanged. What the model itself has exchanged is taken as it was before. */
function transposed(g: GraphBuilder, value: Value): Value {
  const rank = value.shape.length
  const perm = value.shape.map((_, axis) => (axis < rank - 2 ? axis : 2 * rank - 3 - axis))
  const made = g.steps.find(({ outputs }) => outputs[0]?.name === value.name)
  if (made?.op === 'Transpose' && String(made.attributes['perm']) === String(perm)) return made.inputs[0]!
  return g.op('Transpose', [value], { perm })
}

/** The value as a matrix of rows of `width`. */
function flat(g: GraphBuilder, value: Value, width: number): Value {
  return value.shape.length === 2 ? value : reshape(g, value, [size(value) / width, width])
}
