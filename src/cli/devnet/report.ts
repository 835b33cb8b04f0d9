import type { FederationEvent, RoundView } from '../../federation/index.ts'

/** A planned death: whose, and in which round. */
export interface Kill {
  readonly role: 'leader' | 'trainer'
  readonly round: number
}

/** What happened in the mesh, as its peers told it. */
export interface Record {
  event(event: FederationEvent): void
  killed(peer: string, atMs: number): void
  rounds(): (RoundView & { readonly heldOutLoss: number | null })[]
  /** Updates that a peer called accepted and that no certificate holds. */
  lostUpdates(): string[]
  acceptedUpdates(): number
  /**
   * What the kill cost. A leader's: from SIGKILL to the next certificate. A trainer's: how much longer its round took than
   * the median of the others, since the rest of that round is training that would have been done anyway.
   */
  recoverySeconds(kill: Kill): number | null
  readonly initialLoss: number | null
}

export function createRecord(): Record {
  const rounds = new Map<number, RoundView>()
  const heldOut = new Map<number, number>()
  const accepted = new Map<string, number>()
  let killedMs: number | null = null
  let certifiedAfterKillMs: number | null = null
  return {
    event: (event) => {
      if (event.type === 'update-accepted') accepted.set(event.update, event.round)
      if (event.type === 'evaluated') heldOut.set(event.round, event.heldOutLoss)
      if (event.type === 'round-certified' && !rounds.has(event.round.round)) {
        rounds.set(event.round.round, event.round)
        if (killedMs !== null && certifiedAfterKillMs === null) certifiedAfterKillMs = Date.now()
      }
    },
    killed: (_peer, atMs) => {
      killedMs = atMs
    },
    rounds: () =>
      [...rounds.values()]
        .sort((a, b) => a.round - b.round)
        .map((round) => ({ ...round, heldOutLoss: heldOut.get(round.round) ?? round.heldOutLoss })),
    acceptedUpdates: () => accepted.size,
    lostUpdates: () =>
      [...accepted]
        .filter(([update, round]) => rounds.get(round)?.updates.includes(update) !== true)
        .map(([update]) => update),
    recoverySeconds: (kill) => {
      if (killedMs === null || certifiedAfterKillMs === null) return null
      if (kill.role === 'leader') return rounded((certifiedAfterKillMs - killedMs) / 1000)
      const others = [...rounds.values()].filter((round) => round.round !== kill.round).map((round) => round.seconds)
      const median = others.sort((a, b) => a - b)[Math.floor(others.length / 2)] ?? 0
      return rounded(Math.max(0, (rounds.get(kill.round)?.seconds ?? 0) - median))
    },
    get initialLoss() {
      return heldOut.get(0) ?? null
    },
  }
}

export function rounded(value: number): number {
  return Math.round(value * 1000) / 1000
}
