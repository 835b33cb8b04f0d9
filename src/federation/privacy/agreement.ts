import {
  createCipheriv,
  createDecipheriv,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  hkdfSync,
  type KeyObject,
} from 'node:crypto'
import { keyBytes } from './keystream.ts'

/** X25519 (RFC 7748), HKDF-SHA-256 (RFC 5869) and ChaCha20-Poly1305 (RFC 8439), on raw bytes. */

/** Poly1305's tag, at the end of what is sealed. */
export const tagBytes = 16

/** The start of every HKDF info string of this protocol: no key of it is one of another. */
const infoPrefix = 'owm/secure-aggregation/1/'

export interface PrivateKey {
  readonly key: KeyObject
  /** 32 bytes. */
  readonly publicKey: Uint8Array
}

/** The pair of 32 secret bytes; RFC 7748 clamps them on use. */
export function privateKeyOf(secret: Uint8Array): PrivateKey {
  const key = createPrivateKey({ key: Buffer.from(secret), format: 'raw-private', asymmetricKeyType: 'x25519' })
  const publicKey = new Uint8Array(createPublicKey(key).export({ format: 'raw-public' }))
  return { key, publicKey }
}

/** Any private key: what it agrees on is thrown away. */
const probe = privateKeyOf(new Uint8Array(keyBytes).fill(1))

/**
 * Whether the bytes are a public key that agrees on a secret: the canonical encoding of a point not of small order. The
 * verdict is the same for every private key, since clamping makes all of them multiples of 8.
 */
export function isPublicKey(bytes: Uint8Array): boolean {
  return bytes.length === keyBytes && isBelowPrime(bytes) && agree(probe, bytes) !== null
}

/** 2^255 - 19, little-endian: other encodings of a point would make one key look like two. */
function isBelowPrime(bytes: Uint8Array): boolean {
  if ((bytes[31]! & 0x80) !== 0) return false
  if (bytes[31] !== 0x7f || bytes[0]! < 0xed) return true
  for (let i = 1; i < 31; i++) if (bytes[i] !== 0xff) return true
  return false
}

/** The shared secret of two peers, or null where the public key is of small order. */
export function agree(own: PrivateKey, other: Uint8Array): Uint8Array | null {
  try {
    const publicKey = createPublicKey({ key: Buffer.from(other), format: 'raw-public', asymmetricKeyType: 'x25519' })
    return new Uint8Array(diffieHellman({ privateKey: own.key, publicKey }))
  } catch {
    return null
  }
}

/** 32 bytes for one purpose. */
export function deriveKey(secret: Uint8Array, salt: Uint8Array, purpose: string): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', secret, salt, infoPrefix + purpose, keyBytes))
}

/** The nonce is zero: each key seals one text. */
const nonce = new Uint8Array(12)

export function seal(key: Uint8Array, text: Uint8Array, associated: Uint8Array): Uint8Array {
  const cipher = createCipheriv('chacha20-poly1305', key, nonce, { authTagLength: tagBytes })
  cipher.setAAD(associated, { plaintextLength: text.length })
  return new Uint8Array(Buffer.concat([cipher.update(text), cipher.final(), cipher.getAuthTag()]))
}

/** The text, or null where the seal is not the key's or the associated bytes are others. */
export function unseal(key: Uint8Array, sealed: Uint8Array, associated: Uint8Array): Uint8Array | null {
  if (sealed.length < tagBytes) return null
  const length = sealed.length - tagBytes
  const decipher = createDecipheriv('chacha20-poly1305', key, nonce, { authTagLength: tagBytes })
  decipher.setAuthTag(sealed.subarray(length))
  decipher.setAAD(associated, { plaintextLength: length })
  try {
    return new Uint8Array(Buffer.concat([decipher.update(sealed.subarray(0, length)), decipher.final()]))
  } catch {
    return null
  }
}
