import { createPrivateKey, sign as edSign, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { privateKeyFromRaw } from '@libp2p/crypto/keys'
import type { PeerId, PrivateKey } from '@libp2p/interface'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { encode } from '../lib/index.ts'
import type { Identity } from './index.ts'
import { signedBytes } from './signed.ts'

/** A fresh key that lives in memory alone. */
export function createIdentity(): Identity {
  return new KeyIdentity(generateKeyPairSync('ed25519').privateKey)
}

/** PEM, PKCS#8: what `openssl genpkey -algorithm ed25519` writes. */
export function generatePem(): string {
  return generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }) as string
}

/** Undefined when the text is not an unencrypted Ed25519 private key in PEM. */
export function identityFromPem(pem: Buffer): Identity | undefined {
  try {
    const key = createPrivateKey({ key: pem, format: 'pem' })
    return key.asymmetricKeyType === 'ed25519' ? new KeyIdentity(key) : undefined
  } catch {
    return undefined
  }
}

/** The key is behind `#` and getters, so that neither `JSON.stringify` nor `util.inspect` of an identity can leak it. */
class KeyIdentity implements Identity {
  readonly peerId: PeerId
  readonly publicKey: Uint8Array
  readonly #key: KeyObject
  readonly #libp2pKey: PrivateKey

  constructor(key: KeyObject) {
    const { d = '', x = '' } = key.export({ format: 'jwk' })
    this.publicKey = new Uint8Array(Buffer.from(x, 'base64url'))
    this.#key = key
    // libp2p's raw form of an Ed25519 private key is seed and public key in a row.
    this.#libp2pKey = privateKeyFromRaw(new Uint8Array([...Buffer.from(d, 'base64url'), ...this.publicKey]))
    this.peerId = peerIdFromPrivateKey(this.#libp2pKey)
  }

  get privateKey(): PrivateKey {
    return this.#libp2pKey
  }

  sign(domain: string, payload: Uint8Array): Uint8Array {
    const signature = new Uint8Array(edSign(null, signedBytes(domain, payload), this.#key))
    return encode({ payload, author: this.publicKey, signature })
  }
}
