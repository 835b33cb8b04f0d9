import { OwmError } from '../../lib/index.ts'
import { maxVariance, sampleDiscreteGaussian } from './discrete-gaussian.ts'
import type { RandomWords } from './keystream.ts'

/**
 * Differential privacy for participants (DP-FedAvg: McMahan et al. 2018): each update is cut to a length, and Gaussian
 * noise hides any one of them in the sum. The noise is discrete and each participant adds its part before it masks
 * (Kairouz, Liu and Steinke, "The Distributed Discrete Gaussian Mechanism", 2021), so that nobody ever holds a sum
 * without it.
 */
export interface NoisePlan {
  /** An update's largest L2 norm, in units of the weights. */
  readonly clipNorm: number
  /** Standard deviation of the whole noise in a sum, in clip norms. */
  readonly noiseMultiplier: number
  /** Codes count units of `2^unitExponent`. */
  readonly unitExponent: number
}

/** Sums of squares stay exact in a double: norms below 2^26 units. */
const maxNormUnits = 2 ** 26
/**
 * A sum of n discrete Gaussians of variance 16 or more is one itself but for terms of 10 n exp(-16 pi^2), less than
 * 10^-60 for any n here (Kairouz et al. 2021, theorem 1): it is accounted for as a Gaussian.
 */
export const minVariance = 16

/** The clip norm in units, rounded down. @throws OwmError `bad_privacy` */
export function clipUnits({ clipNorm, unitExponent }: Pick<NoisePlan, 'clipNorm' | 'unitExponent'>): number {
  const units = Math.floor(clipNorm * 2 ** -unitExponent)
  if (units >= 1 && units <= maxNormUnits) return units
  throw new OwmError('bad_privacy', `A clip norm of ${clipNorm} in units of 2^${unitExponent} is not 1 to 2^26 units.`)
}

/** The update in units, no longer than the clip norm: rounding is included, so the bound is exact. NaN becomes 0. */
export function clippedCodes(delta: Float32Array, plan: Pick<NoisePlan, 'clipNorm' | 'unitExponent'>): Int32Array {
  const most = clipUnits(plan)
  const toUnits = 2 ** -plan.unitExponent
  const finite = Float64Array.from(delta, (value) => (Number.isFinite(value) ? value * toUnits : 0))
  let squares = 0
  for (const value of finite) squares += value * value
  const norm = Math.sqrt(squares)
  let factor = norm > most ? most / norm : 1
  for (;;) {
    const codes = new Int32Array(finite.length)
    let square = 0
    for (let i = 0; i < codes.length; i++) {
      const code = Math.round(finite[i]! * factor)
      codes[i] = code
      square += code * code
    }
    if (square <= most * most) return codes
    // Rounding made it longer: shorter by as much, and a little more, until it fits.
    factor *= Math.min(0.999, (most / Math.sqrt(square)) * 0.9999)
  }
}

/**
 * The variance of one participant's noise, in squared units. `sharers` are the participants that the sum is sure to have
 * and that tell nobody their noise: the others' part is a gift. 1 where every update is published by itself.
 *
 * @throws OwmError `bad_privacy` when it is too small for the sum of such noise to count as Gaussian, or too large
 */
export function noiseVariance(plan: NoisePlan, sharers: number): number {
  const sigma = plan.noiseMultiplier * clipUnits(plan)
  const variance = Math.ceil((sigma * sigma) / sharers)
  if (Number.isInteger(sharers) && sharers >= 1 && variance >= minVariance && variance <= maxVariance) return variance
  throw new OwmError('bad_privacy', `Noise of variance ${variance} of ${sharers} peers: take finer or coarser units.`)
}

/** Adds noise to the first `count` elements, modulo 2^32. The key of `random` is secret, fresh, and forgotten after. */
export function addNoise(
  elements: Uint32Array | Int32Array,
  count: number,
  variance: number,
  random: RandomWords,
): void {
  for (let i = 0; i < count; i++) elements[i] = elements[i]! + sampleDiscreteGaussian(variance, random)
}

/** Ten standard deviations: that noise goes beyond happens once in 10^23. */
const tails = 10

/** Bits of a summand with which the noisy sum of `peers` does not wrap. */
export function bitsWithNoise(plan: NoisePlan, peers: number, sharers: number): number {
  const sigma = Math.sqrt(noiseVariance(plan, sharers) * peers)
  // Everybody's largest update in one place, and the noise of all.
  const largest = peers * clipUnits(plan) + tails * sigma
  return Math.max(2, Math.ceil(Math.log2((2 * largest) / 2 ** (32 - Math.clz32(peers - 1)))))
}
