import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { encode, toHex } from '../../src/lib/index.ts'
import type { Known } from '../../src/manifests/live-view.ts'
import { judgeManifest } from '../../src/manifests/validator.ts'
import { suite } from '../suite.ts'
import { claimVectors, vectorBytes } from '../vectors.ts'
import { body, fields, manifest, meshId, nowMs, signedDocument, testAuthor } from './documents.ts'

const test = suite('manifest validator')
const author = testAuthor(1)
const nobody = { meshId, known: () => undefined }

for (const vector of claimVectors('manifests')) {
  test(`vector ${vector.valid ? 'valid' : 'invalid'}/${vector.name}`, () => {
    const { mesh, nowMs, known, expect } = vector.content as {
      readonly mesh: string
      readonly nowMs: number
      readonly known?: { readonly sequence: number; readonly document?: string; readonly quietUntilMs: number }
      readonly expect: { readonly verdict: string; readonly code?: string }
    }
    const earlier: Known | undefined = known && {
      sequence: known.sequence,
      quietUntilMs: known.quietUntilMs,
      ...(known.document !== undefined && { document: new Uint8Array(Buffer.from(known.document, 'hex')) }),
    }
    const judgement = judgeManifest(vectorBytes(vector, 'document'), nowMs, { meshId: mesh, known: () => earlier })
    assert.is(judgement.verdict, expect.verdict, JSON.stringify(judgement))
    if (judgement.verdict !== 'accept') assert.is(judgement.code, expect.code, judgement.message)
    assert.is(judgement.verdict === 'accept', vector.valid)
  })
}

test('an accepted manifest holds what was signed, and a copy of the bytes', () => {
  const large = new Uint8Array(10_000)
  const document = manifest(author, { sequence: 5 })
  large.set(document, 100)
  const judgement = judgeManifest(large.subarray(100, 100 + document.length), nowMs, nobody)
  if (judgement.verdict !== 'accept') return assert.unreachable(judgement.code)
  large.fill(0)
  assert.is(judgement.value.author, toHex(author.publicKey))
  assert.is(judgement.value.sequence, 5)
  assert.equal(judgement.value.body, body)
  assert.equal(judgement.value.document, document)
  assert.is(judgement.value.document.buffer.byteLength, document.byteLength)
})

test('random bytes are refused and nothing is thrown', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 5000 }), (bytes) => {
      const judgement = judgeManifest(bytes, nowMs, nobody)
      assert.is(judgement.verdict, 'reject')
    }),
    { numRuns: 2000 },
  )
})

test('any change of a byte, any cut and any insertion is refused', () => {
  const document = manifest(author)
  fc.assert(
    fc.property(fc.nat(document.length - 1), fc.integer({ min: 1, max: 255 }), (at, mask) => {
      const changed = new Uint8Array(document)
      changed[at]! ^= mask
      assert.is.not(judgeManifest(changed, nowMs, nobody).verdict, 'accept')
    }),
    { numRuns: 2000 },
  )
  for (let length = 0; length < document.length; length++) {
    assert.is.not(judgeManifest(document.subarray(0, length), nowMs, nobody).verdict, 'accept')
  }
  fc.assert(
    fc.property(fc.nat(document.length), fc.uint8Array({ minLength: 1, maxLength: 64 }), (at, extra) => {
      const changed = new Uint8Array([...document.subarray(0, at), ...extra, ...document.subarray(at)])
      assert.is.not(judgeManifest(changed, nowMs, nobody).verdict, 'accept')
    }),
    { numRuns: 1000 },
  )
})

test('well signed documents of any content are judged, never thrown on; what is accepted fits the schema', () => {
  const odd = fc.oneof(
    fc.anything({ withBigInt: false, withTypedArray: false, maxDepth: 4 }),
    fc.bigInt({ min: -(2n ** 63n), max: 2n ** 64n - 1n }),
    fc.integer({ min: 200, max: 5000 }).map((length) => 'x'.repeat(length)),
    fc.integer({ min: 1, max: 1500 }).map((depth) => {
      let value: unknown = 0
      for (let i = 0; i < depth; i++) value = [value]
      return value
    }),
    fc.double(),
    fc.constant(null),
  )
  const codes = new Set<string>()
  let judged = 0
  fc.assert(
    fc.property(
      fc.constantFrom('contract', 'mesh', 'sequence', 'issuedMs', 'expiresMs', 'body'),
      fc.constantFrom(...Object.keys(body)),
      fc.boolean(),
      odd,
      (header, field, inBody, value) => {
        let payload: Uint8Array
        try {
          payload = encode(inBody ? fields({ body: { ...body, [field]: value } }) : fields({ [header]: value }))
        } catch {
          return // Not a value of dag-cbor: `undefined`, NaN, a symbol.
        }
        judged++
        const judgement = judgeManifest(signedDocument(author, payload), nowMs, nobody)
        if (judgement.verdict === 'accept') assert.equal(Object.keys(judgement.value.body ?? {}).length, 13)
        else codes.add(judgement.code)
      },
    ),
    { numRuns: 3000 },
  )
  assert.ok(judged > 1000, `only ${judged} documents could be encoded`)
  for (const code of ['oversized', 'schema_mismatch']) assert.ok(codes.has(code), [...codes].join())
  assert.not.ok(codes.has('internal_error'), 'an error of ours')
})

test.run()
