import { ed25519 } from '@noble/curves/ed25519.js'
import { numberToBytesLE } from '@noble/curves/utils.js'
import * as assert from 'uvu/assert'
import { hasSmallOrder, isCanonicalPoint } from '../../src/identity/points.ts'
import { suite } from '../suite.ts'

const test = suite('points')
const p = 2n ** 255n - 19n
const order8 = ed25519.Point.fromHex('26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05')

test('the eight points of small order are known, and no other is taken for one', () => {
  const eight = Array.from({ length: 8 }, (_, i) => order8.multiplyUnsafe(BigInt(i)).toBytes())
  assert.is(new Set(eight.map((bytes) => Buffer.from(bytes).toString('hex'))).size, 8)
  for (const bytes of eight) assert.ok(hasSmallOrder(bytes))
  for (const bytes of eight) {
    assert.not(hasSmallOrder(ed25519.Point.fromBytes(bytes).add(ed25519.Point.BASE).toBytes()))
  }
  // The first byte alone decides nothing.
  assert.not(hasSmallOrder(numberToBytesLE(1n + 2n ** 100n, 32)))
})

test('y is canonical below p, whatever the sign of x', () => {
  const withSign = (bytes: Uint8Array): Uint8Array => bytes.map((byte, i) => (i === 31 ? byte | 0x80 : byte))
  for (const y of [0n, 1n, 0xedn, 0xffn, p - 1n, p - 0xedn, p - 2n ** 248n]) {
    assert.ok(isCanonicalPoint(numberToBytesLE(y, 32)))
    assert.ok(isCanonicalPoint(withSign(numberToBytesLE(y, 32))))
  }
  for (let i = 0n; i < 19n; i++) {
    assert.not(isCanonicalPoint(numberToBytesLE(p + i, 32)))
    assert.not(isCanonicalPoint(withSign(numberToBytesLE(p + i, 32))))
  }
})

test.run()
