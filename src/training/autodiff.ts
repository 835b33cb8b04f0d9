import { OwmError } from '../lib/index.ts'
import type { GraphBuilder, Step, Value } from '../onnx/index.ts'
import { rules as standardRules } from './rules/index.ts'
import type { RuleTable } from './rules/rule.ts'

/** Gradients flow through numbers; an index, a shape or a condition has none, whatever it was made from. */
const differentiable: ReadonlySet<string> = new Set(['float16', 'float32', 'float64'])

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
  const add = (name: string, gradient: Value): void => {
    const before = gradients.get(name)
    gradients.set(name, before === undefined ? gradient : g.op('Add', [before, gradient]))
  }
  // A matrix that many steps of a recurrent model use: one product of all rows instead of a sum of products.
  const often = usedOften(steps, wanted)
  const products = new Map<string, { readonly rows: Value; readonly dy: Value }[]>()
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
      if (at === 1 && often.has(value.name) && isPlain(step)) {
        const uses = products.get(value.name) ?? []
        products.set(value.name, [...uses, { rows: step.inputs[0]!, dy }])
        return
      }
      add(value.name, rule({ g, step, dy, gradients: given }))
    })
  }
  for (const [name, uses] of products) {
    const joined = (values: readonly Value[]): Value =>
      values.length === 1 ? values[0]! : g.op('Concat', values, { axis: 0 })
    const [rows, dy] = [joined(uses.map((use) => use.rows)), joined(uses.map((use) => use.dy))]
    add(name, g.op('Gemm', [rows, dy], { transA: 1 }))
  }
  return wanted.map(({ name }) => {
    const gradient = gradients.get(name)
    if (gradient === undefined) throw new OwmError('no_gradient', `${name} has no influence on the result.`, { name })
    return gradient
  })
}

/** Wanted values that no step makes and several plain products use. */
function usedOften(steps: readonly Step[], wanted: readonly Value[]): ReadonlySet<string> {
  const made = new Set(steps.flatMap(({ outputs }) => outputs.map(({ name }) => name)))
  const counts = new Map(wanted.filter(({ name }) => !made.has(name)).map(({ name }) => [name, 0]))
  for (const step of steps) {
    const name = step.inputs[1]?.name
    const count = name === undefined ? undefined : counts.get(name)
    if (count !== undefined && isPlain(step)) counts.set(name!, count + 1)
  }
  return new Set([...counts].flatMap(([name, count]) => (count > 1 ? [name] : [])))
}

/** Y = A B (+ C). */
function isPlain({ op, attributes }: Step): boolean {
  const { alpha = 1, transA = 0, transB = 0 } = attributes
  return op === 'Gemm' && alpha === 1 && transA === 0 && transB === 0
}
