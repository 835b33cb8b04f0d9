import { median } from './bounds.ts'
import type { Gram } from './gram.ts'
import { squareRoot } from './square-root.ts'

/** With fewer, half of which may agree by chance, nobody can be said to be out of line. */
export const leastToJudge = 5

/** No update is an outlier that is less than 3/2 as large as the median: where all are alike, little tells little. */
const [leastTimes, leastParts] = [3n, 2n]
/** Ratios are in fixed point with so many bits. */
const ratioBits = 16n

/**
 * How large an update may be, MODEL-08's "3 sigma". Sizes are magnitudes, so they are compared by ratio: with c the
 * median and r the median of the ratios of all to c (the larger over the smaller), sigma is 1.5 ln r, as 1.4826 times the
 * median distance from the median is sigma of a normal distribution (Hampel 1974). The limit, c e^(3 sigma), is c r^4.5:
 * a root of integers. Both medians stay among the honest while these are the majority, so that no liar moves sigma at
 * will. Of few updates r says little: the exponent grows by a share of 4 / n.
 */
export function outlierLimit(given: readonly bigint[], sigmas: number): bigint {
  const sizes = given.map((size) => (size > 1n ? size : 1n))
  const centre = median(sizes)
  const ratio = median(
    sizes.map((size) => (size > centre ? (size << ratioBits) / centre : (centre << ratioBits) / size)),
    'upper',
  )
  const power = BigInt(Math.ceil((3 * sigmas * (sizes.length + 4)) / sizes.length))
  const times = squareRoot(((ratio ** power) << (2n * ratioBits)) >> (ratioBits * power))
  const bySpread = (centre * times) >> ratioBits
  const least = (centre * leastTimes) / leastParts
  return bySpread > least ? bySpread : least
}

/**
 * Those beyond the limit, the farthest first (of equals the later), as long as `enough` says that the rule can do with
 * so many fewer. Only what is too far out goes: a short update pulls nobody.
 */
export function outliersAmong(sizes: readonly bigint[], limit: bigint, enough: (left: number) => boolean): Set<number> {
  const far = sizes.map((_, i) => i).filter((i) => sizes[i]! > limit)
  far.sort((a, b) => (sizes[a]! > sizes[b]! ? -1 : sizes[a]! < sizes[b]! ? 1 : b - a))
  const gone = new Set<number>()
  for (const i of far) {
    if (!enough(sizes.length - gone.size - 1)) break
    gone.add(i)
  }
  return gone
}

/** The median distance of each update from the others: what tells how much it stands apart. */
export function typicalDistances(gram: Gram): bigint[] {
  const all = Array.from({ length: gram.size }, (_, i) => i)
  return all.map((i) => squareRoot(median(all.filter((j) => j !== i).map((j) => gram.squaredDistance(i, j)))))
}
