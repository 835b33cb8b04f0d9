/**
 * Who a peer is: one Ed25519 key in one file, its libp2p peer id, and what is done with the key: signing documents
 * under a domain, verifying others', and sealing to a recipient.
 *
 * A signed document is `{ payload, author, signature }`: the payload's bytes, the author's 32-byte public key, and an
 * Ed25519 signature (RFC 8032) over `"owm:" || domain || 0x00 || payload`. No signature of one domain is one of another.
 *
 * @example
 * const identity = await loadIdentity('/home/me/.owm/identity.key')
 * const document = identity.sign('manifest', encode(body))
 * const { payload, author } = verifySigned('manifest', document)
 */
import type { PeerId, PrivateKey } from '@libp2p/interface'

export interface Identity {
  readonly peerId: PeerId
  /** 32 bytes, raw Ed25519. */
  readonly publicKey: Uint8Array
  /** For libp2p alone. */
  readonly privateKey: PrivateKey
  /** Canonical dag-cbor of a signed document. */
  sign(domain: string, payload: Uint8Array): Uint8Array
}

export interface Signed {
  readonly payload: Uint8Array
  readonly author: PeerId
  readonly publicKey: Uint8Array
}
