import { createPublicKey, verify as edVerify, type KeyObject } from 'node:crypto'
import { publicKeyFromRaw } from '@libp2p/crypto/keys'
import type { PeerId } from '@libp2p/interface'
import { peerIdFromPublicKey } from '@libp2p/peer-id'
import { z } from 'zod'
import { decode, errorCode, errorMessage, OwmError, RejectedError } from '../lib/index.ts'
import type { Signed } from './index.ts'
import { hasSmallOrder, isCanonicalPoint } from './points.ts'

const publicKeyBytes = 32
const signatureBytes = 64

/** Making a KeyObject costs a third of a verification; each takes about 1 KB, so this cache stays below 20 MB. */
const maxCachedKeys = 16_384

/** Names the kind of document, with the mesh's id where it belongs to one: `manifest/<mesh id>`. */
const domainPattern = /^[A-Za-z0-9][A-Za-z0-9/._-]{0,127}$/

const bytesOf = (length: number) =>
  z.instanceof(Uint8Array).refine((value) => value.byteLength === length, { error: `must have ${length} bytes` })
const documentSchema = z.strictObject({
  payload: z.instanceof(Uint8Array),
  author: bytesOf(publicKeyBytes),
  signature: bytesOf(signatureBytes),
})

interface KnownKey {
  readonly key: KeyObject
  readonly peerId: PeerId
}
/** Least recently used first. Only keys that have made a valid signature get in. */
const knownKeys = new Map<string, KnownKey>()

/** What the signature of a document covers. */
export function signedBytes(domain: string, payload: Uint8Array): Uint8Array {
  if (!domainPattern.test(domain)) throw new OwmError('internal_error', `"${domain}" is not a domain for signatures.`)
  return Buffer.concat([Buffer.from(`owm:${domain}\0`, 'latin1'), payload])
}

/**
 * Checks a signed document from anywhere and opens it.
 *
 * @throws RejectedError with fault `reject`: `oversized`, `malformed` or `invalid_signature`
 */
export function verifySigned(domain: string, bytes: Uint8Array, maxBytes: number): Signed {
  const { payload, author, signature } = parse(bytes, maxBytes)
  const message = signedBytes(domain, payload)
  const cacheKey = Buffer.from(author).toString('latin1')
  const known = knownKeys.get(cacheKey) ?? readKey(author)
  // Small-order and non-canonical points: RFC 8032, 5.1.3 and 5.1.7, and "Taming the many EdDSAs" (2020/1244).
  // OpenSSL refuses s >= L and compares R's encoding, so a non-canonical R never passes.
  if (known === undefined || hasSmallOrder(signature) || !edVerify(null, message, known.key, signature)) {
    throw new RejectedError('reject', 'invalid_signature', `The signature of a "${domain}" document is not valid.`)
  }
  remember(cacheKey, known)
  return { payload, author: known.peerId, publicKey: author }
}

/** The libp2p peer id of a raw Ed25519 public key. */
export function peerIdOf(publicKey: Uint8Array): PeerId {
  return peerIdFromPublicKey(publicKeyFromRaw(publicKey))
}

function parse(bytes: Uint8Array, maxBytes: number): z.infer<typeof documentSchema> {
  try {
    return decode(bytes, documentSchema, maxBytes)
  } catch (error) {
    if (errorCode(error) !== 'schema_mismatch') throw error
    throw new RejectedError('reject', 'malformed', `Not a signed document: ${errorMessage(error)}.`)
  }
}

function readKey(publicKey: Uint8Array): KnownKey | undefined {
  if (!isCanonicalPoint(publicKey) || hasSmallOrder(publicKey)) return undefined
  try {
    const key = createPublicKey({ key: Buffer.from(publicKey), format: 'raw-public', asymmetricKeyType: 'ed25519' })
    return { key, peerId: peerIdOf(publicKey) }
  } catch {
    return undefined
  }
}

function remember(cacheKey: string, known: KnownKey): void {
  knownKeys.delete(cacheKey)
  knownKeys.set(cacheKey, known)
  if (knownKeys.size <= maxCachedKeys) return
  for (const oldest of knownKeys.keys()) {
    knownKeys.delete(oldest)
    return
  }
}
