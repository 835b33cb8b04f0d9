/** Activations with bends and slopes. `x` is the input, `y` the output. */
import type { Value } from '../../onnx/index.ts'
import {
  attribute,
  constantLike,
  input,
  masked,
  output,
  type Rule,
  type RuleContext,
  type RuleTable,
  shapeOf,
  times,
  unbroadcast,
  zeros,
} from './rule.ts'

const x = (c: RuleContext): Value => input(c, 0)
const mul = (c: RuleContext, a: Value, b: Value): Value => c.g.op('Mul', [a, b])
const add = (c: RuleContext, a: Value, b: Value): Value => c.g.op('Add', [a, b])
const number = (c: RuleContext, name: string, otherwise: number): Value =>
  constantLike(c, attribute(c, name, otherwise))
const above = (c: RuleContext, value: Value, bound: Value): Value => c.g.op('Greater', [value, bound])
const positive = (c: RuleContext): Value => above(c, x(c), constantLike(c, 0))
const oneMinusSquare = (c: RuleContext, value: Value): Value =>
  c.g.op('Sub', [constantLike(c, 1), mul(c, value, value)])
/** dy times one factor above 0, and another below. */
const bent = (c: RuleContext, upper: Value, lower: Value): Value =>
  mul(c, c.dy, c.g.op('Where', [positive(c), upper, lower]))
/** max(0, min(1, alpha x + beta)), and whether it is strictly between. */
function hardSigmoid(c: RuleContext, alpha: number, beta: number): { readonly value: Value; readonly within: Value } {
  const line = add(c, mul(c, x(c), constantLike(c, alpha)), constantLike(c, beta))
  const [zero, one] = [constantLike(c, 0), constantLike(c, 1)]
  const within = c.g.op('And', [above(c, line, zero), above(c, one, line)])
  return { value: c.g.op('Max', [c.g.op('Min', [line, one]), zero]), within }
}
/** Flat, but for jumps. */
const none: Rule = (c) => zeros(c.g, c.dy.type, shapeOf(x(c)))

export const activations: RuleTable = {
  Relu: [(c) => masked(c, positive(c), 0)],
  LeakyRelu: [(c) => bent(c, constantLike(c, 1), number(c, 'alpha', 0.01))],
  ThresholdedRelu: [(c) => masked(c, above(c, x(c), number(c, 'alpha', 1)), 0)],
  PRelu: [
    (c) => bent(c, constantLike(c, 1), input(c, 1)),
    (c) => unbroadcast(c.g, bent(c, constantLike(c, 0), x(c)), input(c, 1)),
  ],
  // y = alpha (e^x - 1) below 0, where its slope is y + alpha; above, y is x.
  Elu: [(c) => bent(c, constantLike(c, 1), add(c, output(c), number(c, 'alpha', 1)))],
  // The same times gamma (Klambauer et al. 2017).
  Selu: [
    (c) => {
      const [alpha, gamma] = [attribute(c, 'alpha', 1.6732631921768188), attribute(c, 'gamma', 1.0507010221481323)]
      return bent(c, constantLike(c, gamma), add(c, output(c), constantLike(c, alpha * gamma)))
    },
  ],
  // y = alpha (e^(x / alpha) - 1) below 0 (Barron 2017), where its slope is y / alpha + 1.
  Celu: [
    (c) => {
      const share = mul(c, output(c), constantLike(c, 1 / attribute(c, 'alpha', 1)))
      return bent(c, constantLike(c, 1), add(c, share, constantLike(c, 1)))
    },
  ],
  HardSigmoid: [
    (c) => {
      const alpha = attribute(c, 'alpha', 0.2)
      const { within } = hardSigmoid(c, alpha, attribute(c, 'beta', 0.5))
      return mul(c, masked(c, within, 0), constantLike(c, alpha))
    },
  ],
  // x hardSigmoid(x) with a slope of 1/6 (Howard et al. 2019)
  HardSwish: [
    times(0, (c) => {
      const { value, within } = hardSigmoid(c, 1 / 6, 0.5)
      return add(c, value, mul(c, mul(c, x(c), c.g.cast(within, c.dy.type)), constantLike(c, 1 / 6)))
    }),
  ],
  // x tanh(softplus x) (Misra 2019): t + x sigmoid(x) (1 - t^2) with t the tanh
  Mish: [
    times(0, (c) => {
      const tanh = c.g.op('Tanh', [c.g.op('Softplus', [x(c)])])
      return add(c, tanh, mul(c, x(c), mul(c, c.g.op('Sigmoid', [x(c)]), oneMinusSquare(c, tanh))))
    }),
  ],
  // x / (1 + |x|): 1 / (1 + |x|)^2
  Softsign: [
    (c) => {
      const below = add(c, c.g.op('Abs', [x(c)]), constantLike(c, 1))
      return c.g.op('Div', [c.dy, mul(c, below, below)])
    },
  ],
  Floor: [none],
  Ceil: [none],
  Round: [none],
  Sign: [none],
}
