import type { World } from './world.ts'

/** One way or both ways, between those in the group and the rest. */
export interface Cut {
  readonly group: ReadonlySet<string>
  readonly ways: 'both' | 'into' | 'out of'
}

/**
 * Carries what peers send to each other, late, twice, out of order, or not at all. What is under way when a link is cut
 * is lost.
 */
export class SimNetwork {
  readonly #world: World
  readonly #up = new Set<string>()
  readonly #slow = new Set<string>()
  #cut: Cut | null = null
  #connected: readonly [ReadonlySet<string>, ReadonlySet<string>] | null = null

  constructor(world: World) {
    this.#world = world
  }

  setUp(name: string, up: boolean): void {
    if (up) this.#up.add(name)
    else this.#up.delete(name)
    this.#connected = null
  }
  isUp(name: string): boolean {
    return this.#up.has(name)
  }
  slowDown(name: string): void {
    this.#slow.add(name)
  }
  isSlow(name: string): boolean {
    return this.#slow.has(name)
  }
  get cut(): Cut | null {
    return this.#cut
  }
  setCut(cut: Cut | null): void {
    this.#cut = cut
    this.#connected = null
  }

  /** Whether bytes get from one to the other. */
  passes(from: string, to: string): boolean {
    if (!this.#up.has(from) || !this.#up.has(to)) return false
    if (this.#cut === null) return true
    const { group, ways } = this.#cut
    const [inside, target] = [group.has(from), group.has(to)]
    if (inside === target) return true
    return ways === 'into' ? inside : ways === 'out of' ? target : false
  }

  /** A connection needs both ways. */
  isConnected(a: string, b: string): boolean {
    return this.passes(a, b) && this.passes(b, a)
  }

  /** Those whom a peer is connected to; itself among them. */
  connectedTo(name: string): ReadonlySet<string> {
    if (this.#cut === null) return this.#up
    const { group } = this.#cut
    if (this.#connected === null) {
      const up = [...this.#up]
      this.#connected = [new Set(up.filter((peer) => group.has(peer))), new Set(up.filter((peer) => !group.has(peer)))]
    }
    return this.#connected[group.has(name) ? 0 : 1]
  }

  /** Runs `deliver` when what was sent has come, perhaps never, perhaps twice. */
  carry(from: string, to: string, deliver: () => void): void {
    const { random, scenario, time } = this.#world
    const times = random.permille(scenario.duplicatePermille) ? 2 : 1
    for (let i = 0; i < times; i++) {
      if (random.permille(scenario.lossPermille) || !this.passes(from, to)) continue
      const slow = this.#slow.has(from) || this.#slow.has(to)
      const delayMs = 1 + random.integer(0, scenario.maxDelayMs) + (slow ? random.integer(0, 2_000) : 0)
      time.after(delayMs, () => {
        if (this.passes(from, to)) deliver()
      })
    }
  }
}
