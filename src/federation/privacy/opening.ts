import { equalBytes } from '../../lib/index.ts'
import { privateKeyOf } from './agreement.ts'
import { isSecretOf, ownMaskKey, pairMaskKey, type SharedSecret, shareCommitment } from './dealing.ts'
import type { Masks } from './masking.ts'
import { commitmentsFor } from './messages.ts'
import { hasPlace, isSubset, placesOf } from './peer-set.ts'
import type { Directory } from './session.ts'
import { combineShares, secretBytes, weightsAtZero } from './shamir.ts'
import { commitmentBytes, type Reveal, type Shares } from './statements.ts'

/**
 * The secrets that open a sum: the seeds of the survivors' own masks, the mask keys of the dealers that vanished. They
 * are checked against what their owners published, so that wrong shares give a failure and never a wrong sum. Anybody
 * with the directory, the masked inputs and these can compute the sum again; nobody can take one input out of it.
 */
export interface Opening {
  readonly dealers: Uint8Array
  readonly survivors: Uint8Array
  /** 32 bytes for each dealer, in the order of their places. */
  readonly secrets: Uint8Array
}

export function secretAskedOf(survivors: Uint8Array, dealer: number): SharedSecret {
  return hasPlace(survivors, dealer) ? 'seed' : 'mask-key'
}

/** Why a revelation of a survivor is no good, or null. With `wrong_share` its author has lied. */
export function revealObjection(
  directory: Directory,
  dealers: Uint8Array,
  survivors: Uint8Array,
  reveal: Reveal,
  shares: ReadonlyMap<number, Shares>,
): string | null {
  const place = directory.places.get(reveal.peer)
  if (place === undefined || !hasPlace(survivors, place)) return 'not_a_survivor'
  if (!equalBytes(reveal.directory, directory.id)) return 'other_directory'
  if (!equalBytes(reveal.survivors, survivors)) return 'other_survivors'
  const held = placesOf(reveal.held)
  if (!isSubset(reveal.held, dealers) || reveal.shares.length !== held.length * secretBytes) return 'wrong_shape'
  for (const [i, dealer] of held.entries()) {
    const dealt = shares.get(dealer)
    if (dealt === undefined) return 'not_a_dealer'
    const what = secretAskedOf(survivors, dealer)
    const pair = commitmentsFor(dealt, place)
    const expected = what === 'seed' ? pair.subarray(0, commitmentBytes) : pair.subarray(commitmentBytes)
    const share = reveal.shares.subarray(i * secretBytes, (i + 1) * secretBytes)
    if (!equalBytes(shareCommitment(directory, what, dealer, place, share), expected)) return 'wrong_share'
  }
  return null
}

export type OpeningOutcome =
  | { readonly kind: 'opened'; readonly secrets: Uint8Array }
  /** These dealers' secrets have too few shares yet. */
  | { readonly kind: 'waiting'; readonly dealers: readonly number[] }
  /** What this dealer has shared is not what it published. */
  | { readonly kind: 'wrong-secret'; readonly dealer: number }

/** Joins revelations that `revealObjection` has nothing against. */
export function openSecrets(
  directory: Directory,
  dealers: Uint8Array,
  survivors: Uint8Array,
  threshold: number,
  reveals: readonly Reveal[],
): OpeningOutcome {
  const places = placesOf(dealers)
  const byDealer = sharesByDealer(directory, reveals)
  const waiting = places.filter((dealer) => (byDealer.get(dealer)?.length ?? 0) < threshold)
  if (waiting.length > 0) return { kind: 'waiting', dealers: waiting }
  const secrets = new Uint8Array(places.length * secretBytes)
  const weightsOf = rememberedWeights()
  for (const [i, dealer] of places.entries()) {
    const used = (byDealer.get(dealer) ?? []).slice(0, threshold)
    const secret = combineShares(
      used.map(({ share }) => share),
      weightsOf(used.map(({ place }) => place + 1)),
    )
    if (!isSecretOf(directory.keys[dealer]!, secretAskedOf(survivors, dealer), secret)) {
      return { kind: 'wrong-secret', dealer }
    }
    secrets.set(secret, i * secretBytes)
  }
  return { kind: 'opened', secrets }
}

function sharesByDealer(
  directory: Directory,
  reveals: readonly Reveal[],
): Map<number, { readonly place: number; readonly share: Uint8Array }[]> {
  const byDealer = new Map<number, { readonly place: number; readonly share: Uint8Array }[]>()
  const ordered = reveals
    .map((reveal) => ({ reveal, place: directory.places.get(reveal.peer) ?? -1 }))
    .sort((a, b) => a.place - b.place)
  for (const { reveal, place } of ordered) {
    for (const [i, dealer] of placesOf(reveal.held).entries()) {
      const known = byDealer.get(dealer)
      const one = { place, share: reveal.shares.subarray(i * secretBytes, (i + 1) * secretBytes) }
      if (known === undefined) byDealer.set(dealer, [one])
      else known.push(one)
    }
  }
  return byDealer
}

/** Most secrets are opened by the same peers: their weights are computed once. */
function rememberedWeights(): (points: readonly number[]) => readonly number[] {
  const known = new Map<string, readonly number[]>()
  return (points) => {
    const key = points.join()
    const weights = known.get(key) ?? weightsAtZero(points)
    known.set(key, weights)
    return weights
  }
}

/** Whether these are the secrets of the dealers' published keys: what an auditor asks first. */
export function isOpening(directory: Directory, { dealers, survivors, secrets }: Opening): boolean {
  const places = placesOf(dealers)
  return (
    isSubset(survivors, dealers) &&
    places.every((dealer) => dealer < directory.keys.length) &&
    secrets.length === places.length * secretBytes &&
    places.every((dealer, i) => {
      const secret = secrets.subarray(i * secretBytes, (i + 1) * secretBytes)
      return isSecretOf(directory.keys[dealer]!, secretAskedOf(survivors, dealer), secret)
    })
  )
}

/**
 * What has to be added to the sum of the survivors' masked inputs, and taken from it. The masks between two survivors
 * have cancelled each other; those with a dealer that vanished have not.
 */
export function unmaskingOf(directory: Directory, { dealers, survivors, secrets }: Opening): Masks {
  const add: Uint8Array[] = []
  const subtract: Uint8Array[] = []
  const left = placesOf(survivors)
  for (const [i, dealer] of placesOf(dealers).entries()) {
    const secret = secrets.subarray(i * secretBytes, (i + 1) * secretBytes)
    if (hasPlace(survivors, dealer)) {
      subtract.push(ownMaskKey(directory, secret))
      continue
    }
    const mask = privateKeyOf(secret)
    for (const survivor of left) {
      const key = pairMaskKey(directory, mask, dealer, survivor)
      // The survivor has added it if its place is the lower one.
      if (survivor < dealer) subtract.push(key)
      else add.push(key)
    }
  }
  return { add, subtract }
}
