import { OwmError } from '../lib/index.ts'
import type { GraphBuilder, Value } from '../onnx/index.ts'
import { rules as standardRules } from './rules/index.ts'
import type { RuleTable } from './rules/rule.ts'

/** Gradients flow through numbers; an index, a shape or a condition has none, whatever it was made from. */
const differentiable: ReadonlySet<string> = new Set(['float32', 'float64'])

/**
 * Reverse-mode differentiation (Linnainmaa 1970): walks the graph once from its end, hands each node's output
 * gradients to the rule of its operator, and adds up what several uses of a value give.
 *
 * @param seed the value to start from and its gradient, of the same shape (of a loss: 1)
 * @param wanted the values whose gradients are returned, in their order
 * @throws OwmError `no_gradient` naming the operator and node that has no rule, or the value that has no influence
 */
export function appendGradients(
  g: GraphBuilder,
  seed: { readonly value: Value; readonly gradient: Value },
  wanted: readonly Value[],
  rules: RuleTable = standardRules,
): Value[] {
  const steps = [...g.steps]
  const moving = new Set(wanted.map(({ name }) => name))
  for (const step of steps) {
    if (step.inputs.some((value) => value !== undefined && moving.has(value.name))) {
      for (const { name, type } of step.outputs) if (differentiable.has(type)) moving.add(name)
    }
  }
  const gradients = new Map<string, Value>([[seed.value.name, seed.gradient]])
  for (const step of steps.reverse()) {
    const given = step.outputs.map(({ name }) => gradients.get(name))
    const dy = given[0] ?? given.find((gradient) => gradient !== undefined)
    if (dy === undefined) continue
    const rulesOfOp = rules[step.op]
    const missing = (what: string, input: number): OwmError => {
      const message = `${step.op} (node ${step.name}) has no gradient rule for its ${what}.`
      return new OwmError('no_gradient', message, { op: step.op, node: step.name, input })
    }
    step.inputs.forEach((value, at) => {
      if (value === undefined || !moving.has(value.name)) return
      const rule = typeof rulesOfOp === 'function' ? rulesOfOp(at) : rulesOfOp?.[at]
      if (rule === undefined) throw missing(`input ${at}`, at)
      if (step.op !== 'Split' && given.some((gradient, output) => output > 0 && gradient !== undefined)) {
        throw missing('outputs after the first', at)
      }
      const gradient = rule({ g, step, dy, gradients: given })
      const before = gradients.get(value.name)
      gradients.set(value.name, before === undefined ? gradient : g.op('Add', [before, gradient]))
    })
  }
  return wanted.map(({ name }) => {
    const gradient = gradients.get(name)
    if (gradient === undefined) throw new OwmError('no_gradient', `${name} has no influence on the result.`, { name })
    return gradient
  })
}
