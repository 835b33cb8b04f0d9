import { CID } from 'multiformats/cid'
import { blake3Of, encode, OwmError } from '../../lib/index.ts'
import { isPublicKey } from './agreement.ts'
import type { Keys } from './statements.ts'
import { checkShape, maxPeers, type SumShape } from './sum-shape.ts'

/** One attempt at one sum: the attempt of a round of a run. Nothing secret of it is used in another. */
export interface Session {
  readonly run: string
  readonly round: number
  readonly attempt: number
}

/** What all know before it starts. */
export interface SessionConfig extends Session {
  /** The peers that may take part, ascending. */
  readonly invited: readonly string[]
  /** Who gathers and unmasks, in the order in which they lead. */
  readonly committee: readonly string[]
  /** So many shares open a secret; so many peers must be left at the end. */
  readonly threshold: number
  /** `peers` is the number of those invited. */
  readonly shape: SumShape
}

/** Fewer peers would know each other's contribution from the sum and their own. */
const minThreshold = 3

/** The default: as many as two thirds and one, which bears a third of liars and a third that vanishes. */
export function defaultThreshold(peers: number): number {
  return Math.max(minThreshold, Math.floor((2 * peers) / 3) + 1)
}

/**
 * How many peers may lie together with the whole committee, and still learn nothing but the sum of at least two others.
 * Bonawitz et al. (2017), theorem 6.5: two survivor lists with `threshold` consents each would take
 * `2 threshold - peers` peers that sign both.
 */
export function toleratedColluders(peers: number, threshold: number): number {
  return Math.max(0, Math.min(2 * threshold - peers - 1, threshold - 2))
}

/** @throws OwmError `bad_privacy` */
export function checkSession({ invited, threshold, shape, committee }: SessionConfig): void {
  checkShape(shape)
  const ascending = invited.every((peer, i) => i === 0 || invited[i - 1]! < peer)
  if (!ascending || invited.length !== shape.peers || invited.length > maxPeers || committee.length === 0) {
    throw new OwmError('bad_privacy', 'The peers of a secure sum are ascending, and as many as its shape says.')
  }
  checkThreshold(invited.length, threshold)
}

/** @throws OwmError `bad_privacy` */
export function checkThreshold(peers: number, threshold: number): void {
  if (Number.isInteger(threshold) && threshold >= minThreshold && threshold <= peers && 2 * threshold > peers) return
  throw new OwmError(
    'bad_privacy',
    `A threshold of ${threshold} for ${peers} peers: it must be at least ${minThreshold} and more than half of them.`,
  )
}

/** The salt of what is derived before there is a directory. */
export function sessionId({ run, round, attempt }: Session): Uint8Array {
  return blake3Of(encode(['owm-secure-aggregation', CID.parse(run), round, attempt]))
}

/** The peers that take part, with their keys: peer i of it is `keys[i]`. */
export interface Directory {
  /** All that is derived later depends on it: two directories have no secret in common. */
  readonly id: Uint8Array
  readonly keys: readonly Keys[]
  readonly places: ReadonlyMap<string, number>
}

export function directoryOf(session: Session, keys: readonly Keys[]): Directory {
  const documents = keys.map((one) => one.document)
  const id = blake3Of(encode(['owm-secure-aggregation-directory', sessionId(session), documents]))
  return { id, keys, places: new Map(keys.map((one, place) => [one.peer, place])) }
}

/** Why a list of keys is not a directory of this session, or null. */
export function directoryObjection(config: SessionConfig, keys: readonly Keys[]): string | null {
  if (keys.length < config.threshold) return 'too_few_peers'
  const invited = new Set(config.invited)
  const seen = new Set<string>()
  for (const [i, one] of keys.entries()) {
    if (i > 0 && keys[i - 1]!.peer >= one.peer) return 'not_sorted'
    const code = keysObjection(config, invited, one)
    if (code !== null) return code
    for (const key of [one.channel, one.mask]) {
      const hex = Buffer.from(key).toString('latin1')
      if (seen.has(hex)) return 'bad_key'
      seen.add(hex)
    }
  }
  return null
}

export function keysObjection(config: SessionConfig, invited: ReadonlySet<string>, keys: Keys): string | null {
  if (!isOfSession(config, keys)) return 'wrong_session'
  if (!invited.has(keys.peer)) return 'not_invited'
  return isPublicKey(keys.channel) && isPublicKey(keys.mask) ? null : 'bad_key'
}

export function isOfSession(session: Session, other: Session): boolean {
  return session.run === other.run && session.round === other.round && session.attempt === other.attempt
}
