/**
 * Batcher's odd-even merge sort (1968) as a list of comparators: the same for all weights, hence without branches and
 * fit for SIMD. Pruned to what its reader needs: the sorted rows `trim` to `count - trim`, as a set.
 */

/** Two rows; the smaller values go to the first. */
export type Comparator = readonly [number, number]

export function sortingNetwork(count: number): Comparator[] {
  const comparators: Comparator[] = []
  let power = 1
  while (power < count) power *= 2
  for (let half = 1; half < power; half *= 2) {
    for (let step = half; step >= 1; step /= 2) {
      for (let start = step % half; start + step < power; start += 2 * step) {
        for (let i = start; i < start + step; i++) {
          // Rows beyond `count` hold infinity, so to say: no comparator would move it.
          if (i + step >= count) continue
          if (Math.floor(i / (2 * half)) === Math.floor((i + step) / (2 * half))) comparators.push([i, i + step])
        }
      }
    }
  }
  return comparators
}

/** How many comparators a network for so many rows has at most: Batcher's number for the next power of two, 2^p. */
export function mostComparators(count: number): number {
  const p = Math.ceil(Math.log2(Math.max(2, count)))
  return (p * p - p + 4) * 2 ** (p - 2)
}

/** Without the comparators, from the last back, that only reorder rows within the kept set, or within what is not read. */
export function trimmingNetwork(count: number, trim: number): Comparator[] {
  const kept: (boolean | undefined)[] = Array.from({ length: count }, (_, row) => row >= trim && row < count - trim)
  const needed: Comparator[] = []
  for (const [low, high] of sortingNetwork(count).reverse()) {
    if (kept[low] !== undefined && kept[low] === kept[high]) continue
    needed.push([low, high])
    kept[low] = undefined
    kept[high] = undefined
  }
  return needed.reverse()
}
