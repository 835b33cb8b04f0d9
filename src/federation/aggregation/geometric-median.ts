import type { Gram } from './gram.ts'
import { oneWhole } from './kernels.ts'
import { squareRoot } from './square-root.ts'

const whole = BigInt(oneWhole)
/** Distances carry this many bits after the point, so that those between small updates do not vanish. */
export const fractionBits = 16
const fraction = BigInt(fractionBits)

/** Of each update from the weighted mean `sum(weights * updates) / total`, in units of 2^-24 * 2^-16, rounded down. */
function distances(gram: Gram, weights: readonly bigint[], total: bigint): bigint[] {
  return gram
    .squaredDistancesFrom(weights, total)
    .map((square) => squareRoot((square << (2n * fraction)) / (total * total)))
}

/**
 * The weights of the geometric median, of `oneWhole` in all or a little less: smoothed Weiszfeld (Pillutla, Kakade and
 * Harchaoui 2022, algorithm 2). Each iteration weighs an update by its share over its distance from the mean so far. The
 * point itself is never formed: it is a weighted mean, and its distances follow from the products.
 *
 * @param shares positive integers, at most `oneWhole` in sum
 * @param least what a distance counts as at least, in units of 2^-40
 */
export function* geometricMedian(
  gram: Gram,
  shares: readonly number[],
  iterations: number,
  least: bigint,
): Generator<void, number[]> {
  let weights = shares.map(BigInt)
  for (let iteration = 0; iteration < iterations; iteration++) {
    const total = weights.reduce((sum, weight) => sum + weight, 0n)
    const pulls = distances(gram, weights, total).map(
      (distance, i) => (BigInt(shares[i]!) << 96n) / (distance > least ? distance : least),
    )
    const pull = pulls.reduce((sum, one) => sum + one, 0n)
    weights = pulls.map((one) => (one * whole) / pull)
    yield
  }
  return weights.map(Number)
}

/**
 * The weights of centered clipping, of `oneWhole`: `v += sum(share_i * (x_i - v) * min(1, radius / |x_i - v|))`, from
 * v = 0 (Karimireddy, He and Jaggi 2021, algorithm 2). Where updates are clipped, weights are less than `oneWhole` in sum.
 *
 * @param radius in units of 2^-24
 */
export function* centeredClipping(
  gram: Gram,
  shares: readonly number[],
  iterations: number,
  radius: bigint,
): Generator<void, number[]> {
  const total = BigInt(shares.reduce((sum, share) => sum + share, 0))
  const reach = radius << fraction
  let weights = shares.map(() => 0n)
  for (let iteration = 0; iteration < iterations; iteration++) {
    const steps = distances(gram, weights, whole).map((distance, i) => {
      const share = BigInt(shares[i]!) * whole
      return distance <= reach ? share / total : (share * reach) / (total * distance)
    })
    const step = steps.reduce((sum, one) => sum + one, 0n)
    weights = weights.map((weight, i) => (weight * (whole - step)) / whole + steps[i]!)
    yield
  }
  return weights.map(Number)
}
