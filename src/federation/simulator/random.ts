/** Chance from a seed: equal seeds give equal worlds. Mulberry32. */
export class Random {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0
    // Neighbouring seeds begin alike.
    for (let i = 0; i < 3; i++) this.next()
  }

  /** From 0, below 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let t = this.#state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }

  /** An integer from `least`, below `limit`. */
  integer(least: number, limit: number): number {
    return least + Math.floor(this.next() * (limit - least))
  }

  permille(chance: number): boolean {
    return chance > 0 && this.next() * 1000 < chance
  }

  pick<T>(list: readonly T[]): T {
    return list[this.integer(0, list.length)] as T
  }

  /** So many different ones; all, if there are no more. */
  sample<T>(list: readonly T[], count: number): T[] {
    const left = [...list]
    const chosen: T[] = []
    while (chosen.length < count && left.length > 0) chosen.push(...left.splice(this.integer(0, left.length), 1))
    return chosen
  }
}
