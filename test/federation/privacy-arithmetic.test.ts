import { createCipheriv } from 'node:crypto'
import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { agree, deriveKey, isPublicKey, privateKeyOf, seal, unseal } from '../../src/federation/privacy/agreement.ts'
import {
  type ContributionShape,
  contributionOf,
  meanOf,
  sumShapeOf,
  unmaskSum,
} from '../../src/federation/privacy/contribution.ts'
import { decodeInput, encodeInput, maxInputBytes } from '../../src/federation/privacy/input-block.ts'
import { keystream } from '../../src/federation/privacy/keystream.ts'
import { applyMasks } from '../../src/federation/privacy/masking.ts'
import { combineShares, dealShares, invert, multiply, weightsAtZero } from '../../src/federation/privacy/shamir.ts'
import { modulusBits, pack, packedBytes, signedElement, unpack } from '../../src/federation/privacy/sum-shape.ts'
import { errorCode, toHex } from '../../src/lib/index.ts'
import { suite } from '../suite.ts'

const test = suite('arithmetic of secure sums')

const hex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'hex'))
const word = fc.integer({ min: 0, max: 0xffff })
const bytes32 = fc.uint8Array({ minLength: 32, maxLength: 32 })
const codeOf = (work: () => unknown): string => {
  try {
    work()
    return 'none'
  } catch (error) {
    return errorCode(error)
  }
}

test('GF(2^16) is a field', () => {
  fc.assert(
    fc.property(word, word, word, (a, b, c) => {
      assert.is(multiply(a, b), multiply(b, a))
      assert.is(multiply(multiply(a, b), c), multiply(a, multiply(b, c)))
      assert.is(multiply(a, b ^ c), multiply(a, b) ^ multiply(a, c))
      assert.is(multiply(a, 1), a)
      if (a !== 0) assert.is(multiply(a, invert(a)), 1)
    }),
  )
  // No two elements have one inverse: the polynomial is irreducible.
  const inverses = new Set<number>()
  for (let a = 1; a <= 0xffff; a += 13) inverses.add(invert(a))
  assert.is(inverses.size, Math.ceil(0xffff / 13))
})

test('any threshold of shares gives the secret; one fewer, or a wrong one, another', () => {
  fc.assert(
    fc.property(
      bytes32,
      bytes32,
      fc.integer({ min: 1, max: 12 }),
      fc.integer({ min: 0, max: 6 }),
      (secret, key, t, more) => {
        const shares = dealShares(secret, key, t, t + more)
        const points = shares.map((_, i) => i + 1)
        const combine = (chosen: readonly number[], of = shares) =>
          combineShares(
            chosen.map((point) => of[point - 1] ?? new Uint8Array()),
            weightsAtZero(chosen),
          )
        assert.equal(combine(points.slice(0, t)), secret)
        assert.equal(combine(points.slice(-t).toReversed()), secret)
        if (t > 1) assert.not.equal(combine(points.slice(1, t)), secret)
        const wrong = shares.map((share) => share.slice())
        wrong[0]![9]! ^= 4
        assert.not.equal(combine(points.slice(0, t), wrong), secret)
      },
    ),
    { numRuns: 60 },
  )
})

test('shares below the threshold are the same for any secret, but for what the polynomial makes of it', () => {
  // With the same coefficients, two secrets give shares that differ by the same constant at every point: one share
  // says nothing of which it was.
  const key = new Uint8Array(32).fill(5)
  const a = dealShares(new Uint8Array(32).fill(1), key, 3, 4)
  const b = dealShares(new Uint8Array(32).fill(2), key, 3, 4)
  for (const [i, share] of a.entries())
    assert.equal(
      share,
      b[i]!.map((byte) => byte ^ 3),
    )
  assert.is(
    codeOf(() => dealShares(new Uint8Array(31), key, 1, 1)),
    'bad_shares',
  )
  assert.is(
    codeOf(() => dealShares(new Uint8Array(32), key, 3, 2)),
    'bad_shares',
  )
  assert.is(
    codeOf(() => weightsAtZero([1, 1])),
    'bad_shares',
  )
  assert.is(
    codeOf(() => weightsAtZero([0, 1])),
    'bad_shares',
  )
})

test('the stream is AES-256-CTR from zero, at any length', () => {
  const key = Uint8Array.from({ length: 32 }, (_, i) => i)
  const expected = createCipheriv('aes-256-ctr', key, new Uint8Array(16)).update(new Uint8Array(400_000))
  const stream = keystream(key, 100_000)
  assert.equal(new Uint8Array(stream.buffer), new Uint8Array(expected))
  assert.is(toHex(new Uint8Array(keystream(key, 4).buffer)), 'f29000b62a499fd0a9f39a6add2e7780')
  assert.equal(keystream(key, 16_385), stream.subarray(0, 16_385))
})

test('X25519 agrees as in RFC 7748, and keys of small order or a second encoding are none', () => {
  const alice = privateKeyOf(hex('77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a'))
  const bob = privateKeyOf(hex('5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb'))
  assert.is(toHex(bob.publicKey), 'de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f')
  const secret = '4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742'
  assert.is(toHex(agree(alice, bob.publicKey) ?? new Uint8Array()), secret)
  assert.is(toHex(agree(bob, alice.publicKey) ?? new Uint8Array()), secret)
  assert.ok(isPublicKey(alice.publicKey) && isPublicKey(bob.publicKey))
  const prime = 'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f'
  const bad = [
    '0000000000000000000000000000000000000000000000000000000000000000',
    '0100000000000000000000000000000000000000000000000000000000000000',
    'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
    'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
    '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
    prime,
    `ee${prime.slice(2)}`,
    // The top bit does not count in X25519: it would be a second name for one key.
    `${toHex(bob.publicKey).slice(0, 62)}cf`,
  ]
  for (const key of bad) assert.not.ok(isPublicKey(hex(key)), key)
  assert.not.ok(isPublicKey(new Uint8Array(31)))
})

test('what is sealed opens with its key and what it came with, and with nothing else', () => {
  const key = deriveKey(new Uint8Array(32).fill(1), new Uint8Array(32), 'test')
  assert.not.equal(key, deriveKey(new Uint8Array(32).fill(1), new Uint8Array(32), 'test2'))
  const text = new Uint8Array(64).fill(9)
  const sealed = seal(key, text, new Uint8Array([1]))
  assert.is(sealed.length, 80)
  assert.equal(unseal(key, sealed, new Uint8Array([1])), text)
  assert.is(unseal(key, sealed, new Uint8Array([2])), null)
  assert.is(unseal(new Uint8Array(32), sealed, new Uint8Array([1])), null)
  assert.is(unseal(key, sealed.slice(0, 15), new Uint8Array([1])), null)
  for (let i = 0; i < sealed.length; i += 7) {
    const changed = sealed.slice()
    changed[i]! ^= 128
    assert.is(unseal(key, changed, new Uint8Array([1])), null)
  }
})

test('elements of any width pack tightly and come back', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 2, max: 22 }),
      fc.integer({ min: 2, max: 1024 }),
      fc.uint8Array({ minLength: 4, maxLength: 800 }),
      (bits, peers, random) => {
        const elements = new Uint32Array(random.slice(0, random.length - (random.length % 4)).buffer)
        const shape = { length: elements.length, bits, peers }
        const width = modulusBits(shape)
        const packed = pack(elements, shape)
        assert.is(packed.length, Math.ceil((elements.length * width) / 8))
        const back = unpack(packed, shape) ?? new Uint32Array()
        assert.equal(
          [...back],
          [...elements].map((element) => element % 2 ** width),
        )
        for (const [i, element] of back.entries()) {
          assert.is(
            signedElement(element, width) & (2 ** width - 1),
            signedElement(elements[i]!, width) & (2 ** width - 1),
          )
        }
        assert.is(unpack(packed.slice(1), shape), null)
      },
    ),
  )
  assert.is(unpack(new Uint8Array([0xff]), { length: 2, bits: 2, peers: 2 }), null, 'stray bits')
  assert.is(packedBytes({ length: 199_215, bits: 16, peers: 32 }), 522_940)
})

test('a masked block is read only in its one form', () => {
  const shape = { length: 5, bits: 16, peers: 5 }
  const block = encodeInput(new Uint32Array([1, 2, 3, 4, 2 ** 32 - 1]), shape)
  assert.ok(block.length <= maxInputBytes(shape))
  assert.equal([...decodeInput(block, shape)], [1, 2, 3, 4, 2 ** 19 - 1])
  assert.is(
    codeOf(() => decodeInput(block, { ...shape, length: 4 })),
    'wrong_shape',
  )
  assert.is(
    codeOf(() => decodeInput(block, { ...shape, bits: 17 })),
    'wrong_shape',
  )
  assert.is(
    codeOf(() => decodeInput(block.slice(0, -1), shape)),
    'malformed',
  )
  assert.is(
    codeOf(() => decodeInput(new Uint8Array(2_000), shape)),
    'oversized',
  )
  for (const bad of [
    { length: 0, bits: 16, peers: 5 },
    { length: 5, bits: 31, peers: 5 },
    { length: 5, bits: 16, peers: 1025 },
    { length: 5.5, bits: 16, peers: 5 },
  ]) {
    assert.is(
      codeOf(() => maxInputBytes(bad)),
      'bad_privacy',
      JSON.stringify(bad),
    )
  }
})

test('masks cancel, and what they hide comes back as the weighted mean', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.tuple(
          fc.float32Array({ minLength: 9, maxLength: 9, min: -1, max: 1, noNaN: true }),
          fc.integer({ min: 1, max: 900 }),
        ),
        {
          minLength: 2,
          maxLength: 9,
        },
      ),
      (updates) => {
        const shape: ContributionShape = {
          parameters: 9,
          bits: 18,
          peers: updates.length,
          unitExponent: -16,
          maxSamples: 600,
        }
        const keys = updates.map((_, i) => new Uint8Array(32).fill(i + 1))
        const inputs = updates.map(([delta, samples], i) => {
          const elements = contributionOf(delta, samples, shape)
          // Each masks with the next in a ring.
          applyMasks(elements, { add: [keys[i]!], subtract: [keys[(i + 1) % keys.length]!] })
          return decodeInput(encodeInput(elements, sumShapeOf(shape)), sumShapeOf(shape))
        })
        const sum = unmaskSum(inputs, { add: [], subtract: [] }, shape)
        const mean = meanOf(sum, shape)
        const weights = updates.map(([, samples]) => Math.min(samples, 600))
        const total = weights.reduce((a, b) => a + b, 0)
        assert.is(sum.samples, total)
        for (let i = 0; i < 9; i++) {
          const exact = updates.reduce((s, [delta], u) => s + delta[i]! * weights[u]!, 0) / total
          const slack = (updates.length * 0.5 * 2 ** -16 * 600) / total
          assert.ok(Math.abs(mean[i]! - exact) <= slack + 1e-12, `${mean[i]} ${exact}`)
        }
        const missing = unmaskErrors(inputs.slice(1), shape)
        assert.is(missing, 'wrong_sum')
      },
    ),
    { numRuns: 40 },
  )
})
const unmaskErrors = (inputs: readonly Uint32Array[], shape: ContributionShape): string =>
  codeOf(() => unmaskSum(inputs, { add: [], subtract: [] }, shape))

test('values beyond the range are cut, what is no number is zero', () => {
  const shape: ContributionShape = { parameters: 4, bits: 8, peers: 2, unitExponent: -4, maxSamples: 1 }
  const elements = contributionOf(new Float32Array([1e9, -1e9, Number.NaN, 0.5]), 5, shape)
  assert.equal(
    [...elements].map((element) => element | 0),
    [127, -127, 0, 8, 1, 0, 0, 0, 0],
  )
  assert.is(
    codeOf(() => sumShapeOf({ ...shape, maxSamples: 128 })),
    'bad_privacy',
  )
  assert.is(
    codeOf(() => sumShapeOf({ ...shape, unitExponent: 1 })),
    'bad_privacy',
  )
  assert.is(
    codeOf(() => contributionOf(new Float32Array(3), 1, shape)),
    'bad_privacy',
  )
})

test.run()
