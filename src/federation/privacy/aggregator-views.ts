import { equalBytes } from '../../lib/index.ts'
import type { AggregatorDraft, AggregatorState } from './aggregator-state.ts'
import { commitmentsDigest, deliveryTo } from './messages.ts'
import { hasPlace, placesOf } from './peer-set.ts'
import type { Directory } from './session.ts'
import { type Consent, commitmentBytes, type Input, type Shares, sealedBytes } from './statements.ts'

/** What of the statements at hand fits what has been chosen so far. */

/** By the dealer's place. */
export function fittingShares(state: AggregatorState): Map<number, Shares> {
  const fitting = new Map<number, Shares>()
  const { directory } = state
  if (directory === null) return fitting
  for (const [place, { peer }] of directory.keys.entries()) {
    const shares = state.shares[peer]
    if (shares !== undefined && fitsDirectory(directory, shares)) fitting.set(place, shares)
  }
  return fitting
}

function fitsDirectory(directory: Directory, shares: Shares): boolean {
  const count = directory.keys.length
  return (
    equalBytes(shares.directory, directory.id) &&
    shares.sealed.length === count * sealedBytes &&
    shares.commitments.length === count * 2 * commitmentBytes
  )
}

/** By place: those that share masks with these dealers and whose bytes are here. */
export function fittingInputs(state: AggregatorState): Map<number, Input> {
  const fitting = new Map<number, Input>()
  const { directory, dealers } = state
  if (directory === null || dealers === null) return fitting
  for (const place of placesOf(dealers)) {
    const input = state.inputs[directory.keys[place]?.peer ?? '']
    if (input === undefined || !state.fetched.has(input.peer)) continue
    if (equalBytes(input.directory, directory.id) && equalBytes(input.dealers, dealers)) fitting.set(place, input)
  }
  return fitting
}

export function fittingConsents(state: AggregatorState): Consent[] {
  const { directory, dealers, survivors } = state
  if (directory === null || dealers === null || survivors === null) return []
  return placesOf(survivors).flatMap((place) => {
    const consent = state.consents[directory.keys[place]?.peer ?? '']
    const fits =
      consent !== undefined &&
      equalBytes(consent.directory, directory.id) &&
      equalBytes(consent.dealers, dealers) &&
      equalBytes(consent.survivors, survivors)
    return fits ? [consent] : []
  })
}

/**
 * Whether a survivor has been shown the commitments that are known here. If a dealer has told others something else,
 * the survivor's shares cannot be judged here, and it must not be blamed.
 */
export function hasSameCommitments(state: AggregatorState, peer: string): boolean {
  const { directory, dealers } = state
  const place = directory?.places.get(peer)
  const input = state.inputs[peer]
  if (directory === null || dealers === null || place === undefined || input === undefined) return false
  const { commitments } = deliveryTo(place, directory.id, dealers, fittingShares(state))
  return equalBytes(commitmentsDigest(commitments), input.commitments)
}

export function peersOf({ directory }: AggregatorDraft, places: Iterable<number>): string[] {
  return [...places].flatMap((place) => directory?.keys[place]?.peer ?? [])
}

/** Those of a set that are not among these places. */
export function missingOf(set: Uint8Array, present: ReadonlyMap<number, unknown>): number[] {
  return placesOf(set).filter((place) => hasPlace(set, place) && !present.has(place))
}
