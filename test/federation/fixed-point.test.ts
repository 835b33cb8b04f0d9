import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { aggregate } from '../../src/federation/aggregate.ts'
import {
  addWeighted,
  type Bits,
  dequantise,
  isCanonical,
  maxCode,
  maxExponent,
  maxTotalSamples,
  quantise,
  squaredNorm,
  unitExponent,
} from '../../src/federation/quantise.ts'
import { compressDelta, decodeUpdate, encodeUpdate } from '../../src/federation/update-block.ts'
import type { OwmError } from '../../src/lib/index.ts'
import { suite } from '../suite.ts'

const test = suite('fixed point')

const bitsOf = fc.constantFrom<Bits>(4, 8)
const vector = fc.float32Array({ min: -3, max: 3, noNaN: true, minLength: 1, maxLength: 700 })
const codeOf = (work: () => unknown): string => {
  try {
    work()
    return 'none'
  } catch (error) {
    return (error as OwmError).code
  }
}

test('what is decoded is what was encoded, and encodes to the same bytes', () => {
  fc.assert(
    fc.property(vector, bitsOf, (values, bits) => {
      const quantised = quantise(values, bits)
      assert.ok(isCanonical(quantised))
      const bytes = encodeUpdate(quantised)
      const shape = { bits, length: values.length, clipNorm: 1e6 }
      const back = decodeUpdate(bytes, shape)
      assert.equal(dequantise(back), dequantise(quantised))
      assert.equal(encodeUpdate(back), bytes)
    }),
  )
})

test('a value is off by at most half a step of its block, and quantising again changes nothing', () => {
  fc.assert(
    fc.property(vector, bitsOf, (values, bits) => {
      const quantised = quantise(values, bits)
      const sent = dequantise(quantised)
      for (const [i, value] of values.entries()) {
        const step = 2 ** (quantised.exponents[i >> 8] ?? 0)
        assert.ok(Math.abs(value - (sent[i] ?? 0)) <= step / 2, `${value} became ${sent[i]}`)
        assert.ok(Math.abs(sent[i] ?? 0) <= maxCode(bits) * step)
      }
      assert.equal(dequantise(quantise(sent, bits)), sent)
    }),
  )
})

test('what is beyond the range is cut to it, what is no number is nothing, and dust is zero', () => {
  for (const bits of [4, 8] as const) {
    const most = maxCode(bits) * 2 ** maxExponent[bits]
    const sent = dequantise(quantise(new Float32Array([1e30, -1e30, Number.NaN]), bits))
    assert.equal([...sent], [most, -most, 0])
    assert.equal([...dequantise(quantise(new Float32Array([2 ** (unitExponent - 2)]), bits))], [0])
  }
})

test('sums do not depend on order or grouping, and stay exact at the largest weights', () => {
  const many = fc.array(fc.tuple(fc.integer({ min: 1, max: 65_535 }), fc.integer()), { minLength: 2, maxLength: 12 })
  fc.assert(
    fc.property(many, bitsOf, (entries, bits) => {
      const length = 300
      const old = Float32Array.from({ length }, (_, i) => Math.fround(Math.sin(i)))
      const updates = entries.map(([samples, seed]) => ({
        samples,
        update: quantise(
          Float32Array.from({ length }, (_, i) => Math.sin(seed + i * 7)),
          bits,
        ),
      }))
      const one = aggregate(old, updates)
      assert.equal(aggregate(old, updates.toReversed()), one)
      assert.equal(
        aggregate(
          old,
          updates.toSorted((a, b) => a.samples - b.samples),
        ),
        one,
      )
    }),
    { numRuns: 40 },
  )
  const largest = quantise(new Float32Array([8, -8]), 8)
  const sums = new Float64Array(2)
  addWeighted(sums, largest, maxTotalSamples - 1)
  addWeighted(sums, largest, 1)
  const units = BigInt(127 * 2 ** (maxExponent[8] - unitExponent)) * BigInt(maxTotalSamples)
  assert.is(BigInt(sums[0] ?? 0), units)
  assert.ok(units < 2n ** 53n)
})

test('the mean is the weighted one, rounded once', () => {
  const old = new Float32Array([1, -2])
  const update = (a: number, b: number) => quantise(new Float32Array([a, b]), 8)
  const result = aggregate(old, [
    { samples: 1, update: update(0.5, 0) },
    { samples: 3, update: update(-0.25, 0.125) },
  ])
  assert.equal([...result], [1 + (0.5 - 0.75) / 4, Math.fround(-2 + 0.375 / 4)])
  assert.is(
    codeOf(() => aggregate(old, [])),
    'too_many_samples',
  )
  assert.is(
    codeOf(() => aggregate(old, [{ samples: maxTotalSamples + 1, update: update(1, 1) }])),
    'too_many_samples',
  )
})

test('a clipped update passes the bound that members check, and keeps its direction', () => {
  fc.assert(
    fc.property(vector, bitsOf, fc.double({ min: 0.01, max: 5, noNaN: true }), (values, bits, clipNorm) => {
      const shape = { bits, length: values.length, clipNorm }
      const { quantised, residual } = compressDelta(values, shape)
      assert.ok(squaredNorm(quantised) <= clipNorm ** 2)
      assert.is(
        codeOf(() => decodeUpdate(encodeUpdate(quantised), shape)),
        'none',
      )
      assert.ok(residual.every(Number.isFinite))
    }),
  )
  const { quantised, residual } = compressDelta(new Float32Array([3, 4]), { bits: 8, length: 2, clipNorm: 1 })
  const sent = dequantise(quantised)
  assert.ok(Math.abs((sent[0] ?? 0) - 0.6) < 0.01 && Math.abs((sent[1] ?? 0) - 0.8) < 0.01)
  assert.ok(residual.every((value) => Math.abs(value) < 0.01))
})

test('error feedback: what rounding withholds is sent later', () => {
  const shape = { bits: 4, length: 300, clipNorm: 1e6 } as const
  const delta = Float32Array.from({ length: 300 }, (_, i) => Math.sin(i) / 50)
  let residual = new Float32Array(300)
  const total = new Float64Array(300)
  for (let round = 0; round < 50; round++) {
    const compressed = compressDelta(
      delta.map((value, i) => value + (residual[i] ?? 0)),
      shape,
    )
    residual = compressed.residual.slice()
    for (const [i, value] of dequantise(compressed.quantised).entries()) total[i] = (total[i] ?? 0) + value
  }
  const worst = Math.max(...delta.map((value, i) => Math.abs((total[i] ?? 0) / 50 - value)))
  assert.ok(worst < 0.0002, `${worst}`)
})

test('parsing never throws anything but a typed refusal', () => {
  const shape = { bits: 8, length: 600, clipNorm: 1 } as const
  const good = encodeUpdate(quantise(new Float32Array(600).fill(0.01), 8))
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { minLength: 1, maxLength: 6 }), (edits) => {
      const bytes = good.slice()
      for (const [at, to] of edits) bytes[at] = to
      const code = codeOf(() => decodeUpdate(bytes, shape))
      const known = ['none', 'malformed', 'schema_mismatch', 'wrong_shape', 'not_canonical', 'over_bound', 'oversized']
      assert.ok(known.includes(code), code)
    }),
    { numRuns: 500 },
  )
})

test.run()
