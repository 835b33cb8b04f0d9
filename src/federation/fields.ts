import { peerIdFromString } from '@libp2p/peer-id'
import { CID } from 'multiformats/cid'
import { z } from 'zod'
import { codecs, hashes } from '../lib/index.ts'

/** The fields that several documents of this room share. */

/** Version 1, BLAKE3-256, raw or dag-cbor: what the content store makes. */
export const cidField = z.custom<CID>((value) => {
  const cid = CID.asCID(value)
  return (
    cid !== null &&
    cid.version === 1 &&
    cid.multihash.code === hashes.blake3 &&
    cid.multihash.size === 32 &&
    (cid.code === codecs.raw || cid.code === codecs.dagCbor)
  )
}, 'must be a CID of version 1 with BLAKE3')

/** A peer id of an Ed25519 key in base58btc. Not all text of that form is one, and code behind the schema relies on it. */
export const peerField = z
  .string()
  .regex(/^12D3KooW[1-9A-HJ-NP-Za-km-z]{44}$/, { error: 'must be an Ed25519 peer id', abort: true })
  .refine(isPeerId, 'must be an Ed25519 peer id')

export const roundField = z.int().min(1).max(1_000_000)
export const attemptField = z.int().min(0).max(1_000)
export const viewField = z.int().min(0).max(1_000_000)
/** Notices, votes, joins and evaluations: a few hundred bytes. */
export const maxStatementBytes = 1024

export const bytesField = (most: number) =>
  z.custom<Uint8Array>(
    (value) => value instanceof Uint8Array && value.byteLength <= most,
    `must be at most ${most} bytes`,
  )

/** A signed document within another; what it may hold is checked when it is opened. */
export const documentField = bytesField(maxStatementBytes)

function isPeerId(text: string): boolean {
  try {
    return peerIdFromString(text).toString() === text
  } catch {
    return false
  }
}
