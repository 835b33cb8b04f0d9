/** Operators that work on each element for itself, with broadcasting. */
import { OwmError } from '../../lib/index.ts'
import { add, broadcast, divide, multiply, subtract } from '../dimensions.ts'
import type { Dimension, ElementType } from '../model.ts'
import { eachKnown, ofNumbers } from './known.ts'
import { need, operator, sameTypes, typeOnly } from './operator.ts'

const same = operator({}, (inputs) => [typeOnly(need(inputs, 0))])
const slope = operator({ alpha: 'float' }, (inputs) => [typeOnly(need(inputs, 0))])
/** Of small integers, the content too: a negative of a size, a truth turned round. */
const single = (f: (value: number) => number) =>
  operator({}, (inputs) => {
    const input = need(inputs, 0)
    return [{ ...typeOnly(input), known: eachKnown([input], input.shape, ofNumbers(f)) }]
  })
const binary = (calculate?: (a: Dimension, b: Dimension) => Dimension | undefined) =>
  operator({}, (inputs) => {
    const [a, b] = [need(inputs, 0), need(inputs, 1)]
    const type = sameTypes([a, b])
    const shape = broadcast(a.shape, b.shape)
    return [{ type, shape, known: calculate === undefined ? undefined : eachKnown([a, b], shape, calculate) }]
  })
const comparison = (calculate: (a: Dimension, b: Dimension) => Dimension | undefined) =>
  operator({}, (inputs) => {
    const [a, b] = [need(inputs, 0), need(inputs, 1)]
    sameTypes([a, b])
    const shape = broadcast(a.shape, b.shape)
    return [{ type: 'bool', shape, known: eachKnown([a, b], shape, calculate) }]
  })
const logical = (f: (a: number, b: number) => number) =>
  operator({}, (inputs) => {
    const [a, b] = [need(inputs, 0), need(inputs, 1)]
    if (a.type !== 'bool' || b.type !== 'bool') throw new OwmError('bad_graph', 'A condition that is no truth value.')
    const shape = broadcast(a.shape, b.shape)
    return [{ type: 'bool', shape, known: eachKnown([a, b], shape, ofNumbers(f)) }]
  })
const truth = operator({}, (inputs) => [{ type: 'bool', shape: need(inputs, 0).shape }])

/** A size that has a name is no negative number. */
const equal = (a: Dimension, b: Dimension): Dimension | undefined => {
  if (a === b) return 1
  if (typeof a === 'number' && typeof b === 'number') return 0
  return [a, b].some((size) => typeof size === 'number' && size < 0) ? 0 : undefined
}
const quotient = (a: Dimension, b: Dimension): Dimension | undefined => divide([a], [b])

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
  Add: binary((a, b) => add(a, b)),
  Sub: binary(subtract),
  Mul: binary((a, b) => multiply([a, b])),
  /** Integers are divided towards zero. */
  Div: operator({}, (inputs) => {
    const [a, b] = [need(inputs, 0), need(inputs, 1)]
    const type = sameTypes([a, b])
    const shape = broadcast(a.shape, b.shape)
    const whole = ofNumbers((x, y) => (y === 0 ? Number.NaN : Math.trunc(x / y)))
    const divided = (x: Dimension, y: Dimension) => quotient(x, y) ?? (type.startsWith('int') ? whole(x, y) : undefined)
    return [{ type, shape, known: eachKnown([a, b], shape, (x, y) => finite(divided(x, y))) }]
  }),
  /** With the sign of the divisor; with `fmod`, of the dividend. */
  Mod: operator({ fmod: 'int' }, (inputs, { fmod = 0 }) => {
    const [a, b] = [need(inputs, 0), need(inputs, 1)]
    const shape = broadcast(a.shape, b.shape)
    const rest = ofNumbers((x, y) => (fmod === 1 ? x % y : ((x % y) + y) % y))
    return [{ type: sameTypes([a, b]), shape, known: eachKnown([a, b], shape, (x, y) => finite(rest(x, y))) }]
  }),
  Pow: binary(),
  Max: binary(ofNumbers(Math.max)),
  Min: binary(ofNumbers(Math.min)),
  Equal: comparison(equal),
  Less: comparison(ofNumbers((a, b) => Number(a < b))),
  LessOrEqual: comparison(ofNumbers((a, b) => Number(a <= b))),
  Greater: comparison(ofNumbers((a, b) => Number(a > b))),
  GreaterOrEqual: comparison(ofNumbers((a, b) => Number(a >= b))),
  And: logical((a, b) => a & b),
  Or: logical((a, b) => a | b),
  Xor: logical((a, b) => a ^ b),
  Not: single((a) => 1 - a),
  IsNaN: truth,
  IsInf: truth,
  Where: operator({}, (inputs) => {
    const [condition, a, b] = [need(inputs, 0), need(inputs, 1), need(inputs, 2)]
    if (condition.type !== 'bool') throw new OwmError('bad_graph', 'A condition that is no truth value.')
    const shape = broadcast(condition.shape, a.shape, b.shape)
    const known = eachKnown([condition, a, b], shape, (holds, x, y) => (holds === 1 ? x : y))
    return [{ type: sameTypes([a, b]), shape, known }]
  }),
  Identity: operator({}, (inputs) => [need(inputs, 0)].map(({ type, shape, known }) => ({ type, shape, known }))),
  Neg: single((value) => -value),
  Abs: single(Math.abs),
  Sign: same,
  Floor: same,
  Ceil: same,
  Round: same,
  Erf: same,
  Sin: same,
  Cos: same,
  Sigmoid: same,
  Softplus: same,
  Softsign: same,
  Tan: same,
  Atan: same,
  HardSwish: same,
  Mish: same,
  Elu: slope,
  Celu: slope,
  LeakyRelu: slope,
  ThresholdedRelu: slope,
  Selu: operator({ alpha: 'float', gamma: 'float' }, (inputs) => [typeOnly(need(inputs, 0))]),
  HardSigmoid: operator({ alpha: 'float', beta: 'float' }, (inputs) => [typeOnly(need(inputs, 0))]),
  /** The slope is broadcast to the input. */
  PRelu: operator({}, (inputs) => {
    const [x, slopes] = [need(inputs, 0), need(inputs, 1)]
    if (broadcast(x.shape, slopes.shape).join() !== x.shape.join()) {
      throw new OwmError('bad_graph', `A slope of shape [${slopes.shape.join(', ')}].`)
    }
    return [{ type: sameTypes([x, slopes]), shape: x.shape }]
  }),
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
    // Towards zero.
    const whole = type.startsWith('int')
      ? known?.map((size) => (typeof size === 'number' ? Math.trunc(size) : size))
      : known
    return [{ type, shape, known: whole }]
  }),
} as const

function finite(size: Dimension | undefined): Dimension | undefined {
  return typeof size === 'number' && !Number.isFinite(size) ? undefined : size
}
