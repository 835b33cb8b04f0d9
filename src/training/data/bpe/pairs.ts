/** The pairs of tokens that stand side by side: how often, and in which words. */
export interface Pairs {
  add(left: number, right: number, count: number, word: number): void
  subtract(left: number, right: number, count: number): void
  of(pair: number): readonly [left: number, right: number]
  count(pair: number): number
  /** Whether it was counted anew since it was put in order. */
  isStale(pair: number): boolean
  /** Puts it in order by its count as it is now, which it gives. */
  refresh(pair: number): number
  /** Forgets a pair, and gives the words in which it was. */
  remove(pair: number): Iterable<number>
  /** Those that came since the last call: they are to be put in order. */
  takeNew(): readonly number[]
  /** More often seen first; of equals, that with the smaller tokens. */
  before(a: number, b: number): boolean
}

/** Tokens are below 2^20: two of them are an exact number. */
const radix = 2 ** 20

export function createPairs(): Pairs {
  const numbers = new Map<number, number>()
  const keys: number[] = []
  const counts: number[] = []
  /** The count by which a pair was put in order: never below what it is. */
  const ordered: number[] = []
  const words: number[][] = []
  let fresh: number[] = []
  let firstFresh = 0

  const create = (key: number): number => {
    const pair = keys.length
    numbers.set(key, pair)
    keys.push(key)
    counts.push(0)
    ordered.push(0)
    words.push([])
    fresh.push(pair)
    return pair
  }
  /** A pair in the heap cannot rise: it is made anew, and what is left in the heap counts nothing. */
  const raised = (key: number, old: number): number => {
    const pair = create(key)
    counts[pair] = counts[old]!
    words[pair] = words[old]!
    counts[old] = 0
    words[old] = []
    return pair
  }
  return {
    add: (left, right, count, word) => {
      const key = left * radix + right
      const known = numbers.get(key)
      const pair = known === undefined ? create(key) : known < firstFresh ? raised(key, known) : known
      counts[pair]! += count
      const list = words[pair]!
      if (list.at(-1) !== word) list.push(word)
    },
    subtract: (left, right, count) => {
      const pair = numbers.get(left * radix + right)
      if (pair !== undefined) counts[pair]! -= count
    },
    of: (pair) => [Math.floor(keys[pair]! / radix), keys[pair]! % radix],
    count: (pair) => counts[pair]!,
    isStale: (pair) => ordered[pair] !== counts[pair],
    refresh: (pair) => {
      ordered[pair] = counts[pair]!
      return counts[pair]!
    },
    remove: (pair) => {
      if (numbers.get(keys[pair]!) === pair) numbers.delete(keys[pair]!)
      const found = new Set(words[pair])
      words[pair] = []
      return found
    },
    takeNew: () => {
      const taken = fresh
      for (const pair of taken) ordered[pair] = counts[pair]!
      firstFresh = keys.length
      fresh = []
      return taken
    },
    before: (a, b) => (ordered[a] === ordered[b] ? keys[a]! < keys[b]! : ordered[a]! > ordered[b]!),
  }
}
