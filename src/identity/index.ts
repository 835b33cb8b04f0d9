/**
 * Who a peer is: one Ed25519 key in one file, its libp2p peer id, and what is done with the key: signing documents
 * under a domain, and verifying others'.
 *
 * A signed document is `{ payload, author, signature }`: the payload's bytes, the author's 32-byte public key, and an
 * Ed25519 signature (RFC 8032) over `"owm:" || domain || 0x00 || payload`. No signature of one domain is one of another.
 * The format and its rules are in `protocols/signed/`.
 *
 * @example
 * const { identity } = await loadOrCreateIdentity('/home/me/.owm/identity.key')
 * const document = identity.sign('manifest', encode(body))
 * const { payload, author } = verifySigned('manifest', document, 4096)
 */
import type { PeerId, PrivateKey } from '@libp2p/interface'

export interface Identity {
  readonly peerId: PeerId
  /** 32 bytes, raw Ed25519. */
  readonly publicKey: Uint8Array
  /** For libp2p alone. It appears in no JSON and no inspection of the identity. */
  readonly privateKey: PrivateKey
  /** Canonical dag-cbor of a signed document. `domain` is a constant of the caller's, never something from outside. */
  sign(domain: string, payload: Uint8Array): Uint8Array
}

export interface Signed {
  readonly payload: Uint8Array
  readonly author: PeerId
  readonly publicKey: Uint8Array
}

export { createIdentity } from './key.ts'
export { loadOrCreateIdentity } from './key-file.ts'
export { peerIdOf, verifySigned } from './signed.ts'
