import { blake3Of, equalBytes, sha256Of } from '../../lib/index.ts'
import { agree, deriveKey, isPublicKey, type PrivateKey, privateKeyOf, seal, unseal } from './agreement.ts'
import type { Masks } from './masking.ts'
import { placesOf } from './peer-set.ts'
import { type Directory, type Session, sessionId } from './session.ts'
import { dealShares, secretBytes } from './shamir.ts'
import { commitmentBytes, type Keys, type Shares, type StatementBody, sealedBytes } from './statements.ts'

/**
 * What a participant makes of its secrets. All of them follow from 32 bytes of entropy, the session and the directory:
 * a peer that is restarted says the same again, and one that is shown another directory has nothing in common with what
 * it was before.
 */

export interface Secrets {
  readonly channel: PrivateKey
  readonly mask: PrivateKey
  /** The mask key's secret bytes: what is shared. */
  readonly maskSecret: Uint8Array
  /** The seed of the peer's own mask: what else is shared. */
  readonly seed: Uint8Array
}

export function secretsOf(entropy: Uint8Array, session: Session): Secrets {
  const salt = sessionId(session)
  const maskSecret = deriveKey(entropy, salt, 'mask-key')
  return {
    channel: privateKeyOf(deriveKey(entropy, salt, 'channel-key')),
    mask: privateKeyOf(maskSecret),
    maskSecret,
    seed: deriveKey(entropy, salt, 'seed'),
  }
}

export function keysOf(secrets: Secrets, session: Session): StatementBody {
  const { run, round, attempt } = session
  const { channel, mask, seed } = secrets
  return {
    kind: 'keys',
    ...{ run, round, attempt },
    channel: channel.publicKey,
    mask: mask.publicKey,
    seed: seedCommitment(seed),
  }
}

/** 32 random bytes cannot be guessed: their hash hides and binds them. */
export function seedCommitment(seed: Uint8Array): Uint8Array {
  return sha256Of(Buffer.concat([Buffer.from('owm/secure-aggregation/1/seed\0'), seed]))
}

export type SharedSecret = 'seed' | 'mask-key'

/** Commitment to one share: a share is 32 random bytes to all who do not know it. */
export function shareCommitment(
  directory: Directory,
  what: SharedSecret,
  from: number,
  to: number,
  share: Uint8Array,
): Uint8Array {
  const text = Buffer.from(`owm/secure-aggregation/1/share/${what}/${from}/${to}\0`)
  return blake3Of(Buffer.concat([text, directory.id, share])).slice(0, commitmentBytes)
}

/** Shares both secrets among the directory's peers, `threshold` of which open them. `from` is the dealer's place. */
export function dealTo(
  directory: Directory,
  from: number,
  entropy: Uint8Array,
  secrets: Secrets,
  threshold: number,
): Pick<Shares, 'sealed' | 'commitments'> {
  const count = directory.keys.length
  const deal = (secret: Uint8Array, what: SharedSecret): Uint8Array[] =>
    dealShares(secret, deriveKey(entropy, directory.id, `coefficients/${what}`), threshold, count)
  const seeds = deal(secrets.seed, 'seed')
  const maskKeys = deal(secrets.maskSecret, 'mask-key')
  const sealed = new Uint8Array(count * sealedBytes)
  const commitments = new Uint8Array(count * 2 * commitmentBytes)
  for (const [to, keys] of directory.keys.entries()) {
    const pair = Buffer.concat([
      shareCommitment(directory, 'seed', from, to, seeds[to]!),
      shareCommitment(directory, 'mask-key', from, to, maskKeys[to]!),
    ])
    const key = channelKey(directory, secrets.channel, keys.channel, from, to)
    sealed.set(seal(key, Buffer.concat([seeds[to]!, maskKeys[to]!]), pair), to * sealedBytes)
    commitments.set(pair, to * 2 * commitmentBytes)
  }
  return { sealed, commitments }
}

/** The shares that a dealer has sealed to one peer. */
export type HeldShares = Readonly<Record<SharedSecret, Uint8Array>>

/** Null where they are sealed to another, or are not what the dealer is committed to. */
export function openShares(
  directory: Directory,
  from: number,
  to: number,
  channel: PrivateKey,
  sealed: Uint8Array,
  commitments: Uint8Array,
): HeldShares | null {
  const key = channelKey(directory, channel, directory.keys[from]!.channel, from, to)
  const text = unseal(key, sealed, commitments)
  if (text === null || text.length !== 2 * secretBytes) return null
  const shares = { seed: text.slice(0, secretBytes), 'mask-key': text.slice(secretBytes) }
  const fits = (what: SharedSecret, at: number): boolean =>
    equalBytes(shareCommitment(directory, what, from, to, shares[what]), commitments.subarray(at, at + commitmentBytes))
  return fits('seed', 0) && fits('mask-key', commitmentBytes) ? shares : null
}

/** Each way its own key, which seals one text. */
function channelKey(directory: Directory, own: PrivateKey, other: Uint8Array, from: number, to: number): Uint8Array {
  return deriveKey(agreed(own, other), directory.id, `channel/${from}/${to}`)
}

/** The masks of a contribution: the own one, and one with each other dealer, added by the lower of the two places. */
export function masksOf(directory: Directory, place: number, secrets: Secrets, dealers: Uint8Array): Masks {
  const add = [ownMaskKey(directory, secrets.seed)]
  const subtract: Uint8Array[] = []
  for (const other of placesOf(dealers)) {
    if (other === place) continue
    const key = pairMaskKey(directory, secrets.mask, place, other)
    if (other > place) add.push(key)
    else subtract.push(key)
  }
  return { add, subtract }
}

export function ownMaskKey(directory: Directory, seed: Uint8Array): Uint8Array {
  return deriveKey(seed, directory.id, 'own-mask')
}

/** The key of the mask that two peers share, from the private key of the one at `place`. */
export function pairMaskKey(directory: Directory, mask: PrivateKey, place: number, other: number): Uint8Array {
  const secret = agreed(mask, directory.keys[other]!.mask)
  return deriveKey(secret, directory.id, `pair-mask/${Math.min(place, other)}/${Math.max(place, other)}`)
}

function agreed(own: PrivateKey, other: Uint8Array): Uint8Array {
  const secret = agree(own, other)
  // `isPublicKey` has been asked of every key of a directory.
  if (secret === null) throw new Error('a key of the directory agrees on nothing')
  return secret
}

/** Whether a secret is the one that a peer's keys stand for. */
export function isSecretOf(keys: Keys, what: SharedSecret, secret: Uint8Array): boolean {
  if (what === 'seed') return equalBytes(seedCommitment(secret), keys.seed)
  return isPublicKey(keys.mask) && equalBytes(privateKeyOf(secret).publicKey, keys.mask)
}
