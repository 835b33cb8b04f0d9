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
const rate = { step: 0, keep: 1, epsilon: 2 } as const
export const rateCount = 3
/** The learning rate falls to this part of itself at the end of a run. */
const finalShare = 0.02

/**
 * The rates of a step. Warm-up is linear in steps, decay linear in the run's progress (0 to 1).
 *
 * The graph keeps plain decaying sums, mean / (1 - beta1) and square / (1 - beta2), which spares two passes over every
 * weight; these factors and Adam's bias corrections are in step size and epsilon (Kingma and Ba 2015, section 2).
 *
 * @param step from 1, since the optimizer's state was empty
 */
export function ratesAt(spec: OptimizerSpec, step: number, progress: number): number[] {
  const { beta1, beta2 } = spec
  const warm = Math.min(1, step / Math.max(1, spec.warmupSteps))
  const learningRate = spec.learningRate * warm * (1 - (1 - finalShare) * progress)
  const meanScale = (1 - beta1) / (1 - beta1 ** step)
  const deviationScale = Math.sqrt((1 - beta2) / (1 - beta2 ** step))
  const stepSize = (-learningRate * meanScale) / deviationScale
  return [stepSize, 1 - learningRate * spec.weightDecay, spec.epsilon / deviationScale]
}

/** AdamW (Loshchilov and Hutter 2019). Embeddings and vectors do not decay. */
export function updateRule(spec: OptimizerSpec, name: string, shape: readonly number[]): UpdateRule {
  const decays = shape.length > 1 && !name.endsWith('.embedding')
  return {
    state: [
      { name: 'means', shape },
      { name: 'squares', shape },
    ],
    append: (g, value, gradient, [means, squares], rates) => {
      const addTo = (sum: Value, fresh: Value, beta: number): Value =>
        g.op('Add', [g.op('Mul', [sum, g.scalar('float32', beta)]), fresh])
      const nextMeans = addTo(means!, gradient, spec.beta1)
      const nextSquares = addTo(squares!, g.op('Mul', [gradient, gradient]), spec.beta2)
      const deviation = g.op('Add', [g.op('Sqrt', [nextSquares]), rates[rate.epsilon]!])
      const kept = decays ? g.op('Mul', [value, rates[rate.keep]!]) : value
      const change = g.op('Mul', [g.op('Div', [nextMeans, deviation]), rates[rate.step]!])
      return { value: g.op('Add', [kept, change]), state: [nextMeans, nextSquares] }
    },
  }
}
