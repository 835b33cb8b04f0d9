import { peerIdFromString } from '@libp2p/peer-id'
import { CID } from 'multiformats/cid'
import { blake3Of, compareBytes, encode, sha256Of, xorDistance } from '../lib/index.ts'

export type Faults = 'crash' | 'byzantine'

/** How many members may lie without harm: f of 3f+1 (Castro and Liskov 1999), none where only crashes are expected. */
export function liarsOf(faults: Faults, members: number): number {
  return faults === 'byzantine' ? Math.floor((members - 1) / 3) : 0
}

/** Any two quorums share a member that does not lie: a majority, or 2f+1 of 3f+1. */
export function quorumOf(faults: Faults, members: number): number {
  return Math.floor((members + liarsOf(faults, members)) / 2) + 1
}

/** BLAKE3 over dag-cbor, so that nobody can choose it: it hangs on the certificate before. */
export function roundSeed(run: string, round: number, previous: string, attempt: number): Uint8Array {
  return blake3Of(encode(['owm-round-seed', CID.parse(run), round, CID.parse(previous), attempt]))
}

const keys = new Map<string, Uint8Array>()
/** More than any roster; the oldest are forgotten first. */
const maxKeys = 8192

/** A peer's place in the DHT: SHA-256 of its id's multihash (libp2p kad-dht specification). */
export function kademliaKey(peer: string): Uint8Array {
  let key = keys.get(peer)
  if (key === undefined) {
    key = sha256Of(peerIdFromString(peer).toMultihash().bytes)
    keys.set(peer, key)
    if (keys.size > maxKeys) keys.delete(keys.keys().next().value ?? '')
  }
  return key
}

/** The `size` peers of the roster closest to the seed, nearest first: the order in which they lead. */
export function electCommittee(seed: Uint8Array, roster: readonly string[], size: number): string[] {
  return roster
    .map((peer) => ({ peer, distance: xorDistance(kademliaKey(peer), seed) }))
    .sort((a, b) => compareBytes(a.distance, b.distance))
    .slice(0, size)
    .map(({ peer }) => peer)
}
