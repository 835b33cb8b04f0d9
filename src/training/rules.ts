/**
 * Gradient rules, one per operator, as data: for each input, how its gradient follows from the gradients of the
 * outputs. An input without a rule (an index, a shape, a mask) takes no gradient. Shapes are static here.
 */
import { type GraphBuilder, type OperatorName, type Step, staticShape, type Value } from '../onnx/index.ts'

export interface RuleContext {
  readonly g: GraphBuilder
  readonly step: Step
  /** The gradient of the first output. */
  readonly dy: Value
  /** The gradients of all outputs; undefined where nothing depends on one. */
  readonly gradients: readonly (Value | undefined)[]
}
export type Rule = (context: RuleContext) => Value
export type RuleTable = Readonly<Partial<Record<OperatorName, readonly (Rule | undefined)[]>>>

const input = ({ step }: RuleContext, at: number): Value => {
  const value = step.inputs[at]
  if (value === undefined) throw new Error(`${step.op} has no input ${at}`)
  return value
}
const output = ({ step }: RuleContext): Value => step.outputs[0]!

/** Sums over the axes along which `value` was repeated to get from `shape` to its own. */
export function unbroadcast(g: GraphBuilder, value: Value, like: Value): Value {
  const [from, to] = [staticShape(value.shape), staticShape(like.shape)]
  const lead = from.length - to.length
  const axes = from.flatMap((size, axis) => (axis < lead || (to[axis - lead] === 1 && size !== 1) ? [axis] : []))
  if (axes.length === 0) return value
  const sum = g.op('ReduceSum', [value, g.integers(axes)], { keepdims: 1 })
  return lead === 0 ? sum : reshape(g, sum, to)
}
const reshape = (g: GraphBuilder, value: Value, shape: readonly number[]): Value =>
  g.op('Reshape', [value, g.integers(shape)])

/** The last two axes exchanged. */
function transposed(g: GraphBuilder, value: Value): Value {
  const rank = value.shape.length
  const perm = value.shape.map((_, axis) => (axis < rank - 2 ? axis : 2 * rank - 3 - axis))
  return g.op('Transpose', [value], { perm })
}

/** Rules of y = f(x, ...) that multiply dy by something and undo broadcasting. */
const times =
  (at: number, factor: (context: RuleContext) => Value): Rule =>
  (c) =>
    unbroadcast(c.g, c.g.op('Mul', [c.dy, factor(c)]), input(c, at))
const pass =
  (at: number): Rule =>
  (c) =>
    unbroadcast(c.g, c.dy, input(c, at))
const reshapeBack: Rule = (c) => reshape(c.g, c.dy, staticShape(input(c, 0).shape))
const lastAxis = (c: RuleContext, value: Value): Value => c.g.integers([value.shape.length - 1])

export const rules: RuleTable = {
  Identity: [(c) => c.dy],
  Add: [pass(0), pass(1)],
  Sub: [pass(0), (c) => unbroadcast(c.g, c.g.op('Neg', [c.dy]), input(c, 1))],
  Mul: [times(0, (c) => input(c, 1)), times(1, (c) => input(c, 0))],
  Div: [
    (c) => unbroadcast(c.g, c.g.op('Div', [c.dy, input(c, 1)]), input(c, 0)),
    times(1, (c) => c.g.op('Neg', [c.g.op('Div', [output(c), input(c, 1)])])),
  ],
  Neg: [(c) => c.g.op('Neg', [c.dy])],
  Exp: [times(0, output)],
  Log: [(c) => c.g.op('Div', [c.dy, input(c, 0)])],
  // 1 / (2 sqrt x)
  Sqrt: [(c) => c.g.op('Div', [c.g.op('Mul', [c.dy, c.g.scalar(c.dy.type, 0.5)]), output(c)])],
  // 1 - tanh^2
  Tanh: [times(0, (c) => c.g.op('Sub', [c.g.scalar(c.dy.type, 1), c.g.op('Mul', [output(c), output(c)])]))],
  Relu: [(c) => c.g.op('Mul', [c.dy, c.g.cast(c.g.op('Greater', [input(c, 0), c.g.scalar(c.dy.type, 0)]), c.dy.type)])],
  Where: [
    undefined,
    (c) => unbroadcast(c.g, c.g.op('Where', [input(c, 0), c.dy, c.g.scalar(c.dy.type, 0)]), input(c, 1)),
    (c) => unbroadcast(c.g, c.g.op('Where', [input(c, 0), c.g.scalar(c.dy.type, 0), c.dy]), input(c, 2)),
  ],
  // y (dy - sum(dy y)), over the last axis
  Softmax: [
    (c) => {
      const weighted = c.g.op('Mul', [c.dy, output(c)])
      const sum = c.g.op('ReduceSum', [weighted, lastAxis(c, c.dy)], { keepdims: 1 })
      return c.g.op('Sub', [weighted, c.g.op('Mul', [output(c), sum])])
    },
  ],
  // dy - softmax(x) sum(dy)
  LogSoftmax: [
    (c) => {
      const sum = c.g.op('ReduceSum', [c.dy, lastAxis(c, c.dy)], { keepdims: 1 })
      return c.g.op('Sub', [c.dy, c.g.op('Mul', [c.g.op('Exp', [output(c)]), sum])])
    },
  ],
  ReduceSum: [(c) => c.g.op('Expand', [keptAxes(c), c.g.integers(staticShape(input(c, 0).shape))])],
  ReduceMean: [
    (c) => {
      const count = size(input(c, 0)) / size(output(c))
      const share = c.g.op('Mul', [keptAxes(c), c.g.scalar(c.dy.type, 1 / count)])
      return c.g.op('Expand', [share, c.g.integers(staticShape(input(c, 0).shape))])
    },
  ],
  MatMul: [
    (c) => unbroadcast(c.g, c.g.op('MatMul', [c.dy, transposed(c.g, input(c, 1))]), input(c, 0)),
    (c) => {
      const [a, b] = [input(c, 0), input(c, 1)]
      if (b.shape.length > 2) return unbroadcast(c.g, c.g.op('MatMul', [transposed(c.g, a), c.dy]), b)
      // One product over all rows, not a sum over a batch of products.
      const [inner, outer] = staticShape(b.shape) as [number, number]
      return c.g.op('MatMul', [transposed(c.g, flat(c.g, a, inner)), flat(c.g, c.dy, outer)])
    },
  ],
  LayerNormalization: [
    // (dys - mean(dys) - n mean(dys n)) / deviation, with n the normalised input and dys = dy scale
    (c) => {
      const { normal, inverse } = normalised(c)
      const dys = c.g.op('Mul', [c.dy, input(c, 1)])
      const mean = (value: Value): Value => c.g.op('ReduceMean', [value, lastAxis(c, value)], { keepdims: 1 })
      const along = c.g.op('Mul', [normal, mean(c.g.op('Mul', [dys, normal]))])
      return c.g.op('Mul', [c.g.op('Sub', [c.g.op('Sub', [dys, mean(dys)]), along]), inverse])
    },
    times(1, (c) => normalised(c).normal),
    pass(2),
  ],
  Reshape: [reshapeBack],
  Unsqueeze: [reshapeBack],
  Squeeze: [reshapeBack],
  Transpose: [
    (c) => {
      const rank = c.dy.shape.length
      const perm = (c.step.attributes['perm'] as number[] | undefined) ?? c.dy.shape.map((_, axis) => rank - 1 - axis)
      return c.g.op('Transpose', [c.dy], { perm: perm.map((_, axis) => perm.indexOf(axis)) })
    },
  ],
  // Rows are added back where they came from. ScatterND would lose updates when threads meet; this op does not.
  Gather: [
    (c) => {
      if (((c.step.attributes['axis'] as number | undefined) ?? 0) !== 0) {
        throw new Error('Gather has a gradient along the first axis alone')
      }
      const [table, indices] = [input(c, 0), input(c, 1)]
      const [rows = 0, ...row] = staticShape(table.shape)
      const width = row.reduce((product, length) => product * length, 1)
      const count = size(indices)
      const zeros = c.g.op('Expand', [c.g.scalar(c.dy.type, 0), c.g.integers([rows, width])])
      const spread = c.g.op('Expand', [reshape(c.g, indices, [count, 1]), c.g.integers([count, width])])
      const updates = reshape(c.g, c.dy, [count, width])
      const sum = c.g.op('ScatterElements', [zeros, spread, updates], { axis: 0, reduction: 'add' })
      return reshape(c.g, sum, [rows, ...row])
    },
  ],
}

function size(value: Value): number {
  return staticShape(value.shape).reduce((product, length) => product * length, 1)
}

/** The value as a matrix of rows of `width`. */
function flat(g: GraphBuilder, value: Value, width: number): Value {
  return value.shape.length === 2 ? value : reshape(g, value, [size(value) / width, width])
}

/** The gradient of a reduction, with the reduced axes kept as 1. */
function keptAxes(c: RuleContext): Value {
  const from = staticShape(input(c, 0).shape)
  const axes = (c.step.inputs[1]?.known as number[] | undefined) ?? from.map((_, axis) => axis)
  const reduced = new Set(axes.map((axis) => (axis < 0 ? axis + from.length : axis)))
  return reshape(
    c.g,
    c.dy,
    from.map((length, axis) => (reduced.has(axis) ? 1 : length)),
  )
}

/** (x - mean) / deviation, over the last axis. */
function normalised(c: RuleContext): { readonly normal: Value; readonly inverse: Value } {
  const x = input(c, 0)
  const { mean, inverse } = statistics(c)
  return { normal: c.g.op('Mul', [c.g.op('Sub', [x, mean]), inverse]), inverse }
}

/** Those that the forward node gives, where it does and they are exact enough. */
function statistics(c: RuleContext): { readonly mean: Value; readonly inverse: Value } {
  const x = input(c, 0)
  const [, given, givenInverse] = c.step.outputs
  if (given !== undefined && givenInverse !== undefined && x.type === 'float32') {
    return { mean: given, inverse: givenInverse }
  }
  const average = (value: Value): Value => c.g.op('ReduceMean', [value, lastAxis(c, value)], { keepdims: 1 })
  const mean = average(x)
  const centred = c.g.op('Sub', [x, mean])
  const epsilon = (c.step.attributes['epsilon'] as number | undefined) ?? 1e-5
  const variance = c.g.op('Add', [average(c.g.op('Mul', [centred, centred])), c.g.scalar(x.type, epsilon)])
  return { mean, inverse: c.g.op('Reciprocal', [c.g.op('Sqrt', [variance])]) }
}
