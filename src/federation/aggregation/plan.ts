import { z } from 'zod'
import { OwmError } from '../../lib/index.ts'
import { maxUpdates } from './kernels.ts'

/** A length: in units of the weights, or as so many times the median of the updates' norms. */
const bound = z.union([
  z.strictObject({
    norm: z
      .number()
      .min(2 ** -24)
      .max(1_000_000),
  }),
  z.strictObject({ medians: z.number().min(0.01).max(100) }),
])
/** How many updates may be lies: a number, or a share of those that are there, rounded down. */
const liars = z.union([z.int().min(0).max(maxUpdates), z.strictObject({ percent: z.int().min(0).max(49) })])
/** With all products of pairs known, an iteration costs the same for any model; more than this changes nothing. */
const iterations = z.int().min(1).max(64)

const rule = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('mean') }),
  z.strictObject({ kind: z.literal('median') }),
  z.strictObject({ kind: z.literal('trimmed-mean'), liars }),
  z.strictObject({ kind: z.literal('krum'), liars }),
  /** The mean of the `keep` best; without `keep`, of all but the liars. */
  z.strictObject({ kind: z.literal('multi-krum'), liars, keep: z.int().min(1).max(maxUpdates).optional() }),
  /** Distances count as `smoothing` at least, in units of the weights. */
  z.strictObject({
    kind: z.literal('geometric-median'),
    iterations,
    smoothing: z
      .number()
      .min(2 ** -24)
      .max(1),
  }),
  z.strictObject({ kind: z.literal('centered-clipping'), iterations, radius: bound }),
])

/** As it stands in a run's specification: nothing is left to a default. */
export const aggregationPlanSchema = z.strictObject({
  /** `samples`: an update weighs what its trainer says it saw, but `mostSamples` at most; `equal`: all weigh the same. */
  weigh: z.enum(['samples', 'equal']),
  mostSamples: z
    .int()
    .min(1)
    .max(2 ** 26)
    .optional(),
  /** MODEL-08. `norm` is cheap; `distance` to the others also sees what points another way. */
  outliers: z.strictObject({ measure: z.enum(['norm', 'distance']), sigmas: z.int().min(1).max(10) }).optional(),
  clip: bound.optional(),
  /** Each update becomes the mean of those nearest to it. Not for rules by rank: these look at single places. */
  mix: z.strictObject({ liars }).optional(),
  rule,
})

export type AggregationPlan = z.infer<typeof aggregationPlanSchema>
export type AggregationRule = AggregationPlan['rule']
export type Bound = z.infer<typeof bound>
export type Liars = z.infer<typeof liars>

/** What the papers, and our own attack tests, recommend for ten or more trainers of which up to 30 % may lie. */
export const aggregationPlans = {
  /** McMahan et al. 2017: today's rule. */
  mean: { weigh: 'samples', rule: { kind: 'mean' } },
  /** Sun et al. 2019, with a bound that follows the updates. */
  clippedMean: { weigh: 'samples', clip: { medians: 1 }, rule: { kind: 'mean' } },
  /** Allouah et al. 2023, before Pillutla et al. 2022: what lost least under all of our attacks. */
  mixedMedian: {
    weigh: 'equal',
    mix: { liars: { percent: 30 } },
    rule: { kind: 'geometric-median', iterations: 32, smoothing: 1e-6 },
  },
  /** Yin et al. 2018. */
  trimmedMean: { weigh: 'equal', rule: { kind: 'trimmed-mean', liars: { percent: 30 } } },
  median: { weigh: 'equal', rule: { kind: 'median' } },
  /** Blanchard et al. 2017. */
  krum: { weigh: 'equal', rule: { kind: 'krum', liars: { percent: 30 } } },
  multiKrum: { weigh: 'equal', rule: { kind: 'multi-krum', liars: { percent: 30 } } },
  /** Pillutla et al. 2022; smoothing as in its appendix. */
  geometricMedian: {
    weigh: 'samples',
    rule: { kind: 'geometric-median', iterations: 32, smoothing: 1e-6 },
  },
  /** Karimireddy et al. 2021, from zero. */
  centeredClipping: {
    weigh: 'samples',
    rule: { kind: 'centered-clipping', iterations: 8, radius: { medians: 1 } },
  },
} as const satisfies Record<string, AggregationPlan>

export function liarsAmong(liars: Liars, updates: number): number {
  return typeof liars === 'number' ? liars : Math.floor((updates * liars.percent) / 100)
}

/** Why the rule says nothing of so many updates; undefined if it does. */
export function objection({ rule, mix }: AggregationPlan, updates: number): string | undefined {
  if (updates < 1) return 'there is no update'
  if (mix !== undefined && updates <= 2 * liarsAmong(mix.liars, updates)) {
    return `${liarsAmong(mix.liars, updates)} lies among ${updates} updates are not a minority`
  }
  if (!('liars' in rule)) return undefined
  const f = liarsAmong(rule.liars, updates)
  if (rule.kind === 'trimmed-mean') {
    return updates > 2 * f ? undefined : `${f} lies among ${updates} updates are not a minority`
  }
  if (updates < 2 * f + 3) return `against ${f} lies Krum needs ${2 * f + 3} updates, and there are ${updates}`
  if (rule.kind === 'multi-krum' && (rule.keep ?? 1) > updates - f) {
    return `${rule.keep} of ${updates} updates cannot be kept if ${f} may be lies`
  }
  return undefined
}

/**
 * Reads a plan, whatever it comes from.
 *
 * @throws OwmError `bad_plan` naming the field; `cannot_weigh` where a rule chooses by rank and a number of liars, which
 * samples say nothing about; `cannot_mix`
 */
export function readPlan(value: unknown): AggregationPlan {
  const parsed = aggregationPlanSchema.safeParse(value)
  if (!parsed.success) {
    const issue = parsed.error.issues[0]
    const field = issue?.path.join('.') || 'aggregation'
    throw new OwmError('bad_plan', `The aggregation's ${field}: ${issue?.message}.`, { field })
  }
  const plan = parsed.data
  if (plan.weigh === 'samples') {
    const counted = plan.rule.kind === 'trimmed-mean' && typeof plan.rule.liars === 'number'
    if (plan.rule.kind === 'krum') {
      throw new OwmError('cannot_weigh', 'Krum takes one update as it is; set weigh to equal.')
    }
    if (counted) {
      throw new OwmError(
        'cannot_weigh',
        'A number of liars bounds no share of the samples; set weigh to equal, or give the liars in percent.',
      )
    }
  }
  if (plan.mix !== undefined && (plan.rule.kind === 'median' || plan.rule.kind === 'trimmed-mean')) {
    throw new OwmError('cannot_mix', 'Updates are mixed as wholes, and rules by rank look at single places.')
  }
  return plan
}

/**
 * Whether the plan holds for every number of updates that a round of the run may end with.
 *
 * @throws OwmError `too_many_liars`, with the `updates` for which it does not
 */
export function checkPlan(plan: AggregationPlan, round: { readonly least: number; readonly most: number }): void {
  for (let updates = round.least; updates <= Math.min(round.most, maxUpdates); updates++) {
    const why = objection(plan, updates)
    if (why !== undefined) {
      throw new OwmError('too_many_liars', `A round may end with ${updates} updates: ${why}.`, { updates })
    }
  }
}
