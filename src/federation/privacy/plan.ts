import { z } from 'zod'
import { OwmError } from '../../lib/index.ts'
import type { AggregationPlan } from '../aggregation/index.ts'
import type { CodecPlan } from '../codecs/codec.ts'
import { emptyLedger, epsilonOf, type Ledger, spend } from './accountant.ts'
import type { ContributionShape } from './contribution.ts'
import { bitsWithNoise, noiseVariance } from './noise.ts'
import { checkThreshold, toleratedColluders } from './session.ts'
import { maxModulusBits, maxPeers } from './sum-shape.ts'

/** An element counts units of `2^unitExponent`, in the weights' units. */
const unitExponent = z.int().min(-40).max(0)
const secureFields = {
  /** More than this share of a round's trainers must be left at its end, and open the sum together. */
  thresholdPercent: z.int().min(50).max(99),
  /** Of a trainer's summand. */
  bits: z
    .int()
    .min(2)
    .max(maxModulusBits - 2),
}
const noiseFields = {
  /** A trainer's update is cut to this L2 norm, in units of the weights. */
  clipNorm: z.number().gt(0).max(1_000_000),
  /** Standard deviation of the noise in what is published, in clip norms. */
  noiseMultiplier: z.number().gt(0).max(1_000),
  delta: z.number().gt(0).lt(0.1),
}

/** As it stands in a run's specification: nothing is left to a default. */
export const privacyPlanSchema = z.discriminatedUnion('kind', [
  /** Every update can be read by all. */
  z.strictObject({ kind: z.literal('none') }),
  /** Nobody reads an update: only the exact sum comes out. */
  z.strictObject({ kind: z.literal('secure-aggregation'), unitExponent, ...secureFields }),
  /** Every update can be read by all, and carries all the noise that hides its trainer's data by itself. */
  z.strictObject({ kind: z.literal('dp'), unitExponent, ...noiseFields }),
  /** Only the sum comes out, and the trainers have put their parts of its noise in. */
  z.strictObject({ kind: z.literal('secure-aggregation-dp'), unitExponent, ...secureFields, ...noiseFields }),
])
export type PrivacyPlan = z.infer<typeof privacyPlanSchema>
type SecurePlan = Extract<PrivacyPlan, { thresholdPercent: number }>
type DpPlan = Extract<PrivacyPlan, { delta: number }>

/** What is recommended: bears a third of liars, a third that vanishes; 16 bits, in units that fit updates of norm 1. */
export const privacyPlans = {
  none: { kind: 'none' },
  secureAggregation: { kind: 'secure-aggregation', thresholdPercent: 67, bits: 16, unitExponent: -15 },
} as const satisfies Record<string, PrivacyPlan>

/** Reads a plan, whatever it comes from. @throws OwmError `bad_privacy` naming the field */
export function readPrivacyPlan(value: unknown): PrivacyPlan {
  const parsed = privacyPlanSchema.safeParse(value)
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]
  const field = issue?.path.join('.') || 'kind'
  throw new OwmError('bad_privacy', `The privacy plan's ${field}: ${issue?.message}.`, { field })
}

/**
 * What excludes what, when a run is created. `compression` is how updates travel; how the result does is free.
 *
 * @throws OwmError `privacy_excludes_rule`, `privacy_excludes_outliers`, `privacy_excludes_clipping`,
 * `privacy_excludes_weights`, `privacy_excludes_compression`
 */
export function checkPlans(privacy: PrivacyPlan, aggregation: AggregationPlan, compression: CodecPlan | null): void {
  if (isSecure(privacy)) checkSecure(privacy, aggregation, compression)
  if (isNoisy(privacy) && aggregation.weigh !== 'equal') {
    throw new OwmError(
      'privacy_excludes_weights',
      'Differential privacy weighs all updates the same: how many samples a trainer has is private too. Set weigh to "equal".',
    )
  }
}

function checkSecure({ bits }: SecurePlan, aggregation: AggregationPlan, compression: CodecPlan | null): void {
  const { rule, outliers, clip, mix, weigh, mostSamples } = aggregation
  if (rule.kind !== 'mean') {
    throw new OwmError(
      'privacy_excludes_rule',
      `Secure aggregation shows nobody a single update, and the rule "${rule.kind}" must see each. Take "mean", or no secure aggregation.`,
    )
  }
  if (mix !== undefined) {
    throw new OwmError(
      'privacy_excludes_rule',
      'Secure aggregation shows nobody a single update, so none can be mixed with those near it. Leave out "mix", or secure aggregation.',
    )
  }
  if (outliers !== undefined) {
    throw new OwmError(
      'privacy_excludes_outliers',
      'Secure aggregation shows nobody a single update, so outliers cannot be told. Leave out "outliers", or secure aggregation.',
    )
  }
  if (clip !== undefined) {
    throw new OwmError(
      'privacy_excludes_clipping',
      'Under secure aggregation only a trainer can clip its update; the committee cannot. Leave out "clip", or secure aggregation.',
    )
  }
  const most = Math.min(65_535, 2 ** (bits - 1) - 1)
  if (weigh === 'samples' && (mostSamples === undefined || mostSamples > most)) {
    throw new OwmError(
      'privacy_excludes_weights',
      `Under secure aggregation the samples are summed in ${bits} bits: set mostSamples, to at most ${most}.`,
    )
  }
  if (compression !== null) {
    throw new OwmError(
      'privacy_excludes_compression',
      `Masked updates are sums in fixed point; "${compression.kind}" would need each to be read by itself. Leave out the codec of updates.`,
    )
  }
}

function isSecure(plan: PrivacyPlan): plan is SecurePlan {
  return 'thresholdPercent' in plan
}
function isNoisy(plan: PrivacyPlan): plan is DpPlan {
  return 'delta' in plan
}

/** How many of a round's trainers open its sum. @throws OwmError `bad_privacy` with fewer than 3 trainers */
export function thresholdOf({ thresholdPercent }: SecurePlan, peers: number): number {
  const threshold = Math.max(3, Math.floor((peers * thresholdPercent) / 100) + 1)
  checkThreshold(peers, threshold)
  return threshold
}

/** What a round with so many trainers sums. @throws OwmError `bad_privacy` when its noise or its peers do not fit */
export function roundShapeOf(
  plan: SecurePlan,
  aggregation: Pick<AggregationPlan, 'weigh' | 'mostSamples'>,
  peers: number,
  parameters: number,
): ContributionShape {
  const threshold = thresholdOf(plan, peers)
  if (peers > maxPeers) throw new OwmError('bad_privacy', `${peers} trainers are more than ${maxPeers}.`)
  if (isNoisy(plan)) {
    const needed = bitsWithNoise(plan, peers, sharersOf(peers, threshold))
    if (plan.bits < needed) {
      throw new OwmError('bad_privacy', `The noise of ${peers} trainers needs ${needed} bits, not ${plan.bits}.`)
    }
  }
  const maxSamples = aggregation.weigh === 'equal' ? 1 : (aggregation.mostSamples ?? 1)
  return { parameters, bits: plan.bits, peers, unitExponent: plan.unitExponent, maxSamples }
}

/** The variance of one trainer's noise in a round, in squared units. */
export function roundVarianceOf(plan: DpPlan, peers: number): number {
  return noiseVariance(plan, isSecure(plan) ? sharersOf(peers, thresholdOf(plan, peers)) : 1)
}

/** Those who are surely in the sum and surely keep their noise to themselves. */
function sharersOf(peers: number, threshold: number): number {
  return threshold - toleratedColluders(peers, threshold)
}

/**
 * A participant's ledger after a round in which it has trained. All know who trained, so being drawn by chance hides
 * nobody and the rate is 1; but a round without it costs it nothing. Infinite without noise.
 */
export function spendRound(ledger: Ledger, plan: PrivacyPlan): Ledger {
  const noiseMultiplier = isNoisy(plan) ? plan.noiseMultiplier : 0
  return spend(ledger, { noiseMultiplier, sampleRate: 1 })
}

/** What `rounds` rounds tell of a participant that trained in them; null where nothing is promised. */
export function epsilonOfRun(plan: PrivacyPlan, rounds: number): number | null {
  if (!isNoisy(plan)) return null
  return epsilonOf(spend(emptyLedger, { noiseMultiplier: plan.noiseMultiplier, sampleRate: 1 }, rounds), plan.delta)
}
