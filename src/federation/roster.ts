import type { RunSpecification } from './index.ts'

/** A peer that trains in the run, and how many rounds in a row its update was missing. */
export interface Place {
  readonly peer: string
  readonly missed: number
}

/** A peer that misses so many rounds in a row is not waited for any longer; it may join again. */
export const maxMissedRounds = 2
/** Bounds the certificate, and the sums of an aggregate. */
export const maxRosterPeers = 1024

/**
 * The roster after a round: who missed too often goes, who asked to join comes. Nobody goes if too few would be left
 * to train, or to bear the liars that the run must bear.
 */
export function nextRoster(
  specification: Pick<RunSpecification, 'minimumTrainers' | 'faults' | 'committeeSize'>,
  roster: readonly Place[],
  trained: ReadonlySet<string>,
  joined: readonly string[],
): Place[] {
  const counted = roster.map(({ peer, missed }) => ({ peer, missed: trained.has(peer) ? 0 : missed + 1 }))
  const floor = Math.max(
    specification.minimumTrainers,
    specification.faults === 'byzantine' ? specification.committeeSize : 1,
  )
  const present = counted.filter((place) => place.missed < maxMissedRounds)
  const kept =
    present.length >= floor ? present : counted.map((p) => ({ ...p, missed: Math.min(p.missed, maxMissedRounds) }))
  const known = new Set(kept.map((place) => place.peer))
  const places = [...kept]
  for (const peer of [...joined].sort()) {
    if (!known.has(peer) && places.length < maxRosterPeers) places.push({ peer, missed: 0 })
    known.add(peer)
  }
  return places.sort((a, b) => (a.peer < b.peer ? -1 : 1))
}

export function firstRoster(specification: Pick<RunSpecification, 'roster'>): Place[] {
  return [...specification.roster].sort().map((peer) => ({ peer, missed: 0 }))
}
