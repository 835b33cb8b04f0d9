/**
 * Time that passes only from event to event. Events lie in one list per millisecond, and run in the order in which they
 * were added: adding and taking cost the same, however many wait.
 */
export class VirtualTime {
  readonly #slots = new Map<number, (() => void)[]>()
  #nowMs = 0
  #place = 0
  /** How many have run. */
  events = 0

  get nowMs(): number {
    return this.#nowMs
  }

  /** Runs `work` after so many milliseconds, at least 0; fractions are cut off. */
  after(ms: number, work: () => void): void {
    const atMs = this.#nowMs + Math.max(0, Math.floor(ms))
    const slot = this.#slots.get(atMs)
    if (slot === undefined) this.#slots.set(atMs, [work])
    else slot.push(work)
  }

  /** Runs the next event. False when there is none before `untilMs`. */
  advance(untilMs: number): boolean {
    for (; this.#nowMs < untilMs; this.#nowMs++, this.#place = 0) {
      const work = this.#slots.get(this.#nowMs)?.[this.#place]
      if (work !== undefined) {
        this.#place++
        this.events++
        work()
        return true
      }
      this.#slots.delete(this.#nowMs)
    }
    return false
  }
}
