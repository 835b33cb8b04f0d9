import { oneWhole } from './kernels.ts'
import type { Bound } from './plan.ts'
import { squareRoot } from './square-root.ts'

/** Factors of a plan are rounded down to this fraction. */
const planUnit = 1024

/** The middle of an odd number of values; of an even number the lower of the middle two, or the upper. */
export function median(values: readonly bigint[], ofTwo: 'lower' | 'upper' = 'lower'): bigint {
  const sorted = [...values].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0))
  return sorted[(sorted.length - (ofTwo === 'lower' ? 1 : 0)) >> 1]!
}

/** In units of 2^-24, rounded down. */
export function boundInUnits(bound: Bound, norms: readonly bigint[]): bigint {
  if ('norm' in bound) return BigInt(Math.floor(bound.norm * 2 ** 24))
  return (median(norms) * BigInt(Math.floor(bound.medians * planUnit))) / BigInt(planUnit)
}

/**
 * What brings an update within the bound, as a fraction of `oneWhole`, rounded down: the clipped update, rounded towards
 * zero in each place, is never longer than the bound (Sun et al. 2019; MODEL-07).
 */
export function clippingFactor(squaredNorm: bigint, bound: bigint): number {
  if (squaredNorm <= bound * bound) return oneWhole
  return Number(squareRoot((bound * bound * BigInt(oneWhole) ** 2n) / squaredNorm))
}
