/** Operators that work on each element for itself. `x` is the input, `y` the output. */
import type { Value } from '../../onnx/index.ts'
import {
  attribute,
  constantLike,
  input,
  masked,
  output,
  pass,
  type Rule,
  type RuleContext,
  type RuleTable,
  times,
  unbroadcast,
} from './rule.ts'

const x = (c: RuleContext): Value => input(c, 0)
const mul = (c: RuleContext, a: Value, b: Value): Value => c.g.op('Mul', [a, b])
const square = (c: RuleContext, value: Value): Value => mul(c, value, value)
const scaled = (c: RuleContext, value: Value, factor: number): Value => mul(c, value, constantLike(c, factor))
const oneMinus = (c: RuleContext, value: Value): Value => c.g.op('Sub', [constantLike(c, 1), value])

/** Of equal elements the first input takes the whole gradient. */
const extreme = (first: 'GreaterOrEqual' | 'LessOrEqual', second: 'Less' | 'Greater'): readonly Rule[] => [
  (c) => masked(c, c.g.op(first, [input(c, 0), input(c, 1)]), 0),
  (c) => masked(c, c.g.op(second, [input(c, 0), input(c, 1)]), 1),
]

export const elementwise: RuleTable = {
  Identity: [(c) => c.dy],
  Add: [pass(0), pass(1)],
  Sub: [pass(0), (c) => unbroadcast(c.g, c.g.op('Neg', [c.dy]), input(c, 1))],
  Mul: [times(0, (c) => input(c, 1)), times(1, (c) => input(c, 0))],
  Div: [
    (c) => unbroadcast(c.g, c.g.op('Div', [c.dy, input(c, 1)]), input(c, 0)),
    times(1, (c) => c.g.op('Neg', [c.g.op('Div', [output(c), input(c, 1)])])),
  ],
  Pow: [
    // p x^(p - 1)
    times(0, (c) => {
      const power = c.g.cast(input(c, 1), c.dy.type)
      return mul(c, power, c.g.op('Pow', [x(c), c.g.op('Sub', [power, constantLike(c, 1)])]))
    }),
    times(1, (c) => mul(c, output(c), c.g.op('Log', [x(c)]))),
  ],
  Max: extreme('GreaterOrEqual', 'Less'),
  Min: extreme('LessOrEqual', 'Greater'),
  Neg: [(c) => c.g.op('Neg', [c.dy])],
  Abs: [times(0, (c) => c.g.op('Sign', [x(c)]))],
  // -1 / x^2
  Reciprocal: [times(0, (c) => c.g.op('Neg', [square(c, output(c))]))],
  Exp: [times(0, output)],
  Log: [(c) => c.g.op('Div', [c.dy, x(c)])],
  // 1 / (2 sqrt x)
  Sqrt: [(c) => c.g.op('Div', [scaled(c, c.dy, 0.5), output(c)])],
  Sin: [times(0, (c) => c.g.op('Cos', [x(c)]))],
  Cos: [times(0, (c) => c.g.op('Neg', [c.g.op('Sin', [x(c)])]))],
  // 2 / sqrt(pi) e^(-x^2)
  Erf: [times(0, (c) => scaled(c, c.g.op('Exp', [c.g.op('Neg', [square(c, x(c))])]), 2 / Math.sqrt(Math.PI)))],
  // 1 - y^2
  Tanh: [times(0, (c) => oneMinus(c, square(c, output(c))))],
  // y (1 - y)
  Sigmoid: [times(0, (c) => mul(c, output(c), oneMinus(c, output(c))))],
  Softplus: [times(0, (c) => c.g.op('Sigmoid', [x(c)]))],
  // 1 + y^2
  Tan: [times(0, (c) => c.g.op('Add', [square(c, output(c)), constantLike(c, 1)]))],
  // 1 / (1 + x^2)
  Atan: [(c) => c.g.op('Div', [c.dy, c.g.op('Add', [square(c, x(c)), constantLike(c, 1)])])],
  Gelu: [times(0, (c) => (attribute<string>(c, 'approximate', 'none') === 'tanh' ? geluTanhSlope(c) : geluSlope(c)))],
  Clip: [
    (c) => {
      const [, low, high] = c.step.inputs
      const above = low === undefined ? [] : [c.g.op('GreaterOrEqual', [x(c), low])]
      const below = high === undefined ? [] : [c.g.op('LessOrEqual', [x(c), high])]
      return [...above, ...below].reduce((dy, within) => masked({ ...c, dy }, within, 0), c.dy)
    },
  ],
  Cast: [(c) => c.g.cast(c.dy, x(c).type)],
  Where: [
    undefined,
    (c) => unbroadcast(c.g, c.g.op('Where', [input(c, 0), c.dy, constantLike(c, 0)]), input(c, 1)),
    (c) => unbroadcast(c.g, c.g.op('Where', [input(c, 0), constantLike(c, 0), c.dy]), input(c, 2)),
  ],
}

/**
 * Of x Phi(x): Phi(x) + x phi(x), with the normal distribution Phi and its density phi (Hendrycks and Gimpel 2016). With
 * u = x / sqrt(2) that is (1 + erf(u)) / 2 + u e^(-u^2) / sqrt(pi), whose last factor is within the exponential: a pass less.
 */
function geluSlope(c: RuleContext): Value {
  const u = scaled(c, x(c), Math.SQRT1_2)
  const share = c.g.op('Add', [scaled(c, c.g.op('Erf', [u]), 0.5), constantLike(c, 0.5)])
  const exponent = c.g.op('Sub', [constantLike(c, -0.5 * Math.log(Math.PI)), square(c, u)])
  return c.g.op('Add', [share, mul(c, u, c.g.op('Exp', [exponent]))])
}

/** Of x (1 + tanh u) / 2 with u = sqrt(2 / pi) (x + 0.044715 x^3). */
function geluTanhSlope(c: RuleContext): Value {
  const cubic = 0.044715
  const root = Math.sqrt(2 / Math.PI)
  const squared = square(c, x(c))
  const inner = c.g.op('Add', [scaled(c, squared, root * cubic), constantLike(c, root)])
  const tanh = c.g.op('Tanh', [mul(c, x(c), inner)])
  const slope = c.g.op('Add', [scaled(c, squared, 3 * root * cubic), constantLike(c, root)])
  const steep = mul(c, mul(c, x(c), slope), oneMinus(c, square(c, tanh)))
  return scaled(c, c.g.op('Add', [c.g.op('Add', [tanh, constantLike(c, 1)]), steep]), 0.5)
}
