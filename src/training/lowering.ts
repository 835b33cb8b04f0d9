/**
 * The same training step for each provider: operators and gradient rules that one cannot compute, or computes badly, are
 * written otherwise. As data, one entry per provider; models, losses and optimizers know nothing of it.
 */
import { OwmError } from '../lib/index.ts'
import {
  type AttributesOf,
  type GraphBuilder,
  type OperatorName,
  type Precision,
  type ProviderName,
  providers,
  type Value,
} from '../onnx/index.ts'
import { gatherByProduct, maxOneHotRows, maxPoolByMask } from './rules/device.ts'
import { rules as standardRules } from './rules/index.ts'
import type { Rule, RuleTable } from './rules/rule.ts'

/** Another way to write an operator: its outputs, or as many of the first as can be had. */
export type Rewrite = (
  g: GraphBuilder,
  inputs: readonly (Value | undefined)[],
  attributes: Readonly<Record<string, unknown>>,
) => readonly Value[]

export interface Lowering {
  readonly operators: Readonly<Partial<Record<OperatorName, Rewrite>>>
  readonly rules: RuleTable
}

const standardGather = (standardRules.Gather as readonly Rule[])[0]!
const deviceRules: RuleTable = {
  ...standardRules,
  MaxPool: [maxPoolByMask],
  Gather: [gatherByProduct(standardGather, maxOneHotRows)],
}
/** A table of letters is quicker by a product; with more rows than this, the CPU is quicker at adding them one by one. */
const maxLetters = 128
const cpuRules: RuleTable = { ...standardRules, Gather: [gatherByProduct(standardGather, maxLetters)] }

/** Of the operators with which training steps are made, these fail or go to the CPU on WebGPU (onnxruntime 1.30). */
const webgpu: Lowering['operators'] = {
  // Without the second output, the indices: the rule does without them.
  MaxPool: (g, [x], attributes) => [g.op('MaxPool', [x], attributes)],
  // Shifted by the maximum, so that no exponential is above 1.
  LogSoftmax: (g, [x], { axis = -1 }) => {
    const axes = g.integers([axis as number])
    const shifted = g.op('Sub', [x, g.op('ReduceMax', [x, axes], { keepdims: 1 })])
    const sum = g.op('ReduceSum', [g.op('Exp', [shifted]), axes], { keepdims: 1 })
    return [g.op('Sub', [shifted, g.op('Log', [sum])])]
  },
  Sign: (g, [x]) => {
    const { type } = x!
    const zero = g.scalar(type, 0)
    return [g.op('Sub', [g.cast(g.op('Greater', [x, zero]), type), g.cast(g.op('Less', [x, zero]), type)])]
  },
}

export const lowerings: Readonly<Record<ProviderName, Lowering>> = {
  cpu: { operators: {}, rules: cpuRules },
  webgpu: { operators: webgpu, rules: deviceRules },
  cuda: { operators: {}, rules: deviceRules },
  coreml: { operators: {}, rules: standardRules },
}

/**
 * @throws OwmError `provider_cannot_train`, `no_such_precision`
 */
export function loweringFor(provider: ProviderName, precision: Precision = 'float32'): Lowering {
  const { trains, precisions, limits } = providers[provider]
  if (!trains) {
    throw new OwmError('provider_cannot_train', `${provider} cannot train (${limits}); cpu and webgpu can.`, {
      provider,
    })
  }
  if (!precisions.includes(precision)) {
    const message = `${provider} does not compute in ${precision}: ${limits}. Leave the precision out there.`
    throw new OwmError('no_such_precision', message, { provider, precision })
  }
  return lowerings[provider]
}

/** The same builder, which writes these operators otherwise. */
export function lowered(g: GraphBuilder, { operators }: Lowering): GraphBuilder {
  if (Object.keys(operators).length === 0) return g
  return overOperators(g, (op, inputs, attributes, count, label) => {
    const rewrite = operators[op]
    return rewrite === undefined ? g.ops(op, inputs, attributes, count, label) : [...rewrite(g, inputs, attributes)]
  })
}

/** The same builder, with another way to append a node. */
export function overOperators(g: GraphBuilder, ops: GraphBuilder['ops']): GraphBuilder {
  return {
    ...g,
    ops,
    op: <K extends OperatorName>(op: K, inputs: readonly (Value | undefined)[], attributes?: AttributesOf<K>) =>
      ops(op, inputs, attributes ?? {}, 1)[0]!,
  }
}
