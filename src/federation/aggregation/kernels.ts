/**
 * The inner loops of aggregation, over a block of all updates at once: row i holds the same few weights of update i.
 * There are two implementations, plain and WebAssembly with SIMD, that agree to the bit (`kernels-plain.ts`,
 * `kernels-wasm.ts`). All results are exact integers; nothing here rounds, but `scale`, as it says.
 */
import type { Gram } from './gram.ts'

/** Weights of updates are below this, in units: 8 in units of 2^-24. Then a product with `oneWhole` is exact in a double. */
export const valueLimit = 2 ** 27
/** The largest sum of the updates' integer weights, and 1 as a factor in fixed point: sums stay below 2^53. */
export const oneWhole = 2 ** 26
/** The longest update: the plain Gram kernel's sums, of products below 2^27, stay exact. */
export const maxLength = 2 ** 26
/** As many as a run's roster has at most. */
export const maxUpdates = 1024

export interface Kernels {
  /** How many weights of each update a block holds. */
  readonly width: number
  /** `width` places each. Written by the caller; what follows `length` must be zero. */
  readonly rows: readonly Int32Array[]
  /** The largest |value| of a row (2^31 for the lowest int32); adds the row's squares to its `squaredNorm`. */
  survey(row: number): number
  /** Of all blocks surveyed so far. Exact if all values were within the limit. */
  squaredNorm(row: number): bigint
  /** Each value becomes `trunc(value * factor / oneWhole)`, for a factor from 0 to `oneWhole`. */
  scale(row: number, factor: number): void
  /** Sums of `weight * value` over all rows. The weights are integers of at most `oneWhole` in sum. */
  sum(weights: readonly number[], into: Float64Array): void
  /** Per place, the sum of the sorted rows `trim` to `rows.length - trim`. Leaves the rows in another order. */
  middle(trim: number, into: Float64Array): void
  /**
   * The same where row i counts `weights[i]` times (`trim` below half the weights' sum): `trim` of the mass is left out
   * at either end. Overwrites the rows.
   */
  weightedMiddle(weights: readonly number[], trim: number, into: Float64Array): void
  /** Adds this block to the products of all pairs of rows. */
  multiply(): void
  /** The products of all pairs, of all blocks multiplied so far. */
  gram(): Gram
}

/** A block of all updates stays near 400 KB, within a second-level cache, and one call below about 15 ms. */
export function blockWidth(updates: number): number {
  return updates <= 128 ? 1024 : 256
}
