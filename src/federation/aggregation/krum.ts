import type { Gram } from './gram.ts'

/**
 * Krum's score (Blanchard et al. 2017, section 4): the sum of squared distances to the `n - f - 2` nearest others. Who lies far
 * from a majority has a high one, wherever other liars are.
 */
export function* krumScores(gram: Gram, liars: number): Generator<void, bigint[]> {
  const all = Array.from({ length: gram.size }, (_, i) => i)
  const scores: bigint[] = []
  for (const i of all) {
    const distances = all.filter((j) => j !== i).map((j) => gram.squaredDistance(i, j))
    distances.sort((a, b) => (a < b ? -1 : a > b ? 1 : 0))
    scores.push(distances.slice(0, gram.size - liars - 2).reduce((sum, distance) => sum + distance, 0n))
    yield
  }
  return scores
}

/** The `keep` lowest; of equal scores the earlier update's. */
export function lowestOf(scores: readonly bigint[], keep: number): Set<number> {
  const order = scores.map((_, i) => i)
  order.sort((a, b) => (scores[a]! < scores[b]! ? -1 : scores[a]! > scores[b]! ? 1 : a - b))
  return new Set(order.slice(0, keep))
}
