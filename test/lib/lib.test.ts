import { blake3 } from '@noble/hashes/blake3.js'
import * as assert from 'uvu/assert'
import { z } from 'zod'
import {
  cidOf,
  compareBytes,
  createRateLimiter,
  decode,
  encode,
  errorCode,
  manualClock,
  OwmError,
  startInOrder,
  xorDistance,
} from '../../src/lib/index.ts'
import { suite } from '../suite.ts'

const test = suite('lib')

test('decode takes the canonical encoding alone', () => {
  const schema = z.strictObject({ a: z.number(), b: z.string() })
  const bytes = encode({ b: 'x', a: 1 })
  assert.equal(decode(bytes, schema, 100), { a: 1, b: 'x' })
  assert.throws(
    () => decode(bytes, schema, 3),
    (error: OwmError) => error.code === 'oversized',
  )
  assert.throws(
    () => decode(new Uint8Array([...bytes, 0]), schema, 100),
    (error: OwmError) => error.code === 'malformed',
  )
  assert.throws(
    () => decode(encode({ a: 1 }), schema, 100),
    (error: OwmError) => error.code === 'schema_mismatch',
  )
  const longForm = new Uint8Array([0xa1, 0x61, 0x61, 0x18, 0x01])
  assert.throws(
    () => decode(longForm, z.object({ a: z.number() }), 100),
    (error: OwmError) => error.code === 'malformed',
  )
})

test('a CID is BLAKE3 over dag-cbor', () => {
  const cid = cidOf(encode({}))
  assert.is(cid.code, 0x71)
  assert.is(cid.multihash.code, 0x1e)
  assert.equal(cid.multihash.digest, blake3(encode({})))
})

test('a rate limit refills with time, by key', () => {
  const clock = manualClock()
  const limiter = createRateLimiter({ perSecond: 2, burst: 3 }, clock)
  assert.equal(
    [1, 2, 3, 4].map(() => limiter.take('a')),
    [true, true, true, false],
  )
  assert.ok(limiter.take('b'))
  clock.advance(1000)
  assert.equal(
    [1, 2, 3].map(() => limiter.take('a')),
    [true, true, false],
  )
})

test('a manual clock runs what falls due, in order', () => {
  const clock = manualClock(0)
  const seen: string[] = []
  clock.after(20, () => seen.push('b'))
  clock.after(10, () => {
    seen.push('a')
    clock.after(5, () => seen.push('a2'))
  })
  const callOff = clock.after(12, () => seen.push('never'))
  callOff()
  clock.advance(30)
  assert.equal(seen, ['a', 'a2', 'b'])
  assert.is(clock.now(), 30)
})

test('parts start in order and stop in reverse, also when one fails', async () => {
  const seen: string[] = []
  const part = (name: string, fails = false) => ({
    start: async () => {
      seen.push(`+${name}`)
      if (fails) throw new OwmError('broken', name)
    },
    stop: async () => void seen.push(`-${name}`),
  })
  const stop = await startInOrder([part('a'), part('b')], () => undefined)
  await stop()
  await stop()
  assert.equal(seen.splice(0), ['+a', '+b', '-b', '-a'])
  try {
    await startInOrder([part('a'), part('b', true)], () => undefined)
    assert.unreachable()
  } catch (error) {
    assert.is(errorCode(error), 'broken')
  }
  assert.equal(seen, ['+a', '+b', '-b', '-a'])
})

test('distance is XOR and order is bytewise', () => {
  assert.equal(xorDistance(new Uint8Array([1, 2]), new Uint8Array([3, 2])), new Uint8Array([2, 0]))
  assert.ok(compareBytes(new Uint8Array([1]), new Uint8Array([1, 0])) < 0)
})

test.run()
