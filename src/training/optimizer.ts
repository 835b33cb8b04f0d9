/** Optimizers as pieces of graph: a parameter, its gradient and its state give the next parameter and state. */
import { type GraphBuilder, matchesAny, type Value } from '../onnx/index.ts'
import { rateShare, type Schedule } from './schedules.ts'

export type OptimizerPlan = {
  readonly learningRate: number
  readonly schedule?: Schedule
  readonly weightDecay?: number
  /** Names of matrices that do not decay, `*` for any part; by default embeddings. Vectors never do. */
  readonly exempt?: readonly string[]
  /** Gradients longer than this, all together, are made this long (Pascanu et al. 2013). */
  readonly clipNorm?: number
} & (
  | { readonly kind: 'sgd'; readonly momentum?: number; readonly nesterov?: boolean }
  | { readonly kind: 'adamw'; readonly beta1?: number; readonly beta2?: number; readonly epsilon?: number }
)

/** One parameter's part of an optimizer. */
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
export interface Optimizer {
  /** How many numbers change from step to step and are fed to the graph. */
  readonly rateCount: number
  /** Those numbers. `step` counts from 1, since the state was empty; `progress` is the whole run's, 0 to 1. */
  rates(step: number, progress: number): number[]
  /** The rate by which all gradients may be multiplied at their common start, instead of each in its update. */
  readonly seedRate?: number
  readonly clipNorm: number | undefined
  rule(name: string, shape: readonly number[]): UpdateRule
}

export function createOptimizer(plan: OptimizerPlan): Optimizer {
  return plan.kind === 'adamw' ? adamw(plan) : sgd(plan)
}

export const learningRateAt = (plan: OptimizerPlan, step: number, progress: number): number =>
  plan.learningRate * rateShare(plan.schedule ?? { kind: 'constant' }, step, progress)
function decays({ weightDecay = 0, exempt = ['*.embedding'] }: OptimizerPlan, name: string, shape: readonly number[]) {
  return weightDecay > 0 && shape.length > 1 && !matchesAny(exempt, name)
}

/**
 * AdamW (Loshchilov and Hutter 2019).
 *
 * The graph keeps plain decaying sums, mean / (1 - beta1) and square / (1 - beta2), which spares two passes over every
 * weight; these factors and Adam's bias corrections are in step size and epsilon (Kingma and Ba 2015, section 2).
 */
function adamw(plan: OptimizerPlan & { readonly kind: 'adamw' }): Optimizer {
  const { beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weightDecay = 0 } = plan
  const rate = { step: 0, keep: 1, epsilon: 2 } as const
  return {
    rateCount: 3,
    clipNorm: plan.clipNorm,
    rates: (step, progress) => {
      const learningRate = learningRateAt(plan, step, progress)
      const meanScale = (1 - beta1) / (1 - beta1 ** step)
      const deviationScale = Math.sqrt((1 - beta2) / (1 - beta2 ** step))
      const stepSize = (-learningRate * meanScale) / deviationScale
      return [stepSize, 1 - learningRate * weightDecay, epsilon / deviationScale]
    },
    rule: (name, shape) => ({
      state: [
        { name: 'means', shape },
        { name: 'squares', shape },
      ],
      append: (g, value, gradient, [means, squares], rates) => {
        const nextMeans = addTo(g, means!, gradient, beta1)
        const nextSquares = addTo(g, squares!, g.op('Mul', [gradient, gradient]), beta2)
        const deviation = g.op('Add', [g.op('Sqrt', [nextSquares]), rates[rate.epsilon]!])
        const kept = decays(plan, name, shape) ? g.op('Mul', [value, rates[rate.keep]!]) : value
        const change = g.op('Mul', [g.op('Div', [nextMeans, deviation]), rates[rate.step]!])
        return { value: g.op('Add', [kept, change]), state: [nextMeans, nextSquares] }
      },
    }),
  }
}

/** Stochastic gradient descent, with momentum (Polyak 1964), or Nesterov's as in Sutskever et al. 2013. */
function sgd(plan: OptimizerPlan & { readonly kind: 'sgd' }): Optimizer {
  const { momentum = 0, nesterov = false, weightDecay = 0, clipNorm } = plan
  const rates = (step: number, progress: number): number[] => [-learningRateAt(plan, step, progress)]
  if (momentum === 0 && weightDecay === 0 && clipNorm === undefined) {
    // The step is linear in the gradient: with the rate in its seed, a matrix's gradient product ends in its new value.
    const append: UpdateRule['append'] = (g, value, change) => ({ value: addProduct(g, value, change), state: [] })
    return { rateCount: 1, rates, seedRate: 0, clipNorm, rule: () => ({ state: [], append }) }
  }
  return {
    rateCount: 1,
    rates,
    clipNorm,
    rule: (name, shape) => ({
      state: momentum === 0 ? [] : [{ name: 'velocity', shape }],
      append: (g, value, given, [velocity], [stepSize]) => {
        const gradient = decays(plan, name, shape) ? addTo(g, value, given, weightDecay) : given
        const state = velocity === undefined ? [] : [addTo(g, velocity, gradient, momentum)]
        const [direction = gradient] = nesterov ? state.map((next) => addTo(g, next, gradient, momentum)) : state
        return { value: g.op('Add', [value, g.op('Mul', [direction, stepSize!])]), state }
      },
    }),
  }
}

/** factor sum + fresh */
function addTo(g: GraphBuilder, sum: Value, fresh: Value, factor: number): Value {
  return g.op('Add', [g.op('Mul', [sum, g.scalar('float32', factor)]), fresh])
}

/** value + change, in one pass where the change is a product of matrices. */
export function addProduct(g: GraphBuilder, value: Value, change: Value): Value {
  const made = g.steps.find(({ outputs }) => outputs[0]?.name === change.name)
  if (made?.op !== 'Gemm' || made.inputs[2] !== undefined) return g.op('Add', [value, change])
  return g.op('Gemm', [made.inputs[0], made.inputs[1], value], made.attributes)
}

/** The gradients, shortened where they are too long together. */
export function clipped(g: GraphBuilder, gradients: readonly Value[], maxNorm: number): Value[] {
  const squares = gradients.map((gradient) => g.op('ReduceSumSquare', [gradient], { keepdims: 0 }))
  const norm = g.op('Sqrt', [squares.reduce((sum, square) => g.op('Add', [sum, square]))])
  const share = g.op('Div', [g.scalar('float32', maxNorm), g.op('Add', [norm, g.scalar('float32', 1e-6)])])
  const factor = g.op('Min', [share, g.scalar('float32', 1)])
  return gradients.map((gradient) => g.op('Mul', [gradient, factor]))
}
