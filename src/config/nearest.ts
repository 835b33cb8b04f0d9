/** Insertions, deletions and substitutions between two words (Levenshtein 1966). */
export function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const substituted = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(substituted, row[j]! + 1, next[j - 1]! + 1))
    }
    row = next
  }
  return row[b.length]!
}

/** The candidate that is least far; of equals the first. There is at least one. */
export function nearest<T>(candidates: readonly T[], distance: (candidate: T) => number): T {
  let best = candidates[0] as T
  let least = Number.POSITIVE_INFINITY
  for (const candidate of candidates) {
    const far = distance(candidate)
    if (far < least) [best, least] = [candidate, far]
  }
  return best
}
