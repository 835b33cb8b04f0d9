/** A certified round, as far as chains are compared. */
export interface Link {
  readonly round: number
  readonly attempt: number
  /** Id of the certified value before. */
  readonly previous: string
  readonly id: string
}

/**
 * Which of two certificates for the round after the same certificate stands: the one of the lower attempt, however many
 * rounds follow the other. One attempt certifies one value, so the ids decide only where more members lied than the
 * run can bear; then everybody still decides alike.
 */
export function stands<T extends Link>(a: T, b: T): T {
  if (a.attempt !== b.attempt) return a.attempt < b.attempt ? a : b
  return a.id <= b.id ? a : b
}

/**
 * Which of two chains of one run stands, both from its first round: where they part, the one whose certificate stands;
 * where one goes on from the other, the longer. It is an order of all chains (by attempts, as words are by letters, but
 * the longer before the shorter that it begins with), so peers that follow it end with the same chain, whatever they
 * hear first.
 */
export function preferred<T extends Link>(ours: readonly T[], theirs: readonly T[]): readonly T[] {
  const length = Math.min(ours.length, theirs.length)
  for (let i = 0; i < length; i++) {
    const [a, b] = [ours[i]!, theirs[i]!]
    if (a.id !== b.id) return stands(a, b) === a ? ours : theirs
  }
  return theirs.length > ours.length ? theirs : ours
}
