/** Strangers can announce runs: more than this are not followed. */
export const maxRuns = 64
/** And of one owner no more than this, so that one cannot take all places. */
export const maxRunsPerOwner = 8
/** A run of which nobody has said anything for so long is taken for given up. Participants speak every 2 to 15 s. */
export const silentMs = 10 * 60_000

export interface KnownRun {
  readonly id: string
  readonly owner: string
  /** This peer owns it, trains in it, or was told to join it: it is never pushed out. */
  readonly own: boolean
  readonly finished: boolean
  /** When a participant was last heard of. */
  readonly heardMs: number
}

export type Place = { readonly taken: true; readonly evict: string | null } | { readonly taken: false }

/**
 * Whether there is a place for a run that is new here, and which run has to go for it (rule 35 of protocols/rounds).
 * Finished runs of others go first, then silent ones, of each kind the one that was heard of least lately. A run of one's
 * own may push out any of others.
 */
export function placeFor(
  newcomer: Pick<KnownRun, 'owner' | 'own' | 'finished'>,
  known: readonly KnownRun[],
  nowMs: number,
): Place {
  const sameOwner = known.filter((run) => run.owner === newcomer.owner)
  const crowded = !newcomer.own && sameOwner.length >= maxRunsPerOwner
  if (!crowded && known.length < maxRuns) return { taken: true, evict: null }
  const foreign = (crowded ? sameOwner : known)
    .filter((run) => !run.own)
    .sort((a, b) => a.heardMs - b.heardMs || (a.id < b.id ? -1 : 1))
  const spent =
    foreign.find((run) => run.finished) ??
    foreign.find((run) => Math.abs(nowMs - run.heardMs) > silentMs) ??
    (newcomer.own ? foreign[0] : undefined)
  // A finished run pushes out nothing: two of them would take turns for ever.
  return spent === undefined || (newcomer.finished && !newcomer.own)
    ? { taken: false }
    : { taken: true, evict: spent.id }
}
