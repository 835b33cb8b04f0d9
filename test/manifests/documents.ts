import { createPrivateKey, createPublicKey, type KeyObject, sign } from 'node:crypto'
import { encode } from '../../src/lib/index.ts'
import type { ManifestBody } from '../../src/manifests/index.ts'

/** A key from a number, for documents that must be the same in each run. */
export interface TestAuthor {
  readonly publicKey: Uint8Array
  readonly key: KeyObject
}

export function testAuthor(number: number): TestAuthor {
  // PKCS #8 of an Ed25519 key (RFC 8410) is a fixed prefix and the seed.
  const seed = Buffer.alloc(32)
  seed.writeUInt32BE(number, 28)
  const der = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), seed])
  const key = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
  const spki = createPublicKey(key).export({ format: 'der', type: 'spki' })
  return { publicKey: new Uint8Array(spki.subarray(-32)), key }
}

/** A signed document made by hand, after `protocols/signed`, so that the code is not checked against itself. */
export function signedDocument(author: TestAuthor, payload: Uint8Array, domain = 'manifest'): Uint8Array {
  const message = Buffer.concat([Buffer.from(`owm:${domain}\0`, 'latin1'), payload])
  const signature = new Uint8Array(sign(null, message, author.key))
  return encode({ payload, author: author.publicKey, signature })
}

export const body: ManifestBody = {
  tier: 't1',
  cpuOnly: true,
  cores: 2,
  ramBytes: 16_000_000_000,
  vramBytes: 0,
  upBitsPerSecond: 0,
  downBitsPerSecond: 0,
  capabilities: [{ name: 'fl_round', version: '1.0', priceMsat: 0 }],
  loadPermille: 250,
  models: [],
  addresses: ['/ip4/192.0.2.7/tcp/4001'],
  gateway: null,
  agent: 'owm/0.1.0',
}

export interface TestFields {
  readonly contract: unknown
  readonly mesh: unknown
  readonly sequence: unknown
  readonly issuedMs: unknown
  readonly expiresMs: unknown
  readonly body: unknown
}
export const meshId = 'testmesh'
export const nowMs = 1_790_000_000_000

export function fields(changes: Partial<TestFields> = {}): TestFields {
  return {
    contract: 1,
    mesh: meshId,
    sequence: nowMs,
    issuedMs: nowMs,
    expiresMs: nowMs + 180_000,
    body,
    ...changes,
  }
}

export function manifest(author: TestAuthor, changes: Partial<TestFields> = {}): Uint8Array {
  return signedDocument(author, encode(fields(changes)))
}
