/**
 * Outer optimizers: how the weighted mean of what the trainers of a round have learned moves the model that they share.
 *
 * All peers must come to the same bits. So each number goes through +, -, *, / and the square root alone, in doubles and
 * in the order written here, and is rounded to float32 where it is kept. IEEE 754 defines each of these to the last bit,
 * ECMAScript asks for just that (sections 6.1.6.1 and 21.3.2.17), and no engine may fuse two of them. The square root
 * alone is "implementation-approximated" there; it is taken of a float32 and rounded to one, and the root of 24 bits
 * never lies within 2^-51 of where rounding to 24 bits turns (Figueroa 1995), so that an error in the last place of the
 * double would not show either. What is not finite is refused, because the bits of a NaN differ between processors.
 */
import { z } from 'zod'
import { OwmError } from '../lib/index.ts'

const learningRate = z.number().min(1e-9).max(100)
const decay = z.number().min(0).lt(1)

/** As it stands in a run's specification: nothing is left to a default. */
export const outerPlanSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('fedavg'), learningRate }),
  z.strictObject({ kind: z.literal('fedavgm'), learningRate, momentum: decay }),
  z.strictObject({ kind: z.literal('nesterov'), learningRate, momentum: decay }),
  z.strictObject({
    kind: z.literal('fedadam'),
    learningRate,
    beta1: decay,
    beta2: decay,
    /** Tau of the paper: how adaptive it is. Its square must be a normal float32. */
    adaptivity: z.number().min(1e-12).max(1),
  }),
])
export type OuterPlan = z.infer<typeof outerPlanSchema>

/** What the papers recommend. */
export const outerPlans = {
  /** McMahan et al. 2017: the mean itself. */
  fedavg: { kind: 'fedavg', learningRate: 1 },
  /** Hsu, Qi and Brown 2019. */
  fedavgm: { kind: 'fedavgm', learningRate: 1, momentum: 0.9 },
  /** Reddi et al. 2021, appendix D: beta and tau that did well on all of their tasks. */
  fedadam: { kind: 'fedadam', learningRate: 0.01, beta1: 0.9, beta2: 0.99, adaptivity: 1e-3 },
  /** Douillard et al. 2023 (DiLoCo), section 3. */
  diloco: { kind: 'nesterov', learningRate: 0.7, momentum: 0.9 },
} as const satisfies Record<string, OuterPlan>

export interface OuterStep {
  readonly parameters: Float32Array
  /** In the order of `stateNames`, each as long as the parameters. */
  readonly state: readonly Float32Array[]
}

export interface OuterOptimizer {
  /** What is kept from round to round, as a checkpoint names it. */
  readonly stateNames: readonly string[]
  initialState(length: number): Float32Array[]
  /**
   * The next parameters and state, in new arrays.
   *
   * @param step.delta the weighted mean of local minus global parameters
   * @throws OwmError `wrong_shape`; `not_finite` when a number has no finite float32
   */
  apply(step: OuterStep & { readonly delta: Float32Array }): OuterStep
}

/** @throws OwmError `bad_outer_plan` naming the field */
export function createOuterOptimizer(given: OuterPlan): OuterOptimizer {
  const parsed = outerPlanSchema.safeParse(given)
  if (!parsed.success) {
    const issue = parsed.error.issues[0]
    throw new OwmError('bad_outer_plan', `The outer optimizer's ${issue?.path.join('.') || 'kind'}: ${issue?.message}.`)
  }
  const plan = parsed.data
  switch (plan.kind) {
    case 'fedavg':
      return outer(plan, [], average)
    case 'fedavgm':
    case 'nesterov':
      return outer(plan, [{ name: 'velocity', initial: 0 }], momentum)
    case 'fedadam':
      // Algorithm 2 asks for squares of at least tau^2 at the start.
      return outer(
        plan,
        [
          { name: 'means', initial: 0 },
          { name: 'squares', initial: plan.adaptivity * plan.adaptivity },
        ],
        adam,
      )
  }
}

type Kernel<Plan> = (plan: Plan, step: OuterStep & { readonly delta: Float32Array }, next: OuterStep) => void

function outer<Plan>(
  plan: Plan,
  slots: readonly { readonly name: string; readonly initial: number }[],
  kernel: Kernel<Plan>,
): OuterOptimizer {
  return {
    stateNames: slots.map(({ name }) => name),
    initialState: (length) => slots.map(({ initial }) => new Float32Array(length).fill(initial)),
    apply: (step) => {
      const { length } = step.parameters
      if (step.state.length !== slots.length || [step.delta, ...step.state].some((each) => each.length !== length)) {
        throw new OwmError('wrong_shape', `The delta and the state must be as long as the ${length} parameters.`)
      }
      const next = { parameters: new Float32Array(length), state: slots.map(() => new Float32Array(length)) }
      kernel(plan, step, next)
      if (![next.parameters, ...next.state].every(allFinite)) {
        throw new OwmError('not_finite', 'The outer step leads to numbers that are not finite.')
      }
      return next
    },
  }
}

/** w' = w + rate d */
const average: Kernel<OuterPlan & { kind: 'fedavg' }> = ({ learningRate: rate }, { parameters, delta }, next) => {
  for (let i = 0; i < delta.length; i++) next.parameters[i] = parameters[i]! + rate * delta[i]!
}

/** v' = momentum v + d; w' = w + rate v', or w + rate (momentum v' + d) as Nesterov's in Sutskever et al. 2013. */
const momentum: Kernel<OuterPlan & { kind: 'fedavgm' | 'nesterov' }> = (plan, { parameters, delta, state }, next) => {
  const { learningRate: rate, momentum: kept } = plan
  const velocity = state[0]!
  const nextVelocity = next.state[0]!
  const ahead = plan.kind === 'nesterov'
  for (let i = 0; i < delta.length; i++) {
    const v = Math.fround(kept * velocity[i]! + delta[i]!)
    nextVelocity[i] = v
    next.parameters[i] = parameters[i]! + rate * (ahead ? kept * v + delta[i]! : v)
  }
}

/** m' = b1 m + (1 - b1) d; s' = b2 s + (1 - b2) d^2; w' = w + rate m' / (sqrt(s') + tau), without bias corrections. */
const adam: Kernel<OuterPlan & { kind: 'fedadam' }> = (plan, { parameters, delta, state }, next) => {
  const { learningRate: rate, beta1, beta2, adaptivity } = plan
  const [means, squares] = [state[0]!, state[1]!]
  const [nextMeans, nextSquares] = [next.state[0]!, next.state[1]!]
  for (let i = 0; i < delta.length; i++) {
    const d = delta[i]!
    const m = Math.fround(beta1 * means[i]! + (1 - beta1) * d)
    const s = Math.fround(beta2 * squares[i]! + (1 - beta2) * (d * d))
    nextMeans[i] = m
    nextSquares[i] = s
    next.parameters[i] = parameters[i]! + (rate * m) / (Math.fround(Math.sqrt(s)) + adaptivity)
  }
}

function allFinite(values: Float32Array): boolean {
  // A difference with itself is 0 but for what is not finite, and adding up is faster than asking of each.
  let sum = 0
  for (let i = 0; i < values.length; i++) sum += values[i]! - values[i]!
  return sum === 0
}
