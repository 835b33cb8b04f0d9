import { OwmError } from '../../lib/index.ts'
import type { RandomWords } from './keystream.ts'

/**
 * Exact samples of the discrete Gaussian (Canonne, Kamath and Steinke, "The Discrete Gaussian for Differential Privacy",
 * 2020, algorithms 1 to 3): the probability of x is proportional to exp(-x^2 / (2 variance)). No floating point takes
 * part: what a double rounds away has undone differential privacy before (Mironov 2012).
 */

/** `2 variance t^2` and the like are computed in bigints; everything else stays below 2^53. */
export const maxVariance = 2 ** 50

/** @throws OwmError `bad_privacy` unless the variance is an integer of 1 to `maxVariance` */
export function sampleDiscreteGaussian(variance: number, random: RandomWords): number {
  if (!Number.isInteger(variance) || variance < 1 || variance > maxVariance) {
    throw new OwmError('bad_privacy', `A variance of ${variance} is not an integer of 1 to 2^50.`)
  }
  const scale = Math.floor(Math.sqrt(variance)) + 1
  const exactVariance = BigInt(variance)
  const exactScale = BigInt(scale)
  const denominator = 2n * exactVariance * exactScale * exactScale
  for (;;) {
    const sample = sampleDiscreteLaplace(scale, random)
    // Accepted with exp(-(|sample| - variance / scale)^2 / (2 variance)).
    const distance = BigInt(Math.abs(sample)) * exactScale - exactVariance
    if (isBelowExp(distance * distance, denominator, random)) return sample
  }
}

/** Probability proportional to exp(-|x| / scale). */
function sampleDiscreteLaplace(scale: number, random: RandomWords): number {
  for (;;) {
    const rest = random.below(scale)
    if (!isBelowExpSmall(rest, scale, random)) continue
    let whole = 0
    while (isBelowExpSmall(1, 1, random)) whole++
    const size = rest + scale * whole
    const negative = random.word() >>> 31 === 1
    if (negative && size === 0) continue
    return negative ? -size : size
  }
}

/** True with probability exp(-numerator / denominator), a ratio of 0 to 1. */
function isBelowExpSmall(numerator: number, denominator: number, random: RandomWords): boolean {
  let k = 1
  while (random.below(denominator * k) < numerator) k++
  return k % 2 === 1
}

/** The same for any ratio from 0. */
function isBelowExp(numerator: bigint, denominator: bigint, random: RandomWords): boolean {
  for (; numerator > denominator; numerator -= denominator) if (!isBelowExpSmall(1, 1, random)) return false
  let k = 1n
  while (random.belowBig(denominator * k) < numerator) k++
  return k % 2n === 1n
}
