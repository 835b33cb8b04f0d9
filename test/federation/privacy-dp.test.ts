import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import * as assert from 'uvu/assert'
import type { AggregationPlan } from '../../src/federation/aggregation/index.ts'
import {
  accountant,
  emptyLedger,
  epsilonOf,
  noiseFor,
  renyiDivergence,
  spend,
} from '../../src/federation/privacy/accountant.ts'
import { unmaskSum, withCount } from '../../src/federation/privacy/contribution.ts'
import { sampleDiscreteGaussian } from '../../src/federation/privacy/discrete-gaussian.ts'
import { RandomWords } from '../../src/federation/privacy/keystream.ts'
import { addNoise, clippedCodes, clipUnits, noiseVariance } from '../../src/federation/privacy/noise.ts'
import {
  checkPlans,
  epsilonOfRun,
  type PrivacyPlan,
  privacyPlans,
  readPrivacyPlan,
  roundShapeOf,
  roundVarianceOf,
  spendRound,
  thresholdOf,
} from '../../src/federation/privacy/plan.ts'
import { errorCode } from '../../src/lib/index.ts'
import { suite } from '../suite.ts'

const test = suite('differential privacy')

const codeOf = (work: () => unknown): string => {
  try {
    work()
    return 'none'
  } catch (error) {
    return errorCode(error)
  }
}
const key = (seed: number): Uint8Array => new Uint8Array(32).fill(seed)

interface Recorded {
  readonly sampleRate: number
  readonly noiseMultiplier: number
  readonly rounds: number
  readonly delta: number
  readonly dpAccounting: number
  readonly opacus: number
}
const recorded = JSON.parse(readFileSync('test/federation/vectors/accountant.json', 'utf8')) as Recorded[]

test('the accountant gives what dp-accounting and Opacus give at the same orders', () => {
  for (const { dpAccounting, opacus, ...budget } of recorded) {
    const epsilon = accountant(budget)
    assert.ok(
      Math.abs(epsilon - dpAccounting) <= 1e-9 * dpAccounting,
      `${JSON.stringify(budget)}: ${epsilon}, ${dpAccounting}`,
    )
    assert.ok(Math.abs(epsilon - opacus) <= 1e-9 * opacus, `${JSON.stringify(budget)}: ${epsilon}, ${opacus}`)
  }
})

test('published values of the moments accountant bound ours, which converts more tightly', () => {
  const published = [
    // Abadi et al. 2016, section 4.
    { sampleRate: 0.01, noiseMultiplier: 4, rounds: 10_000, epsilon: 1.26 },
    // Bu, Dong, Long and Su 2020, figure 4: 20 and 70 epochs of MNIST.
    { sampleRate: 256 / 60_000, noiseMultiplier: 1.3, rounds: 4_687, epsilon: 1.34 },
    { sampleRate: 256 / 60_000, noiseMultiplier: 0.7, rounds: 16_406, epsilon: 8.68 },
  ]
  for (const { epsilon, ...budget } of published) {
    const ours = accountant({ ...budget, delta: 1e-5 })
    assert.ok(ours <= epsilon && ours >= 0.8 * epsilon, `${ours} for ${epsilon}`)
    // With the conversion of that time (Mironov 2017): 1.26 to its digits, the others as near as integer orders come.
    let classic = Number.POSITIVE_INFINITY
    for (let order = 2; order <= 256; order++) {
      const spent = budget.rounds * renyiDivergence(budget, order)
      classic = Math.min(classic, spent + Math.log(1e5) / (order - 1))
    }
    assert.ok(Math.abs(classic - epsilon) < 0.035 * epsilon, `${classic} for ${epsilon}`)
  }
})

test('without sampling, the divergence is that of the Gaussian; with it, less', () => {
  for (const order of [2, 7, 64, 1024]) {
    assert.ok(Math.abs(renyiDivergence({ noiseMultiplier: 3, sampleRate: 1 }, order) - order / 18) < 1e-12 * order)
    const nearly = renyiDivergence({ noiseMultiplier: 3, sampleRate: 1 - 1e-12 }, order)
    assert.ok(Math.abs(nearly - order / 18) < 1e-9 * order)
    assert.ok(renyiDivergence({ noiseMultiplier: 3, sampleRate: 0.3 }, order) < order / 18)
  }
  assert.is(renyiDivergence({ noiseMultiplier: 3, sampleRate: 0 }, 5), 0)
})

test('a ledger grows round by round to the epsilon of the whole run', () => {
  const release = { noiseMultiplier: 5, sampleRate: 0.2 }
  let ledger = emptyLedger
  assert.is(epsilonOf(ledger, 1e-5), 0)
  let before = 0
  for (let round = 1; round <= 30; round++) {
    ledger = spend(ledger, release)
    const epsilon = epsilonOf(ledger, 1e-5)
    assert.ok(epsilon > before)
    before = epsilon
  }
  assert.ok(Math.abs(before - accountant({ ...release, rounds: 30, delta: 1e-5 })) < 1e-9)
  assert.is(accountant({ noiseMultiplier: 0, sampleRate: 0.5, rounds: 1, delta: 1e-5 }), Number.POSITIVE_INFINITY)
})

test('the noise for an epsilon keeps it, and a little less does not', () => {
  for (const epsilon of [0.5, 1, 8]) {
    for (const sampleRate of [0.01, 1]) {
      const budget = { sampleRate, rounds: 200, delta: 1e-5 }
      const noiseMultiplier = noiseFor(epsilon, budget)
      assert.ok(accountant({ ...budget, noiseMultiplier }) <= epsilon)
      assert.ok(accountant({ ...budget, noiseMultiplier: noiseMultiplier * 0.999 }) > epsilon)
    }
  }
  assert.is(
    codeOf(() => noiseFor(1e-9, { sampleRate: 1, rounds: 1e6, delta: 1e-12 })),
    'bad_privacy',
  )
  assert.is(
    codeOf(() => noiseFor(0, { sampleRate: 1, rounds: 1, delta: 1e-5 })),
    'bad_privacy',
  )
  assert.is(
    codeOf(() => accountant({ noiseMultiplier: -1, sampleRate: 1, rounds: 1, delta: 1e-5 })),
    'bad_privacy',
  )
  assert.is(
    codeOf(() => accountant({ noiseMultiplier: 1, sampleRate: 1, rounds: 1, delta: 0 })),
    'bad_privacy',
  )
})

test('the discrete Gaussian has the probabilities of its definition', () => {
  const samples = 60_000
  for (const variance of [1, 9, 20]) {
    const random = new RandomWords(key(variance))
    const counts = new Map<number, number>()
    for (let i = 0; i < samples; i++) {
      const sample = sampleDiscreteGaussian(variance, random)
      counts.set(sample, (counts.get(sample) ?? 0) + 1)
    }
    const weight = (x: number): number => Math.exp((-x * x) / (2 * variance))
    let total = 0
    for (let x = -100; x <= 100; x++) total += weight(x)
    for (let x = -12; x <= 12; x++) {
      const expected = (samples * weight(x)) / total
      const seen = counts.get(x) ?? 0
      // Six standard deviations of a count: the seeds are fixed, so this fails always or never.
      assert.ok(Math.abs(seen - expected) <= 6 * Math.sqrt(expected) + 1, `${x} of ${variance}: ${seen}, ${expected}`)
    }
  }
})

test('large variances are met in mean and spread', () => {
  for (const variance of [33_640_000, 2 ** 50]) {
    const random = new RandomWords(key(7))
    const samples = 20_000
    let sum = 0
    let squares = 0
    for (let i = 0; i < samples; i++) {
      const sample = sampleDiscreteGaussian(variance, random) / Math.sqrt(variance)
      sum += sample
      squares += sample * sample
    }
    assert.ok(Math.abs(sum / samples) < 0.04)
    assert.ok(Math.abs(squares / samples - 1) < 0.06)
  }
  for (const variance of [0, -1, 1.5, 2 ** 51, Number.NaN]) {
    assert.is(
      codeOf(() => sampleDiscreteGaussian(variance, new RandomWords(key(1)))),
      'bad_privacy',
    )
  }
})

test('random numbers below a limit are uniform, whatever its size', () => {
  const random = new RandomWords(key(9))
  for (const limit of [1, 2, 3, 10, 2 ** 32, 2 ** 32 + 1, 3 * 2 ** 51, 2 ** 53]) {
    for (let i = 0; i < 200; i++) {
      const drawn = random.below(limit)
      assert.ok(Number.isInteger(drawn) && drawn >= 0 && drawn < limit)
    }
  }
  const counts = [0, 0, 0]
  for (let i = 0; i < 30_000; i++) counts[Number(random.belowBig(3n))]!++
  for (const count of counts) assert.ok(Math.abs(count - 10_000) < 500)
  const large = 10n ** 30n
  let over = 0
  for (let i = 0; i < 2_000; i++) if (random.belowBig(large) >= large / 2n) over++
  assert.ok(Math.abs(over - 1_000) < 150)
})

test('a clipped update is never longer than its bound, in integers, and nearly what it was', () => {
  fc.assert(
    fc.property(
      fc.float32Array({ minLength: 1, maxLength: 300, min: -2, max: 2 }),
      fc.double({ min: Math.fround(0.01), max: 4, noNaN: true }),
      (delta, clipNorm) => {
        const plan = { clipNorm, unitExponent: -16 }
        const codes = clippedCodes(delta, plan)
        const square = codes.reduce((sum, code) => sum + code * code, 0)
        assert.ok(square <= clipUnits(plan) ** 2)
        const norm = Math.sqrt(delta.reduce((sum, v) => sum + (Number.isFinite(v) ? v * v : 0), 0))
        if (norm < clipNorm * 0.99 - delta.length / 2 ** 16) {
          for (const [i, code] of codes.entries()) assert.ok(Math.abs(code / 65_536 - (delta[i]! || 0)) <= 2 ** -16)
        }
      },
    ),
    { numRuns: 60 },
  )
  const hostile = new Float32Array([Number.NaN, Number.POSITIVE_INFINITY, 3, -4])
  assert.equal([...clippedCodes(hostile, { clipNorm: 5, unitExponent: 0 })], [0, 0, 3, -4])
})

const noisy = readPrivacyPlan({
  ...{ kind: 'secure-aggregation-dp', thresholdPercent: 67, bits: 20, unitExponent: -15 },
  ...{ clipNorm: 1, noiseMultiplier: 2, delta: 1e-5 },
}) as Extract<PrivacyPlan, { kind: 'secure-aggregation-dp' }>

test('the noise of those who must be left and tell nobody adds up to what was promised', () => {
  const variance = roundVarianceOf(noisy, 32)
  // 22 survivors of whom 11 may tell their noise.
  assert.ok(11 * variance >= (2 * 32_768) ** 2)
  assert.ok(11 * (variance - 1) < (2 * 32_768) ** 2)
  const alone = readPrivacyPlan({ kind: 'dp', unitExponent: -15, clipNorm: 1, noiseMultiplier: 2, delta: 1e-5 })
  assert.is(roundVarianceOf(alone as Extract<PrivacyPlan, { kind: 'dp' }>, 32), 65_536 ** 2)
  assert.is(
    codeOf(() => noiseVariance({ clipNorm: 2 ** -15, noiseMultiplier: 2, unitExponent: -15 }, 1)),
    'bad_privacy',
  )
})

test('noise goes through a modular sum unchanged', () => {
  const peers = 5
  const shape = roundShapeOf(noisy, { weigh: 'equal' }, peers, 40)
  const variance = roundVarianceOf(noisy, peers)
  const expected = new Float64Array(40)
  const inputs = Array.from({ length: peers }, (_, i) => {
    const codes = clippedCodes(new Float32Array(40).fill(0.1 * (i - 2)), noisy)
    const elements = withCount(codes, 1, shape)
    const signed = Int32Array.from(codes)
    addNoise(signed, 40, variance, new RandomWords(key(i)))
    addNoise(elements, 40, variance, new RandomWords(key(i)))
    for (let j = 0; j < 40; j++) expected[j] = expected[j]! + signed[j]!
    return elements
  })
  const sum = unmaskSum(inputs, { add: [], subtract: [] }, shape)
  assert.equal([...sum.codes], [...expected])
  assert.is(sum.samples, peers)
  assert.ok(
    expected.some((value) => Math.abs(value) > 65_536),
    'there is no noise',
  )
})

test('a plan whose noise would not fit its bits is refused', () => {
  assert.is(
    codeOf(() => roundShapeOf({ ...noisy, bits: 16 }, { weigh: 'equal' }, 32, 10)),
    'bad_privacy',
  )
  assert.is(
    codeOf(() => roundShapeOf(noisy, { weigh: 'equal' }, 32, 10)),
    'none',
  )
  assert.is(
    codeOf(() => thresholdOf(privacyPlans.secureAggregation, 2)),
    'bad_privacy',
  )
  assert.is(thresholdOf(privacyPlans.secureAggregation, 32), 22)
  assert.is(thresholdOf({ ...privacyPlans.secureAggregation, thresholdPercent: 50 }, 3), 3)
})

test('what excludes what is said when a run is created, with a code of its own', () => {
  const mean: AggregationPlan = { weigh: 'equal', rule: { kind: 'mean' } }
  const secure = privacyPlans.secureAggregation
  const dp = readPrivacyPlan({ kind: 'dp', unitExponent: -15, clipNorm: 1, noiseMultiplier: 1, delta: 1e-5 })
  const median: AggregationPlan = { weigh: 'equal', rule: { kind: 'median' } }
  const cases: readonly [PrivacyPlan, AggregationPlan, Parameters<typeof checkPlans>[2], string][] = [
    [{ kind: 'none' }, median, { kind: 'quantise', bits: 4 }, 'none'],
    [secure, mean, null, 'none'],
    [secure, { ...mean, weigh: 'samples', mostSamples: 600 }, null, 'none'],
    [secure, { ...mean, weigh: 'samples' }, null, 'privacy_excludes_weights'],
    [secure, { ...mean, weigh: 'samples', mostSamples: 40_000 }, null, 'privacy_excludes_weights'],
    [secure, median, null, 'privacy_excludes_rule'],
    [secure, { weigh: 'equal', rule: { kind: 'krum', liars: 1 } }, null, 'privacy_excludes_rule'],
    [secure, { ...mean, outliers: { measure: 'norm', sigmas: 3 } }, null, 'privacy_excludes_outliers'],
    [secure, { ...mean, clip: { medians: 1 } }, null, 'privacy_excludes_clipping'],
    [secure, { ...mean, mix: { liars: 1 } }, null, 'privacy_excludes_rule'],
    [secure, mean, { kind: 'topk', share: 0.1, values: { kind: 'quantise', bits: 4 } }, 'privacy_excludes_compression'],
    [secure, mean, { kind: 'quantise', bits: 8 }, 'privacy_excludes_compression'],
    [dp, median, { kind: 'topk', share: 0.1, values: { kind: 'quantise', bits: 4 } }, 'none'],
    [dp, { ...mean, weigh: 'samples', mostSamples: 600 }, null, 'privacy_excludes_weights'],
    [noisy, mean, null, 'none'],
    [noisy, { ...mean, weigh: 'samples', mostSamples: 600 }, null, 'privacy_excludes_weights'],
    [noisy, median, null, 'privacy_excludes_rule'],
  ]
  for (const [privacy, aggregation, compression, code] of cases) {
    assert.is(
      codeOf(() => checkPlans(privacy, aggregation, compression)),
      code,
      `${privacy.kind} ${aggregation.rule.kind}`,
    )
  }
})

test('a plan from outside is read whole or not at all', () => {
  const bad = [
    null,
    { kind: 'secret' },
    { kind: 'none', threshold: 3 },
    { ...privacyPlans.secureAggregation, thresholdPercent: 49 },
    { ...privacyPlans.secureAggregation, bits: 31 },
    { ...privacyPlans.secureAggregation, unitExponent: 1 },
    { ...noisy, delta: 0 },
    { ...noisy, noiseMultiplier: 0 },
    { ...noisy, clipNorm: Number.POSITIVE_INFINITY },
  ]
  for (const plan of bad)
    assert.is(
      codeOf(() => readPrivacyPlan(plan)),
      'bad_privacy',
      JSON.stringify(plan),
    )
})

test('only rounds that a participant has trained in cost it, and a run without noise promises nothing', () => {
  let ledger = emptyLedger
  for (let round = 0; round < 10; round++) ledger = spendRound(ledger, noisy)
  assert.ok(Math.abs(epsilonOf(ledger, 1e-5) - (epsilonOfRun(noisy, 10) ?? 0)) < 1e-9)
  assert.is(epsilonOfRun(privacyPlans.secureAggregation, 10), null)
  assert.is(epsilonOf(spendRound(emptyLedger, privacyPlans.none), 1e-5), Number.POSITIVE_INFINITY)
})

test.run()
