import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { type CodecPlan, codecPlanSchema, createCodec } from '../../src/federation/codecs/codec.ts'
import { addWeighted, maxUnits, squaredNorm, toFloats, unitsPerOne } from '../../src/federation/codecs/fixed-vector.ts'
import { maxGapBytes, packGaps, unpackGaps } from '../../src/federation/codecs/gaps.ts'
import { type Bits, levelsOf, unused } from '../../src/federation/codecs/levels.ts'
import { quantising } from '../../src/federation/codecs/quantise.ts'
import type { Scheme } from '../../src/federation/codecs/scheme.ts'
import { stepAtLeast, steps } from '../../src/federation/codecs/steps.ts'
import { topK } from '../../src/federation/codecs/top-k.ts'
import { blake3Of, RejectedError, toHex } from '../../src/lib/index.ts'
import { createRandom } from '../../src/onnx/index.ts'
import { suite } from '../suite.ts'

const test = suite('codecs of updates')

const allBits: readonly Bits[] = [1, 2, 4, 8, 16]
const quantise = (bits: Bits) => ({ kind: 'quantise', bits }) as const
const topk = (share: number, bits: Bits): CodecPlan => ({ kind: 'topk', share, values: quantise(bits) })
const plans: readonly CodecPlan[] = [...allBits.map(quantise), ...allBits.map((bits) => topk(1 / 8, bits)), topk(1, 4)]
const planOf = fc.constantFrom(...plans)
const vector = fc.oneof(
  fc.float32Array({ min: -3, max: 3, noNaN: true, maxLength: 700 }),
  fc.float32Array({ min: Math.fround(-1e-5), max: Math.fround(1e-5), noNaN: true, maxLength: 300 }),
  fc.array(fc.constantFrom(0, 0, 0, 0.5, -0.25, 1e-7, 7), { maxLength: 600 }).map((all) => Float32Array.from(all)),
)
/** The code of the refusal; anything else that is thrown fails the test. */
const refusal = (work: () => unknown): string => {
  try {
    work()
    return 'none'
  } catch (error) {
    if (!(error instanceof RejectedError)) throw error
    assert.is(error.fault, 'reject')
    return error.code
  }
}
const bell = (length: number, seed: number, scale = 0.01): Float32Array => {
  const random = createRandom(seed)
  return Float32Array.from({ length }, () => {
    let sum = -6
    for (let i = 0; i < 12; i++) sum += random.unit()
    return sum * scale
  })
}
const energy = (values: Float32Array): number => values.reduce((sum, value) => sum + value * value, 0)

test('what the receiver reads is what the sender says was sent; the rest is the residual', () => {
  fc.assert(
    fc.property(vector, planOf, (delta, plan) => {
      const codec = createCodec(plan)
      const { bytes, sent, residual } = codec.encode(delta, null)
      assert.ok(bytes.length <= codec.maxBytes(delta.length), `${bytes.length} of ${codec.maxBytes(delta.length)}`)
      assert.equal(codec.decode(bytes, delta.length), sent)
      const floats = toFloats(sent)
      for (const [i, value] of delta.entries()) {
        assert.is(residual[i], Math.fround((value * unitsPerOne - sent.units[i]!) / unitsPerOne))
        assert.ok(Math.abs(floats[i]! - sent.units[i]! / unitsPerOne) <= Math.abs(floats[i]!) * 1e-7)
      }
    }),
    { numRuns: 300 },
  )
})

test('errors stay within the bound of the codec', () => {
  // Half a step of a block's peak, where the step is at most 1/8 too long, and half a unit.
  const part: Record<number, number> = { 16: 1.125 / 32_767 / 2, 8: 1.125 / 127 / 2, 4: 1.125 / 7 / 2, 2: 1.125 / 3 }
  fc.assert(
    fc.property(vector, fc.constantFrom<Bits>(2, 4, 8, 16), (delta, bits) => {
      const { residual } = createCodec(quantise(bits)).encode(delta, null)
      for (let from = 0; from < delta.length; from += 256) {
        const block = delta.subarray(from, from + 256)
        const peak = block.reduce((most, value) => Math.max(most, Math.abs(value)), 0)
        const bound = peak * part[bits]! + 1.5 / unitsPerOne
        const off = residual.subarray(from, from + 256)
        // With few bits peaks may be cut, where that makes the whole better.
        if (bits > 4) assert.ok(off.every((value) => Math.abs(value) <= bound))
        assert.ok(energy(off) <= block.length * bound * bound * (1 + 1e-6))
      }
    }),
    { numRuns: 200 },
  )
  fc.assert(
    fc.property(vector, fc.constantFrom(quantise(1), topk(1 / 8, 1), topk(1 / 8, 4)), (delta, plan) => {
      // Error feedback needs a contraction (Stich et al. 2018); a unit of rounding is granted.
      const { residual } = createCodec(plan).encode(delta, null)
      assert.ok(energy(residual) <= energy(delta) * 1.001 + (delta.length * 2) / unitsPerOne ** 2)
    }),
    { numRuns: 200 },
  )
})

test('numbers of any size: what is not finite is nothing, what is too large is cut and not owed', () => {
  const delta = Float32Array.of(Number.NaN, Number.POSITIVE_INFINITY, 1e30, -1e30, 0, 1)
  for (const plan of plans) {
    const codec = createCodec(plan)
    const { sent, residual } = codec.encode(delta, null)
    assert.ok(sent.units.every((units) => Math.abs(units) <= maxUnits))
    assert.ok(residual.every((value) => Math.abs(value) <= 8))
  }
  const { sent } = createCodec(quantise(16)).encode(delta, null)
  assert.equal([...toFloats(sent)].map(Math.round), [0, 0, 8, -8, 0, 1])
})

/** Bytes that are read must be those that are written, and stand for a vector that no others stand for. */
function checkForms(scheme: Scheme, length: number, candidates: Iterable<Uint8Array>): number {
  const forms = new Map<string, string>()
  for (const bytes of candidates) {
    let units: Int32Array = new Int32Array()
    const code = refusal(() => {
      units = scheme.unpack(bytes, length)
    })
    if (code !== 'none') continue
    const form = toHex(bytes)
    assert.is(toHex(scheme.pack(units)), form)
    assert.ok(units.every((value) => Math.abs(value) <= maxUnits))
    const before = forms.get(units.join())
    assert.is(before, undefined, `${before} and ${form} are ${units.join()}`)
    forms.set(units.join(), form)
  }
  return forms.size
}
/** How many vectors are codes times a step. */
function countVectors(bits: Bits, sparse: boolean, length: number): number {
  const { codes, most } = levelsOf(bits, sparse)
  const used = [...codes].filter((code) => code !== unused)
  const vectors = new Set<string>()
  const fill = (step: number, values: readonly number[]): void => {
    if (values.length === length) vectors.add(values.join())
    else for (const code of step === 0 ? [0] : used) fill(step, [...values, code * step])
  }
  for (const step of steps) if (step * most <= maxUnits && !(sparse && step === 0)) fill(step, [])
  return vectors.size
}
function* allBytes(length: number, limits: readonly number[] = []): Generator<Uint8Array> {
  const bytes = new Uint8Array(length)
  for (;;) {
    yield bytes.slice()
    let at = 0
    for (; at < length; at++) {
      bytes[at]!++
      if (bytes[at]! !== 0 && bytes[at]! < (limits[at] ?? 256)) break
      bytes[at] = 0
    }
    if (at === length) return
  }
}

test('one vector, one form: all bytes of short vectors', () => {
  // Most of a million are refused, and nobody looks at their stacks.
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = 0
  for (const bits of [1, 2, 4, 8] as const) {
    for (const sparse of [false, true]) {
      for (const length of bits === 4 ? [1, 2] : [8 / bits]) {
        const count = checkForms(quantising(bits, sparse), length, allBytes(2))
        assert.is(count, countVectors(bits, sparse, length), `${bits} bits, ${length} numbers`)
      }
    }
  }
  // Signs at two of six places: count, r, gaps, step, signs. One place: 6 times two signs of 3 sizes; two: 15 times 4 of 3.
  const count = checkForms(topK(1, quantising(1, true)), 6, allBytes(8, [3, 1, 1, 1, 8, 256, 4, 4]))
  Error.stackTraceLimit = stackTraceLimit
  assert.is(count, 6 * 2 * 3 + 15 * 4 * 3)
})

test('one vector, one form: long ones', () => {
  const damaged = fc.tuple(vector, planOf, fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 }))
  fc.assert(
    fc.property(damaged, ([delta, plan, edits]) => {
      const codec = createCodec(plan)
      const bytes = codec.encode(delta, null).bytes.slice()
      for (const [at, to] of edits) if (bytes.length > 0) bytes[at % bytes.length] = to
      const code = refusal(() => codec.decode(bytes, delta.length))
      assert.ok(['none', 'malformed', 'not_canonical', 'wrong_size'].includes(code), code)
      if (code !== 'none') return
      const scheme =
        plan.kind === 'topk' ? topK(plan.share, quantising(plan.values.bits, true)) : quantising(plan.bits, false)
      assert.equal(toHex(scheme.pack(codec.decode(bytes, delta.length).units)), toHex(bytes))
    }),
    { numRuns: 2000 },
  )
})

test('nothing but a refusal comes of any bytes', () => {
  const length = fc.oneof(fc.nat(40), fc.constantFrom(255, 256, 257, 1_000_000))
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 120 }), length, planOf, (bytes, count, plan) => {
      const codec = createCodec(plan)
      const code = refusal(() => codec.decode(bytes, count))
      assert.ok(['none', 'oversized', 'malformed', 'not_canonical', 'wrong_size'].includes(code), code)
    }),
    { numRuns: 3000 },
  )
  for (const plan of plans) {
    const codec = createCodec(plan)
    const { bytes } = codec.encode(bell(300, 1), null)
    for (let end = 0; end < bytes.length; end++) {
      assert.is.not(
        refusal(() => codec.decode(bytes.subarray(0, end), 300)),
        'none',
        `${codec.name}, ${end}`,
      )
    }
    assert.is.not(
      refusal(() => codec.decode(Buffer.concat([bytes, Buffer.of(0)]), 300)),
      'none',
    )
    assert.is(
      refusal(() => codec.decode(new Uint8Array(codec.maxBytes(300) + 1), 300)),
      'oversized',
    )
  }
})

test('top-k: counts and indices beyond what is allowed are refused', () => {
  const codec = createCodec(topk(0.01, 1))
  const head = (count: number, ...rest: number[]) =>
    Uint8Array.of(count & 255, (count >> 8) & 255, 0, count >>> 24, ...rest)
  const code = (bytes: Uint8Array, length = 300) => refusal(() => codec.decode(bytes, length))
  assert.is(code(head(0, 0)), 'none')
  assert.is(code(head(0, 1)), 'not_canonical')
  assert.is(code(head(4, 0, 0, 1, 0)), 'malformed')
  assert.is(code(head(0xff00_0000 | 0, 0, 0, 1, 0)), 'malformed')
  // One index: a run of ones without an end, one past the last, an r that none needs.
  assert.is(code(head(1, 0, 0xff, 0xff, 0xff)), 'malformed')
  assert.is(code(head(1, 0, 0xff, 1, 0)), 'not_canonical')
  assert.is(code(head(1, 31, 1, 0, 0, 0, 1, 0)), 'malformed')
  assert.is(code(head(1, 9, 0xff, 0xff, 1, 0)), 'malformed')
  assert.is(code(head(1, 1, 0, 1, 0)), 'not_canonical')
})

test('indices by gaps: as short as promised, whatever they are', () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.nat(5000), { maxLength: 600 }),
      fc.integer({ min: 5001, max: 1e9 }),
      (all, length) => {
        const indices = Int32Array.from(all.sort((a, b) => a - b))
        const bytes = packGaps(indices)
        assert.ok(bytes.length <= maxGapBytes(indices.length, length))
        const read = unpackGaps(Buffer.concat([bytes, Buffer.of(1, 2)]), indices.length, length)
        assert.equal(read, { indices, end: bytes.length })
      },
    ),
  )
  const most = 2 ** 31 - 1
  for (const indices of [Int32Array.of(most - 1), Int32Array.of(0, most - 1)]) {
    assert.equal(unpackGaps(packGaps(indices), indices.length, most).indices, indices)
  }
})

test('steps rise by an eighth at most', () => {
  assert.ok(steps.length <= 256 && steps[0] === 0 && steps.at(-1)! <= maxUnits)
  for (let byte = 1; byte < steps.length; byte++) {
    const [before, step] = [steps[byte - 1]!, steps[byte]!]
    assert.ok(step > before && (step - before <= 1 || step - before <= before / 8))
    assert.is(stepAtLeast(step), byte)
    assert.is(stepAtLeast(before + 0.5), byte)
  }
  assert.is(stepAtLeast(1e12), steps.length - 1)
})

test('top-k sends the largest, and of equals the first', () => {
  const codec = createCodec(topk(0.5, 16))
  const sentAt = (...delta: number[]) => {
    const { units } = codec.encode(Float32Array.from(delta), null).sent
    return [...units.keys()].filter((i) => units[i] !== 0)
  }
  assert.equal(sentAt(1, -3, 2, 0.5, 0, -2.5), [1, 2, 5])
  assert.equal(sentAt(1, 1, 1, 1), [0, 1])
  assert.equal(sentAt(0, 0, 0, 1e-9, 0.25, 0), [4])
  assert.equal(sentAt(0, 0), [])
  assert.equal(sentAt(), [])
  fc.assert(
    fc.property(vector, (delta) => {
      const { units } = createCodec(topk(1 / 8, 16)).encode(delta, null).sent
      const most = Math.ceil(delta.length / 8)
      const kept = [...delta.keys()].filter((i) => units[i] !== 0)
      const left = [...delta.keys()].filter((i) => units[i] === 0)
      const border = left.reduce((largest, i) => Math.max(largest, Math.abs(delta[i]!)), 0)
      assert.ok(kept.length === most || border * unitsPerOne < 0.5)
      assert.ok(kept.every((i) => Math.abs(delta[i]!) >= border))
    }),
  )
})

test('error feedback: what a codec withholds is sent later', () => {
  const delta = bell(600, 3)
  for (const plan of plans) {
    const codec = createCodec(plan)
    const rounds = 120
    const total = new Float64Array(delta.length)
    let residual: Float32Array | null = null
    for (let round = 0; round < rounds; round++) {
      const encoded = codec.encode(delta, residual)
      residual = encoded.residual
      addWeighted(total, codec.decode(encoded.bytes, delta.length), 1)
    }
    const off = delta.map((value, i) => total[i]! / unitsPerOne / rounds - value)
    const share = Math.sqrt(energy(off) / energy(delta))
    assert.ok(share < 0.1, `${codec.name}: ${share}`)
    const without = toFloats(codec.encode(delta, null).sent).map((value, i) => value - delta[i]!)
    if (plan.kind === 'topk' || plan.bits < 4) assert.ok(Math.sqrt(energy(without) / energy(delta)) > 0.1, codec.name)
  }
})

test('rounding at random is right in the mean, and the same for the same seed', () => {
  const delta = bell(64, 5)
  for (const bits of allBits) {
    const codec = createCodec(quantise(bits))
    assert.equal(codec.encode(delta, null, { seed: 7 }).bytes, codec.encode(delta, null, { seed: 7 }).bytes)
    const tries = 3000
    const total = new Float64Array(delta.length)
    for (let seed = 0; seed < tries; seed++) addWeighted(total, codec.encode(delta, null, { seed }).sent, 1)
    const peak = delta.reduce((most, value) => Math.max(most, Math.abs(value)), 0)
    const step = (peak * 2 * 1.125) / (2 ** bits - 1) + 2 / unitsPerOne
    const worst = delta.reduce((most, value, i) => Math.max(most, Math.abs(total[i]! / unitsPerOne / tries - value)), 0)
    // Five standard deviations of the mean of values that are off by a step at most.
    assert.ok(worst < (5 * step) / 2 / Math.sqrt(tries), `${bits} bits: ${worst} of ${step}`)
  }
})

test('the norm stays within what the receiver accepts, and the direction is kept', () => {
  fc.assert(
    fc.property(vector, planOf, fc.double({ min: 0, max: 5, noNaN: true }), (delta, plan, maxNorm) => {
      const { sent, residual } = createCodec(plan).encode(delta, null, { maxNorm })
      assert.ok(squaredNorm(sent) <= maxNorm * maxNorm)
      assert.ok(residual.every(Number.isFinite))
    }),
    { numRuns: 200 },
  )
  const { sent } = createCodec(quantise(8)).encode(Float32Array.of(3, 4), null, { maxNorm: 1 })
  const [x, y] = toFloats(sent)
  assert.ok(Math.abs(x! - 0.6) < 0.01 && Math.abs(y! - 0.8) < 0.01)
  // What is owed later is clipped too.
  const { residual } = createCodec(topk(0.5, 16)).encode(Float32Array.of(3, 4), null, { maxNorm: 1 })
  assert.ok(Math.abs(residual[0]! - 0.6) < 0.01 && Math.abs(residual[1]!) < 0.01)
})

test('sums are exact at the largest weights, in any order', () => {
  const vectors = plans.map((plan, i) => createCodec(plan).encode(bell(300, i, 4), null).sent)
  const sum = (all: typeof vectors) => {
    const sums = new Float64Array(300)
    for (const each of all) addWeighted(sums, each, Math.floor(2 ** 26 / plans.length))
    return sums
  }
  assert.equal(sum(vectors), sum(vectors.toReversed()))
  const exact =
    vectors.reduce((total, { units }) => total + BigInt(units[0]!), 0n) * BigInt(Math.floor(2 ** 26 / plans.length))
  assert.is(BigInt(sum(vectors)[0]!), exact)
})

test('the bytes are as the form says', () => {
  const hex = (plan: CodecPlan, ...units: number[]) =>
    toHex(
      createCodec(plan).encode(
        Float32Array.from(units, (unit) => unit / unitsPerOne),
        null,
      ).bytes,
    )
  // A byte for the step, then codes from the lowest bits on.
  assert.is(hex(quantise(16), 1000, -1000), '01e80318fc')
  assert.is(hex(quantise(8), 127, -2, 0), '017ffe00')
  // The step 104 is 13 * 2^3, in byte (3 + 1) * 8 + 5: codes 7, -1, 0.
  assert.is(hex(quantise(4), 700, -100, 0), '25f700')
  // 11 times 3, -1, 1, -3.
  assert.is(hex(quantise(2), 30, -10, 9, -31), '0b8d')
  assert.is(hex(quantise(1), 8, -8, 8), '0802')
  // Two numbers; r is 1, and gaps of 1 and 3 are 0 1 and 10 1; 4 times 4 and -8.
  assert.is(hex(topk(0.25, 4), 0, 16, 0, 0, 0, -32, 0, 0), '02000000' + '0116' + '0483')
})

test('bytes of a long vector, as recorded', () => {
  const delta = bell(5000, 11)
  const digests = plans.map((plan) => {
    const codec = createCodec(plan)
    const first = codec.encode(delta, null)
    const second = codec.encode(delta, first.residual, { seed: 3 })
    return `${codec.name}: ${toHex(blake3Of(Buffer.concat([first.bytes, second.bytes]))).slice(0, 16)}`
  })
  assert.equal(digests, [
    'sign: 4ff9a8bffdde9dec',
    '2 bits: 972a3d372e1aed95',
    '4 bits: 9db47d3bb342d882',
    '8 bits: 040713c3a134ad77',
    '16 bits: da81aebafe12ac1a',
    'top 0.125 in sign: 766c0a3202231988',
    'top 0.125 in 2 bits: 9e893bb6a6591874',
    'top 0.125 in 4 bits: 3063b5267f77b7a2',
    'top 0.125 in 8 bits: 81d22a5a69504f08',
    'top 0.125 in 16 bits: e2563c063938d637',
    'top 1 in 4 bits: 24914e5276ba38fd',
  ])
})

test('plans out of bounds are refused', () => {
  for (const plan of plans) assert.equal(codecPlanSchema.parse(plan), plan)
  for (const plan of [
    { kind: 'quantise', bits: 3 },
    { kind: 'quantise' },
    { kind: 'topk', share: 0, values: quantise(4) },
    { kind: 'topk', share: 1.5, values: quantise(4) },
    { kind: 'topk', share: 0.1 },
    { kind: 'topk', share: 0.1, values: topk(0.1, 4) },
    { kind: 'none' },
  ]) {
    assert.not(codecPlanSchema.safeParse(plan).success)
    assert.throws(
      () => createCodec(plan as CodecPlan),
      (error: { code?: string }) => error.code === 'bad_codec',
    )
  }
})

test.run()
