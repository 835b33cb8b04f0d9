import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { createCodec } from '../../src/federation/codecs/codec.ts'
import { defaultPlans, type RunSpecification } from '../../src/federation/index.ts'
import { checkRunPlans, type RunPlans } from '../../src/federation/plans.ts'
import { privacyPlans } from '../../src/federation/privacy/plan.ts'
import { type Carried, createRoundRule } from '../../src/federation/round-rule.ts'
import { decodeUpdate } from '../../src/federation/update-block.ts'
import { errorCode } from '../../src/lib/index.ts'
import { outerPlans } from '../../src/training/index.ts'
import { suite } from '../suite.ts'

const test = suite('rule of a round')

const length = 700
const codeOf = (work: () => unknown): string => {
  try {
    work()
    return 'none'
  } catch (error) {
    return errorCode(error)
  }
}
const wave = (phase: number, scale: number): Float32Array =>
  Float32Array.from({ length }, (_, i) => scale * Math.sin(i * 0.7 + phase))
const plansWith = (change: Partial<RunPlans>): RunPlans => ({ ...defaultPlans, ...change })
const steps = (bits: 1 | 8) => ({ ...defaultPlans.compression, results: { kind: 'quantise', bits } as const })

/** A few rounds of a run: what the rule gives, and the weights of one who follows the steps alone. */
async function rounds(plans: RunPlans, count: number, between: (carried: Carried) => Carried = (carried) => carried) {
  const rule = createRoundRule(plans)
  let weights = wave(0, 1)
  let followed: Float32Array = weights
  let carried = rule.initialCarried(length)
  for (let round = 0; round < count; round++) {
    const updates = [0, 1, 2].map((i) => {
      const { bytes } = rule.codec.encode(wave(i + round, 0.05), null)
      return { samples: 10 + i, values: rule.codec.reader(bytes, length) }
    })
    const result = await rule.next(weights, carried, updates)
    if (result.step !== null) followed = rule.follow(followed, result.step)
    weights = result.weights
    carried = between(result.carried)
  }
  return { rule, weights, followed, carried }
}

test('who has the weights before and the step has the weights after, bit for bit, with any outer optimizer', async () => {
  for (const outer of Object.values(outerPlans)) {
    const { weights, followed } = await rounds(plansWith({ outer, compression: steps(8) }), 5)
    assert.equal(followed, weights)
  }
})

test('what is carried survives its bytes: a member that comes late goes on with the same bits', async () => {
  for (const outer of [outerPlans.fedavg, outerPlans.fedadam, outerPlans.diloco]) {
    const plans = plansWith({ outer, compression: steps(8) })
    const rule = createRoundRule(plans)
    const stored = (carried: Carried): Carried => {
      const bytes = rule.packCarried(carried)
      assert.is(bytes?.length, rule.carriedBytes(length))
      return rule.unpackCarried(bytes as Uint8Array, length)
    }
    assert.equal((await rounds(plans, 4, stored)).weights, (await rounds(plans, 4)).weights)
  }
  assert.is(createRoundRule(defaultPlans).packCarried({ outer: [], residual: null }), null)
  const rule = createRoundRule(plansWith({ outer: outerPlans.fedavgm }))
  assert.is(
    codeOf(() => rule.unpackCarried(new Uint8Array(8), length)),
    'corrupt',
  )
})

test('what steps of one bit withhold is sent later: the model goes where it would go without compression', async () => {
  const rule = createRoundRule(plansWith({ compression: steps(1) }))
  const target = wave(3, 0.3)
  let weights: Float32Array = new Float32Array(length)
  let carried = rule.initialCarried(length)
  const apart = (): number => Math.hypot(...weights.map((weight, i) => weight - target[i]!)) / Math.hypot(...target)
  for (let round = 0; round < 60; round++) {
    const { bytes } = rule.codec.encode(
      target.map((value, i) => 0.2 * (value - weights[i]!)),
      null,
    )
    const updates = [{ samples: 1, values: rule.codec.reader(bytes, length) }]
    const next = await rule.next(weights, carried, updates)
    weights = next.weights
    carried = next.carried
  }
  assert.ok(apart() < 0.05, `${apart()}`)
})

test('an update that is clipped passes the bound that members check; one beyond it does not', () => {
  const vector = fc.float32Array({ min: -3, max: 3, noNaN: true, minLength: 1, maxLength: 700 })
  fc.assert(
    fc.property(vector, fc.double({ min: 0.01, max: 5, noNaN: true }), (values, clipNorm) => {
      const codec = createCodec({ kind: 'quantise', bits: 8 })
      const { bytes } = codec.encode(values, null, { maxNorm: clipNorm })
      decodeUpdate(bytes, { codec, length: values.length, clipNorm })
    }),
  )
  const codec = createCodec({ kind: 'quantise', bits: 8 })
  const { bytes } = codec.encode(Float32Array.of(3, 4), null)
  assert.is(
    codeOf(() => decodeUpdate(bytes, { codec, length: 2, clipNorm: 4.9 })),
    'over_bound',
  )
})

test('parsing an update never throws anything but a typed refusal', () => {
  for (const codec of [
    createCodec({ kind: 'quantise', bits: 4 }),
    createCodec({ kind: 'topk', share: 0.1, values: { kind: 'quantise', bits: 4 } }),
  ]) {
    const good = codec.encode(wave(1, 0.01), null).bytes
    const edits = fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { minLength: 1, maxLength: 6 })
    fc.assert(
      fc.property(edits, (changes) => {
        const bytes = Uint8Array.from(good)
        for (const [at, to] of changes) bytes[at] = to
        const code = codeOf(() => decodeUpdate(bytes, { codec, length, clipNorm: 1 }))
        assert.ok(['none', 'malformed', 'not_canonical', 'over_bound', 'oversized', 'wrong_size'].includes(code), code)
      }),
      { numRuns: 300 },
    )
  }
})

test("a run's plans are checked together, with stable codes", () => {
  const check = (change: Partial<RunPlans>, minimumTrainers = 3): string =>
    codeOf(() => checkRunPlans(plansWith(change), { minimumTrainers } as RunSpecification))
  const liars = { percent: 30 }
  assert.is(check({}), 'none')
  assert.is(check({ aggregation: { weigh: 'equal', rule: { kind: 'krum', liars } } }, 5), 'none')
  assert.is(check({ aggregation: { weigh: 'samples', rule: { kind: 'krum', liars } } }), 'cannot_weigh')
  assert.is(check({ aggregation: { weigh: 'equal', mix: { liars }, rule: { kind: 'median' } } }), 'cannot_mix')
  assert.is(check({ aggregation: { weigh: 'equal', rule: { kind: 'krum', liars } } }, 2), 'too_many_liars')
  assert.is(check({ privacy: privacyPlans.secureAggregation }), 'privacy_excludes_weights')
  assert.is(
    check({
      privacy: { kind: 'dp', unitExponent: -20, clipNorm: 1, noiseMultiplier: 1, delta: 1e-5 },
      aggregation: { weigh: 'equal', rule: { kind: 'mean' } },
    }),
    'privacy_not_supported',
  )
})

test.run()
