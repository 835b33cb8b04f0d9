import type { RoundObservation, WithoutEnvelope } from './index.ts'

/** Rounds that are remembered, and of each so much: what people look at, not what anything is decided by. */
const maxRounds = 512
const maxRejected = 64
const maxPassedOver = 32

type Traffic = () => { readonly sentBytes: number; readonly receivedBytes: number }

/** What this peer saw of each round beside its certificate; gone with the process. */
export class RoundNotes {
  readonly #traffic: Traffic
  readonly #rounds = new Map<number, RoundObservation>()
  #under: { readonly round: number; readonly from: ReturnType<Traffic> } | null = null

  constructor(traffic: Traffic) {
    this.#traffic = traffic
  }

  note(event: WithoutEnvelope): void {
    switch (event.type) {
      case 'round-started':
        // A round may be entered again, after a pause or by another attempt.
        if (this.#under?.round !== event.round) this.#under = { round: event.round, from: this.#traffic() }
        this.#change(event.round, {})
        break
      case 'update-rejected': {
        const { rejected } = this.#of(event.round)
        const { trainer, code } = event
        const known = rejected.some((other) => other.trainer === trainer && other.code === code)
        if (!known && rejected.length < maxRejected) {
          this.#change(event.round, { rejected: [...rejected, { trainer, code }] })
        }
        break
      }
      case 'leader-passed-over': {
        const { passedOver } = this.#of(event.round)
        if (passedOver.length < maxPassedOver) {
          this.#change(event.round, { passedOver: [...passedOver, event.leader] })
        }
        break
      }
      case 'round-certified':
        if (this.#under?.round !== event.round.round) break
        this.#change(event.round.round, this.#bytes())
        this.#under = null
        break
    }
  }

  /** By round, the oldest first; of the round under way up to now. */
  view(): RoundObservation[] {
    const under = this.#under
    return [...this.#rounds.values()]
      .map((seen) => (seen.round === under?.round ? { ...seen, ...this.#bytes() } : seen))
      .sort((a, b) => a.round - b.round)
  }

  #bytes(): Pick<RoundObservation, 'sentBytes' | 'receivedBytes'> {
    const now = this.#traffic()
    const from = this.#under?.from ?? now
    return { sentBytes: now.sentBytes - from.sentBytes, receivedBytes: now.receivedBytes - from.receivedBytes }
  }

  #of(round: number): RoundObservation {
    return this.#rounds.get(round) ?? { round, sentBytes: 0, receivedBytes: 0, rejected: [], passedOver: [] }
  }

  #change(round: number, change: Partial<RoundObservation>): void {
    this.#rounds.set(round, { ...this.#of(round), ...change })
    if (this.#rounds.size > maxRounds) this.#rounds.delete(this.#rounds.keys().next().value ?? 0)
  }
}
