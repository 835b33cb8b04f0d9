import type { Chain } from './chain.ts'
import type { Results } from './results.ts'
import { keptOf, keptUpdatesRounds, keptWeightsRounds, type Retention } from './retention.ts'
import type { Run } from './specification.ts'

/** What the rounds of one run have left on this disk: what of it is needed, and what can go. */
export class OldRounds {
  readonly #run: Run
  readonly #chain: Chain
  readonly #results: Results
  readonly #retention: Retention
  /** Rounds up to these have nothing left to delete. */
  #pruned = { weights: 0, updates: 0 }

  constructor(run: Run, chain: Chain, results: Results, retention: Retention) {
    this.#run = run
    this.#chain = chain
    this.#results = results
    this.#retention = retention
  }

  /** What must stay. `newest` is the round of the newest checkpoint that is here whole. */
  async kept(newest: number): Promise<string[]> {
    const { weights, updates } = keptOf(this.#chain.rounds(), newest)
    return [...this.#given(), ...weights, ...(await this.#partsOf(weights)), ...updates, ...this.#results.stored]
  }

  /** All that this peer may have stored for the run, for one that is followed no longer. */
  async everything(): Promise<string[]> {
    const rounds = this.#chain.rounds()
    const checkpoints = rounds.slice(this.#pruned.weights).map(({ checkpoint }) => checkpoint)
    const updates = rounds.slice(this.#pruned.updates).flatMap((round) => round.updates)
    const weights = await this.#partsOf(checkpoints)
    return [...this.#given(), ...checkpoints, ...weights, ...updates, ...this.#results.stored]
  }

  /** Deletes what is older than what must stay. */
  async prune(newest: number): Promise<void> {
    const rounds = this.#chain.rounds()
    const until = {
      weights: Math.max(0, newest - keptWeightsRounds),
      updates: Math.max(0, newest - keptUpdatesRounds),
    }
    const checkpoints = rounds.slice(this.#pruned.weights, until.weights).map(({ checkpoint }) => checkpoint)
    const updates = rounds.slice(this.#pruned.updates, until.updates).flatMap((round) => round.updates)
    const weights = await this.#partsOf(checkpoints)
    this.#pruned = until
    await this.#retention.discard([...checkpoints, ...weights, ...updates])
  }

  #given(): string[] {
    const { graph, initial, heldOut } = this.#run.specification
    return [graph, initial, heldOut].map(String)
  }

  async #partsOf(checkpoints: readonly string[]): Promise<string[]> {
    const found: string[] = []
    for (const checkpoint of checkpoints) {
      found.push(...(await this.#results.partsOf(checkpoint)))
    }
    return found
  }
}
