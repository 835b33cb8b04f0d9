import { boundInUnits } from './bounds.ts'
import { centeredClipping, fractionBits, geometricMedian } from './geometric-median.ts'
import type { Gram } from './gram.ts'
import { type Kernels, oneWhole } from './kernels.ts'
import { krumScores, lowestOf } from './krum.ts'
import { mix, unmix } from './mixing.ts'
import { type AggregationPlan, type AggregationRule, liarsAmong } from './plan.ts'

/** How updates are put together: a sum by integer weights, and what it is divided by. */
export interface Decision {
  /** By rank: the mass that each update has. */
  readonly weights: readonly number[]
  readonly whole: number
  /** By rank: the mass that is left out at either end, place by place. */
  readonly trim?: number
  /** Krum's, in squares of units. */
  readonly scores?: readonly bigint[]
}

export function needsProducts({ rule, mix }: AggregationPlan): boolean {
  return mix !== undefined || !(rule.kind === 'mean' || rule.kind === 'median' || rule.kind === 'trimmed-mean')
}

/** What a rule makes of updates of so many shares. The products are there where `needsProducts`. */
export function* decide(
  { rule, mix: mixing }: AggregationPlan,
  shares: readonly number[],
  gram: Gram | undefined,
): Generator<void, Decision> {
  const total = shares.reduce((sum, share) => sum + share, 0)
  const trimmed = (trim: number): Decision => ({ weights: shares, whole: total - 2 * trim, trim })
  if (rule.kind === 'median') return trimmed(Math.ceil(total / 2) - 1)
  if (rule.kind === 'trimmed-mean') return trimmed(liarsAmong(rule.liars, total))
  if (mixing === undefined || gram === undefined) return yield* weightsBy(rule, shares, gram, 1)
  const mixture = yield* mix(gram, liarsAmong(mixing.liars, shares.length))
  const { weights, whole, scores } = yield* weightsBy(rule, shares, mixture.gram, mixture.parts)
  return { ...unmix(mixture, weights, whole), ...(scores === undefined ? {} : { scores }) }
}

/** `parts`: of what the products are, as many make a whole update. */
function* weightsBy(
  rule: Exclude<AggregationRule, { readonly kind: 'median' | 'trimmed-mean' }>,
  shares: readonly number[],
  gram: Gram | undefined,
  parts: number,
): Generator<void, Decision> {
  const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0)
  if (rule.kind === 'mean') return { weights: shares, whole: sum(shares) }
  if (gram === undefined) throw new Error(`${rule.kind} needs the products`)
  if (rule.kind === 'geometric-median') {
    const least = BigInt(Math.floor(rule.smoothing * 2 ** (24 + fractionBits))) * BigInt(parts)
    const weights = yield* geometricMedian(gram, shares, rule.iterations, least)
    return { weights, whole: sum(weights) }
  }
  if (rule.kind === 'centered-clipping') {
    const norms = shares.map((_, i) => gram.norm(i))
    const radius = boundInUnits(rule.radius, norms) * ('norm' in rule.radius ? BigInt(parts) : 1n)
    return { weights: yield* centeredClipping(gram, shares, rule.iterations, radius), whole: oneWhole }
  }
  const liars = liarsAmong(rule.liars, shares.length)
  const scores = yield* krumScores(gram, liars)
  const chosen = lowestOf(scores, rule.kind === 'krum' ? 1 : (rule.keep ?? shares.length - liars))
  const weights = shares.map((share, i) => (chosen.has(i) ? share : 0))
  return { weights, whole: sum(weights), scores: scores.map((score) => score / BigInt(parts) ** 2n) }
}

/** The results of one block: `weights` are those of the rows that the kernels hold. */
export function putTogether(
  kernels: Kernels,
  { trim, whole }: Decision,
  weights: readonly number[],
  into: Float64Array,
): void {
  if (trim === undefined) kernels.sum(weights, into)
  else if (weights.every((weight) => weight === 1)) kernels.middle(trim, into)
  else kernels.weightedMiddle(weights, trim, into)
  for (let i = 0; i < into.length; i++) into[i] = into[i]! / whole
}
