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
  // Products of matrices that nothing uses yet: what else a value's gradient has is added within the same node.
  const products = new Map<string, Step>()
  const add = (name: string, gradient: Value, product?: Step): void => {
    const before = gradients.get(name)
    const [open, other] = product === undefined ? [products.get(name), gradient] : [product, before]
    products.delete(name)
    if (before === undefined) {
      gradients.set(name, gradient)
      if (product !== undefined) products.set(name, product)
    } else if (open === undefined) gradients.set(name, g.op('Add', [before, gradient]))
    else gradients.set(name, g.op('Gemm', [...open.inputs, other], open.attributes))
  }
  // A matrix that many steps of a recurrent model use: one product of all rows instead of a sum of products.
  const often = usedOften(steps, wanted)
  const uses = new Map<string, { readonly rows: Value; readonly dy: Value }[]>()
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
      if (at === 1 && step.op === 'Gemm' && often.has(value.name)) {
        uses.set(value.name, [...(uses.get(value.name) ?? []), { rows: step.inputs[0]!, dy }])
        return
      }
      const count = g.steps.length
      const gradient = rule({ g, step, dy, gradients: given })
      const [last] = g.steps.slice(count).slice(-1)
      add(value.name, gradient, last?.outputs[0] === gradient && isOpenProduct(last) ? last : undefined)
    })
  }
  for (const [name, all] of uses) {
    const joined = (values: readonly Value[]): Value =>
      values.length === 1 ? values[0]! : g.op('Concat', values, { axis: 0 })
    const factors = [joined(all.map(({ rows }) => rows)), joined(all.map(({ dy }) => dy))]
    add(name, g.op('Gemm', often.get(name) === 1 ? factors.reverse() : factors, { transA: 1 }))
  }
  return wanted.map(({ name }) => {
    const gradient = gradients.get(name)
    if (gradient === undefined) throw new OwmError('no_gradient', `${name} has no influence on the result.`, { name })
    return gradient
  })
}

/** Wanted values that no step makes and several plain products use, all of them transposed (1) or none (0). */
function usedOften(steps: readonly Step[], wanted: readonly Value[]): ReadonlyMap<string, number> {
  const made = new Set(steps.flatMap(({ outputs }) => outputs.map(({ name }) => name)))
  const found = new Map<string, (number | undefined)[]>(
    wanted.filter(({ name }) => !made.has(name)).map(({ name }) => [name, []]),
  )
  for (const step of steps) {
    const name = step.inputs[1]?.name
    if (name !== undefined && step.op === 'Gemm') found.get(name)?.push(transposes(step))
  }
  return new Map(
    [...found].flatMap(([name, [first, ...others]]) =>
      first !== undefined && others.length > 0 && others.every((other) => other === first) ? [[name, first]] : [],
    ),
  )
}

/** Of a product Y = A B (+ C) 0, of Y = A B^T (+ C) 1. */
function transposes({ op, attributes }: Step): number | undefined {
  const { alpha = 1, transA = 0, transB = 0 } = attributes
  return op === 'Gemm' && alpha === 1 && transA === 0 ? Number(transB) : undefined
}

function isOpenProduct({ op, inputs }: Step): boolean {
  return op === 'Gemm' && inputs[2] === undefined
}
