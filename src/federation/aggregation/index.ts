/**
 * From the updates of a round to the step that the shared model takes, so that every peer computes the same bits and a
 * minority of liars moves it little. Outliers are rejected, long updates are clipped, then a rule puts the rest together.
 *
 * Updates are vectors of integers in units of 2^-24. All that decides is exact: integers, or integers within doubles. The
 * rules that choose weights (mean, Krum, geometric median, centered clipping) do so by the exact products of all pairs of
 * updates, and give integer weights; the rules by rank (median, trimmed mean) take the values in the middle. Either way a
 * result is one exact sum, divided once. `docs/fl-protocol.md` has each rule so that it can be written again.
 *
 * @example
 * const aggregator = createAggregator(aggregationPlans.clippedMean)
 * const { values, reports } = await aggregator.aggregateInTurns(updates, { signal })
 * const delta = deltaOf(values)
 */
import type { AggregationPlan } from './plan.ts'
import type { ValueReader } from './values.ts'

export { createAggregator } from './aggregator.ts'
export { deltaOf } from './delta.ts'
export { maxLength, maxUpdates, oneWhole, valueLimit } from './kernels.ts'
export type { KernelName } from './open-kernels.ts'
export {
  type AggregationPlan,
  type AggregationRule,
  aggregationPlanSchema,
  aggregationPlans,
  checkPlan,
  readPlan,
} from './plan.ts'
export type { ValueReader } from './values.ts'

export interface Update {
  /** In units of 2^-24, below 2^27 either way. */
  readonly values: Int32Array | ValueReader
  /** A positive integer: what the trainer says it saw. */
  readonly samples: number
}

/** What became of one update: for whoever checks a round, and for people. */
export interface UpdateReport {
  /** `left-out`: nothing is wrong with it, but the rule gave it no weight. */
  readonly verdict: 'counted' | 'rejected' | 'left-out'
  readonly code: 'outlier' | 'not_chosen' | 'too_far' | null
  /** Of `Aggregate.whole`; 0 if it does not count. By rank: the mass with which it takes part. */
  readonly weight: number
  /** Before clipping, in units of 2^-24, rounded down. */
  readonly norm: number
  /** What clipping multiplied it by, below 1. */
  readonly clippedBy: number | null
  /** What the outlier rule compared with `Aggregate.limit`: the norm, or the median distance from the others. */
  readonly size: number | null
  /** Krum's score, as the square root, rounded down. */
  readonly score: number | null
}

export interface Aggregate {
  /** In units of 2^-24, not rounded but by the one division: an integer below 2^53 over another. */
  readonly values: Float64Array
  /** What the weights are parts of. */
  readonly whole: number
  /** By rank: the mass that is left out at either end, place by place. */
  readonly trim: number | null
  /** The clipping bound, in units of 2^-24. */
  readonly bound: number | null
  /** Updates that are larger are outliers. Null where none was looked for, or there were too few to judge. */
  readonly limit: number | null
  /** In the order of the updates. */
  readonly reports: readonly UpdateReport[]
}

export interface Aggregator {
  readonly plan: AggregationPlan
  /**
   * Ties go to the update that comes first, so callers sort by author. Blocks the thread.
   *
   * @throws OwmError `too_few_updates`, `too_many_updates`, `too_many_samples`, `bad_samples`, `wrong_length`;
   * `out_of_range` with the `update` that has a value of 2^27 units or more
   */
  aggregate(updates: readonly Update[]): Aggregate
  /** The same, with pauses, so that the thread stays responsive. */
  aggregateInTurns(updates: readonly Update[], options?: { readonly signal?: AbortSignal }): Promise<Aggregate>
}
