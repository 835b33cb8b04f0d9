/** Which of an imported graph's weights can be learned, and which shall be. */
import { OwmError } from '../lib/index.ts'
import { elementCount, type GraphBuilder, matchesAny, type Step, type Tensor, type Value } from '../onnx/index.ts'
import { rules } from './rules/index.ts'

export interface Choice {
  /** Patterns of names, `*` for any part; by default all weights of one axis or more. */
  readonly trainable?: readonly string[] | undefined
  /** Patterns of names that stay as they are, whatever `trainable` says. */
  readonly freeze?: readonly string[] | undefined
}

const hasRule = ({ op }: Step, at: number): boolean => {
  const rulesOfOp = rules[op]
  return typeof rulesOfOp === 'function' || rulesOfOp?.[at] !== undefined
}
/** Of an operator that has rules, an input without one: statistics. Exporters store equal tensors once, whatever for. */
const isGiven = (step: Step, at: number): boolean => rules[step.op] !== undefined && !hasRule(step, at)
const isNumber = (value: Value | undefined): value is Value => value?.type === 'float32'

/**
 * @param weights the file's float32 tensors that are used, in the file's order
 * @returns the names of those to be learned
 * @throws OwmError `no_such_parameter` for a pattern that no weight with an influence has, `no_gradient`
 */
export function chooseTrainable(
  { steps }: GraphBuilder,
  output: Value,
  weights: ReadonlyMap<string, Tensor>,
  { trainable, freeze = [] }: Choice,
): string[] {
  // Backwards: what the output depends on in a way that has a slope; what an operator without rules hides counts too.
  const reached = new Set([output.name])
  for (const step of steps.toReversed()) {
    if (!step.outputs.some(({ name }) => reached.has(name))) continue
    step.inputs.forEach((value, at) => {
      if (isNumber(value) && (hasRule(step, at) || rules[step.op] === undefined)) reached.add(value.name)
    })
  }
  const given = new Set(
    steps.flatMap((step) => step.inputs.filter((_, at) => isGiven(step, at)).map((value) => value?.name)),
  )
  const able = [...weights.keys()].filter((name) => reached.has(name) && !given.has(name))
  for (const pattern of [...(trainable ?? []), ...freeze]) {
    if (able.some((name) => matchesAny([pattern], name))) continue
    const message = `No weight with an influence on the output is called ${pattern}.`
    throw new OwmError('no_such_parameter', message, { pattern, weights: able.slice(0, 100) })
  }
  const chosen = able.filter((name) =>
    trainable === undefined ? isWeight(name, weights.get(name)!) : matchesAny(trainable, name),
  )
  const names = chosen.filter((name) => !matchesAny(freeze, name))
  checkRules(steps, names, reached)
  return names
}

/**
 * A number by itself is part of a formula, unless it is called as a layer's parameter is (`head.bias`); an infinity is
 * part of a mask; and what PyTorch numbers (`val_8`) it has calculated, where no layer uses it: `weight-names.ts`.
 */
function isWeight(name: string, { shape, data }: Tensor): boolean {
  const count = elementCount(shape)
  if (/^val_\d+$/.test(name)) return false
  if (shape.length === 0 || count === 0 || (count === 1 && !name.includes('.'))) return false
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength)
  for (let at = 0; at < data.length; at += 4) if (!Number.isFinite(view.getFloat32(at, true))) return false
  return true
}

/** Now rather than when a step is built. */
function checkRules(steps: readonly Step[], names: readonly string[], reached: ReadonlySet<string>): void {
  const moving = new Set(names)
  for (const step of steps) {
    const inputs = step.inputs.flatMap((value, at) => (isNumber(value) && moving.has(value.name) ? [at] : []))
    if (inputs.length === 0 || !step.outputs.some(({ name }) => reached.has(name))) continue
    const blocked = inputs.find((at) => !hasRule(step, at))
    if (blocked !== undefined) {
      const message = `${step.op} (node ${step.name}) has no gradient rule for its input ${blocked}.`
      throw new OwmError('no_gradient', message, { op: step.op, node: step.name, input: blocked })
    }
    for (const value of step.outputs) if (isNumber(value)) moving.add(value.name)
  }
}
