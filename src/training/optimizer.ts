/** Optimizers as pieces of graph: a parameter, its gradient and its state give the next parameter and state. */
import type { GraphBuilder, Value } from '../onnx/index.ts'
import type { OptimizerSpec } from './index.ts'

export interface UpdateRule {
  readonly state: readonly { readonly name: string; readonly shape: readonly number[] }[]
  append(
    g: GraphBuilder,
    value: Value,
    gradient: Value,
    state: readonly Value[],
    rates: readonly Value[],
  ): { readonly value: Value; readonly state: readonly Value[] }
}

/** What changes from step to step and is fed to the graph; `ratesAt` gives the values in this order. */
const rate = { step: 0, embeddingStep: 1, keep: 2, epsilon: 3 } as const
export const rateCount = 4
/** The learning rate falls to this part of itself at the end of a run. */
const finalShare = 0.02

/**
 * The rates of a step. Warm-up is linear in steps, decay linear in the run's progress (0 to 1). The bias corrections
 * of Adam are moved into step size and epsilon (Kingma and Ba 2015, section 2).
 *
 * @param step from 1, since the optimizer's state was empty
 */
export function ratesAt(spec: OptimizerSpec, step: number, progress: number): number[] {
  const warm = Math.min(1, step / Math.max(1, spec.warmupSteps))
  const learningRate = spec.learningRate * warm * Math.max(finalShare, 1 - progress)
  const correction = Math.sqrt(1 - spec.beta2 ** step)
  const stepSize = (-learningRate * correction) / (1 - spec.beta1 ** step)
  return [
    stepSize,
    stepSize * (spec.embeddingScale ?? 1),
    1 - learningRate * spec.weightDecay,
    spec.epsilon * correction,
  ]
}

/** AdamW (Loshchilov and Hutter 2019). Embeddings and vectors do not decay. */
export function updateRule(spec: OptimizerSpec, name: string, shape: readonly number[]): UpdateRule {
  const embedding = name.endsWith('embedding')
  return {
    state: [
      { name: 'mean', shape },
      { name: 'square', shape },
    ],
    append: (g, value, gradient, [mean, square], rates) => {
      const blend = (old: Value, fresh: Value, beta: number): Value =>
        g.op('Add', [
          g.op('Mul', [old, g.scalar('float32', beta)]),
          g.op('Mul', [fresh, g.scalar('float32', 1 - beta)]),
        ])
      const nextMean = blend(mean!, gradient, spec.beta1)
      const nextSquare = blend(square!, g.op('Mul', [gradient, gradient]), spec.beta2)
      const deviation = g.op('Add', [g.op('Sqrt', [nextSquare]), rates[rate.epsilon]!])
      const step = rates[embedding ? rate.embeddingStep : rate.step]!
      const kept = embedding || shape.length < 2 ? value : g.op('Mul', [value, rates[rate.keep]!])
      const change = g.op('Mul', [g.op('Div', [nextMean, deviation]), step])
      return { value: g.op('Add', [kept, change]), state: [nextMean, nextSquare] }
    },
  }
}
