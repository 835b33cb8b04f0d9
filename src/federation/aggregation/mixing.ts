import { Gram } from './gram.ts'
import { oneWhole } from './kernels.ts'

/**
 * Nearest-neighbour mixing (Allouah et al. 2023): before the rule, each update is replaced by the mean of the
 * `size - liars` updates nearest to it, itself among them (of equally near ones the earlier). Honest updates that differ because
 * their data do come close together, and a liar's is drawn among them. As sums of updates, so that all stays integer:
 * the mixed update i is the sum of `neighbours[i]`, to be divided by `parts`.
 */
export interface Mixture {
  readonly parts: number
  readonly neighbours: readonly (readonly number[])[]
  /** Of the sums: `parts` squared times the products of the mixed updates. */
  readonly gram: Gram
}

export function mix(gram: Gram, liars: number): Mixture {
  const all = Array.from({ length: gram.size }, (_, i) => i)
  const parts = gram.size - liars
  const neighbours = all.map((i) => {
    const distances = all.map((j) => gram.squaredDistance(i, j))
    // Of updates equal to it, the update itself comes first.
    const rank = (j: number): number => (j === i ? -1 : j)
    return [...all]
      .sort((a, b) => (distances[a]! < distances[b]! ? -1 : distances[a]! > distances[b]! ? 1 : rank(a) - rank(b)))
      .slice(0, parts)
  })
  // First the products of each sum with each update, then of sums with sums.
  const half = neighbours.map((near) => all.map((j) => near.reduce((sum, i) => sum + gram.product(i, j), 0n)))
  const products = half.flatMap((row) => neighbours.map((near) => near.reduce((sum, j) => sum + row[j]!, 0n)))
  return { parts, neighbours, gram: new Gram(gram.size, products) }
}

/** Weights of the mixed updates as weights of the updates. Where these would be too large in sum, they are rounded down. */
export function unmix(
  { parts, neighbours }: Mixture,
  weights: readonly number[],
  whole: number,
): { readonly weights: readonly number[]; readonly whole: number } {
  const sums = weights.map(() => 0)
  for (const [i, near] of neighbours.entries()) for (const j of near) sums[j] = sums[j]! + weights[i]!
  if (whole * parts <= oneWhole) return { weights: sums, whole: whole * parts }
  return { weights: sums.map((sum) => Math.floor(sum / parts)), whole }
}
