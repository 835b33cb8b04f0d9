/** Operators that work on each element for itself, with broadcasting. */
import { OwmError } from '../../lib/index.ts'
import { broadcast, divide, multiply } from '../dimensions.ts'
import type { Dimension, ElementType } from '../model.ts'
import { need, operator, sameTypes, typeOnly } from './operator.ts'

const same = operator({}, (inputs) => [{ type: need(inputs, 0).type, shape: need(inputs, 0).shape }])
const binary = (calculate?: (a: Dimension, b: Dimension) => Dimension | undefined) =>
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
/** ONNX numbers of the types that `Cast` makes. */
const castTargets: Readonly<Record<number, ElementType>> = {
  1: 'float32',
  2: 'uint8',
  6: 'int32',
  7: 'int64',
  9: 'bool',
  10: 'float16',
  11: 'float64',
}

export const elementwise = {
  Add: binary(onNumbers((a, b) => a + b)),
  Sub: binary(onNumbers((a, b) => a - b)),
  Mul: binary((a, b) => multiply([a, b])),
  Div: binary((a, b) => divide([a], [b])),
  Mod: binary(),
  Pow: binary(),
  Max: binary(),
  Min: binary(),
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
  Cast: operator({ to: 'int' }, (inputs, { to = 0 }) => {
    const { shape, known } = need(inputs, 0)
    const type = castTargets[to]
    if (type === undefined) throw new OwmError('bad_graph', `A cast to type ${to}.`)
    return [{ type, shape, known }]
  }),
} as const
