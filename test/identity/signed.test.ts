import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { createIdentity, loadOrCreateIdentity, peerIdOf, verifySigned } from '../../src/identity/index.ts'
import { encode, RejectedError, toHex } from '../../src/lib/index.ts'
import { suite } from '../suite.ts'
import { claimVectors, type Vector, vectorBytes } from '../vectors.ts'

const test = suite('signed documents')
const folder = mkdtempSync(join(tmpdir(), 'owm-signed-'))
const vectors = claimVectors('signed')
const identity = createIdentity()
test.after(() => rmSync(folder, { recursive: true }))

for (const vector of vectors.filter((vector) => vector.valid)) {
  test(`valid: ${vector.name}`, async () => {
    const document = vectorBytes(vector, 'document')
    const signed = verifySigned(domainOf(vector), document, Number(vector.content['maxBytes']))
    assert.equal(toHex(signed.payload), vector.content['payload'])
    assert.equal(toHex(signed.publicKey), vector.content['author'])
    assert.is(signed.author.toString(), vector.content['peerId'])
    assert.is(peerIdOf(signed.publicKey).toString(), vector.content['peerId'])
    if (vector.content['secretKey'] === undefined) return
    // Ed25519 is deterministic: the same key writes the same bytes.
    const author = await identityOf(vectorBytes(vector, 'secretKey'), vector.name)
    assert.equal(toHex(author.sign(domainOf(vector), signed.payload)), toHex(document))
  })
}

for (const vector of vectors.filter((vector) => !vector.valid)) {
  test(`invalid: ${vector.name}`, () => {
    const bytes = vectorBytes(vector, 'document')
    const error = rejection(() => verifySigned(domainOf(vector), bytes, Number(vector.content['maxBytes'])))
    assert.is(error.code, vector.content['code'])
    assert.is(error.fault, 'reject')
  })
}

test('whatever is signed verifies, under its own domain alone', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (payload) => {
      const document = identity.sign('a', payload)
      const signed = verifySigned('a', document, 1000)
      assert.equal(signed.payload, payload)
      assert.ok(signed.author.equals(identity.peerId))
      assert.equal(signed.publicKey, identity.publicKey)
      assert.is(rejection(() => verifySigned('b', document, 1000)).code, 'invalid_signature')
    }),
    { numRuns: 50 },
  )
})

test('no changed byte passes, and nothing but a rejection is thrown', () => {
  const document = identity.sign('a', encode({ some: 'value', n: 7 }))
  for (let at = 0; at < document.length; at++) {
    const changed = document.slice()
    changed[at] = changed[at]! ^ (1 << (at % 8))
    rejection(() => verifySigned('a', changed, 1000))
  }
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
      rejection(() => verifySigned('a', bytes, 1000))
    }),
    { numRuns: 500 },
  )
})

test('a domain that could be confused with another is a mistake of the caller', () => {
  for (const domain of ['', 'a\0b', 'a b', 'ä', 'x'.repeat(129)]) {
    assert.throws(
      () => identity.sign(domain, new Uint8Array()),
      (error: { code: string }) => error.code === 'internal_error',
    )
  }
})

test.run()

function domainOf(vector: Vector): string {
  return String(vector.content['domain'])
}

function rejection(run: () => unknown): RejectedError {
  try {
    run()
  } catch (error) {
    if (error instanceof RejectedError) return error
    throw error
  }
  throw new Error('nothing was rejected')
}

async function identityOf(seed: Uint8Array, name: string) {
  // PKCS#8 of an Ed25519 key (RFC 8410, 7): a fixed prefix, then the seed.
  const der = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), seed])
  const path = join(folder, `${name}.key`)
  writeFileSync(path, `-----BEGIN PRIVATE KEY-----\n${der.toString('base64')}\n-----END PRIVATE KEY-----\n`, {
    mode: 0o600,
  })
  return (await loadOrCreateIdentity(path)).identity
}
