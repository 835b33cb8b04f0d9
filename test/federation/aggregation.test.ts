import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { median } from '../../src/federation/aggregation/bounds.ts'
import {
  type Aggregate,
  type AggregationPlan,
  aggregationPlans,
  checkPlan,
  createAggregator,
  deltaOf,
  oneWhole,
  readPlan,
  type Update,
  valueLimit,
} from '../../src/federation/aggregation/index.ts'
import { outlierLimit, outliersAmong } from '../../src/federation/aggregation/outliers.ts'
import { type CodecPlan, createCodec } from '../../src/federation/codecs/codec.ts'
import { addWeighted } from '../../src/federation/codecs/fixed-vector.ts'
import type { OwmError } from '../../src/lib/index.ts'
import { suite } from '../suite.ts'

const test = suite('aggregation')

const codeOf = (work: () => unknown): string => {
  try {
    work()
    return 'none'
  } catch (error) {
    return (error as OwmError).code
  }
}
const updatesOf = (rows: readonly (readonly number[])[], samples?: readonly number[]): Update[] =>
  rows.map((row, i) => ({ values: Int32Array.from(row), samples: samples?.[i] ?? 1 }))
/** By both kernels, which must agree. */
function aggregateWith(plan: AggregationPlan, updates: readonly Update[]): Aggregate {
  const [fast, plain] = (['wasm', 'plain'] as const).map((kernels) =>
    createAggregator(plan, { kernels }).aggregate(updates),
  )
  assert.equal(fast, plain)
  return fast!
}
const equal = (rule: AggregationPlan['rule']): AggregationPlan => ({ weigh: 'equal', rule })
const rowsOf = (updates: number) =>
  fc.integer({ min: 1, max: 12 }).chain((length) =>
    fc.array(fc.array(fc.integer({ min: -(2 ** 24), max: 2 ** 24 }), { minLength: length, maxLength: length }), {
      minLength: updates,
      maxLength: updates,
    }),
  )
const rowsFrom = (least: number, most: number) => fc.integer({ min: least, max: most }).chain(rowsOf)
const samplesOf = fc.array(fc.integer({ min: 1, max: 100_000 }), { minLength: 16, maxLength: 16 })
const column = (rows: readonly (readonly number[])[], i: number): number[] => rows.map((row) => row[i]!)
const dot = (a: readonly number[], b: readonly number[]): bigint =>
  a.reduce((sum, one, i) => sum + BigInt(one) * BigInt(b[i]!), 0n)
const distance = (a: readonly number[], b: readonly number[]): bigint => {
  const apart = a.map((one, i) => one - b[i]!)
  return dot(apart, apart)
}

test('the weighted mean is the sum of what was sent, and reads updates as they came, in parts', () => {
  const vector = fc.float32Array({ min: -3, max: 3, noNaN: true, minLength: 1100, maxLength: 1300 })
  const values = fc.constantFrom(1 as const, 2 as const, 4 as const, 8 as const, 16 as const)
  const plans = values.chain((bits) =>
    fc.constantFrom<CodecPlan>(
      { kind: 'quantise', bits },
      { kind: 'topk', share: 1 / 16, values: { kind: 'quantise', bits } },
    ),
  )
  fc.assert(
    fc.property(vector, samplesOf, plans, (given, samples, plan) => {
      const codec = createCodec(plan)
      const sums = new Float64Array(given.length)
      const updates = [1, 0.37, -2].map((scale, i) => {
        const delta = given.map((one, at) => one * scale + at * 1e-4)
        const { bytes, sent } = codec.encode(delta, null)
        addWeighted(sums, sent, samples[i]!)
        return { samples: samples[i]!, values: codec.reader(bytes, given.length) }
      })
      const total = updates.reduce((sum, update) => sum + update.samples, 0)
      const result = aggregateWith(aggregationPlans.mean, updates)
      assert.equal(
        result.values,
        sums.map((sum) => sum / total),
      )
      assert.equal(
        deltaOf(result.values),
        Float32Array.from(sums, (sum) => sum / total / 2 ** 24),
      )
    }),
    { numRuns: 30 },
  )
})

test('another implementation, written from the document, comes to the same bits', () => {
  // Recorded by test/federation/vectors/record_aggregation.py.
  const recorded = JSON.parse(readFileSync(new URL('vectors/aggregation.json', import.meta.url), 'utf8')) as {
    updates: { samples: number; values: number[] }[]
    results: { plan: AggregationPlan; values: string; weights: number[] }[]
  }[]
  for (const { updates, results } of recorded) {
    const given = updates.map(({ samples, values }) => ({ samples, values: Int32Array.from(values) }))
    assert.is(results.length, 20)
    for (const { plan, values, weights } of results) {
      const result = aggregateWith(readPlan(plan), given)
      const said = JSON.stringify(plan)
      assert.equal(
        result.reports.map(({ weight }) => weight),
        weights,
        said,
      )
      assert.is(Buffer.from(result.values.buffer).toString('hex'), values, said)
    }
  }
})

test('clipping brings a long update to the bound and leaves a short one as it is', () => {
  const { values, bound, reports } = aggregateWith(
    { weigh: 'equal', clip: { norm: 5 * 2 ** -24 }, rule: { kind: 'mean' } },
    updatesOf([
      [3, 4],
      [-600, 800],
    ]),
  )
  assert.is(bound, 5)
  assert.equal([...values], [(3 + Math.trunc((-600 * Math.floor((5 / 1000) * oneWhole)) / oneWhole)) / 2, (4 + 3) / 2])
  assert.equal(
    reports.map((one) => [one.verdict, one.norm, one.clippedBy]),
    [
      ['counted', 5, null],
      ['counted', 1000, Math.floor((5 / 1000) * oneWhole) / oneWhole],
    ],
  )
  fc.assert(
    fc.property(rowsFrom(1, 6), fc.double({ min: 0.01, max: 3, noNaN: true }), (rows, medians) => {
      const plan: AggregationPlan = { weigh: 'equal', clip: { medians }, rule: { kind: 'mean' } }
      for (const at of rows.keys()) {
        const alone = rows.map((row, i) => (i === at ? row : row.map(() => 0)))
        const { values, bound } = aggregateWith(plan, updatesOf(alone.concat([rows[at]!, rows[at]!])))
        const total = [...values].map((one) => one * (rows.length + 2))
        const norm = Math.sqrt(total.reduce((sum, one) => sum + one * one, 0))
        assert.ok(norm <= 3 * bound! * (1 + 1e-9) || bound === 0, `${norm} ${bound}`)
      }
    }),
    { numRuns: 20 },
  )
})

test('median and trimmed mean are what sorting each place gives', () => {
  fc.assert(
    fc.property(rowsFrom(1, 12), (rows) => {
      const updates = updatesOf(rows)
      const sorted = rows[0]!.map((_, i) => column(rows, i).sort((a, b) => a - b))
      const middle = (rows.length - 1) / 2
      assert.equal(
        [...aggregateWith(aggregationPlans.median, updates).values],
        sorted.map((one) => (one[Math.floor(middle)]! + one[Math.ceil(middle)]!) / 2),
      )
      const trim = Math.floor(rows.length * 0.3)
      const trimmed = aggregateWith(aggregationPlans.trimmedMean, updates)
      assert.is(trimmed.trim, trim)
      assert.equal(
        [...trimmed.values],
        sorted.map(
          (one) => one.slice(trim, rows.length - trim).reduce((sum, x) => sum + x, 0) / (rows.length - 2 * trim),
        ),
      )
    }),
    { numRuns: 60 },
  )
})

test('where all weigh the same, a weighted rule by rank is the unweighted one', () => {
  fc.assert(
    fc.property(rowsFrom(1, 12), (rows) => {
      const updates = updatesOf(rows)
      for (const rule of [aggregationPlans.median.rule, aggregationPlans.trimmedMean.rule]) {
        const weighted = aggregateWith({ weigh: 'samples', rule }, updates)
        assert.equal(weighted.values, aggregateWith({ weigh: 'equal', rule }, updates).values)
      }
    }),
    { numRuns: 40 },
  )
  const { values } = aggregateWith(
    { weigh: 'samples', rule: { kind: 'median' } },
    updatesOf([[1], [5], [9]], [1, 1, 5]),
  )
  assert.equal([...values], [9])
})

test('Krum takes the update with the least sum of squared distances to its nearest, the first of equals', () => {
  fc.assert(
    fc.property(rowsFrom(5, 9), (rows) => {
      const liars = (rows.length - 3) >> 1
      const scores = rows.map((row, i) =>
        rows
          .filter((_, j) => j !== i)
          .map((other) => distance(row, other))
          .sort((a, b) => (a < b ? -1 : a > b ? 1 : 0))
          .slice(0, rows.length - liars - 2)
          .reduce((sum, one) => sum + one, 0n),
      )
      const order = [...rows.keys()].sort((a, b) =>
        scores[a]! < scores[b]! ? -1 : scores[a]! > scores[b]! ? 1 : a - b,
      )
      const one = aggregateWith(equal({ kind: 'krum', liars }), updatesOf(rows))
      assert.equal([...one.values], rows[order[0]!])
      const keep = rows.length - liars
      const several = aggregateWith(equal({ kind: 'multi-krum', liars }), updatesOf(rows))
      assert.equal(
        [...several.values],
        rows[0]!.map(
          (_, i) =>
            order
              .slice(0, keep)
              .map((at) => rows[at]![i]!)
              .reduce((a, b) => a + b) / keep,
        ),
      )
      assert.equal(
        several.reports.map((report) => report.code),
        rows.map((_, i) => (order.indexOf(i) < keep ? null : 'not_chosen')),
      )
    }),
    { numRuns: 40 },
  )
  const same = aggregateWith(equal({ kind: 'krum', liars: 1 }), updatesOf(Array(5).fill([4, 4])))
  assert.equal(
    same.reports.map((report) => report.weight),
    [1, 0, 0, 0, 0],
  )
})

/** Straight from the papers, in doubles, with the point itself formed in each iteration. */
function weiszfeld(rows: readonly (readonly number[])[], shares: readonly number[], iterations: number): number[] {
  let weights = [...shares]
  for (let iteration = 0; ; iteration++) {
    const total = weights.reduce((a, b) => a + b)
    const point = rows[0]!.map((_, i) => column(rows, i).reduce((sum, x, at) => sum + x * weights[at]!, 0) / total)
    if (iteration === iterations) return point
    weights = rows.map((row, at) => shares[at]! / Math.max(1, Math.hypot(...row.map((x, i) => x - point[i]!))))
  }
}
function clippedCentre(rows: readonly (readonly number[])[], shares: readonly number[], radius: number, times: number) {
  const total = shares.reduce((a, b) => a + b)
  let point = rows[0]!.map(() => 0)
  for (let iteration = 0; iteration < times; iteration++) {
    const here = point
    const steps = rows.map((row, at) => {
      const apart = row.map((x, i) => x - here[i]!)
      const reach = Math.min(1, radius / Math.hypot(...apart))
      return apart.map((x) => (x * reach * shares[at]!) / total)
    })
    point = here.map((x, i) => x + steps.reduce((sum, step) => sum + step[i]!, 0))
  }
  return point
}
const near = (values: Float64Array, expected: readonly number[], scale: number): void => {
  for (const [i, one] of expected.entries()) {
    assert.ok(Math.abs(values[i]! - one) <= scale * 1e-5 + 1, `${values[i]} is not ${one}`)
  }
}

test('the geometric median is that of the paper, as far as integers of 26 bits for weights go', () => {
  fc.assert(
    fc.property(rowsFrom(3, 9), samplesOf, (rows, given) => {
      const shares = rows.map((_, i) => given[i]!)
      const plan: AggregationPlan = {
        weigh: 'samples',
        rule: { kind: 'geometric-median', iterations: 8, smoothing: 2 ** -24 },
      }
      const { values, whole, reports } = aggregateWith(plan, updatesOf(rows, shares))
      near(values, weiszfeld(rows, shares, 8), 2 ** 24)
      assert.ok(whole <= oneWhole && whole > oneWhole - rows.length)
      assert.is(
        reports.reduce((sum, report) => sum + report.weight, 0),
        whole,
      )
    }),
    { numRuns: 40 },
  )
})

test('mixing puts the mean of its nearest in the place of each update', () => {
  fc.assert(
    fc.property(rowsFrom(5, 9), samplesOf, (rows, given) => {
      const liars = (rows.length - 1) >> 1
      const parts = rows.length - liars
      const sums = rows.map((row) => {
        const order = [...rows.keys()].sort((a, b) => {
          const [x, y] = [distance(row, rows[a]!), distance(row, rows[b]!)]
          return x < y ? -1 : x > y ? 1 : a - b
        })
        return row.map((_, at) => order.slice(0, parts).reduce((sum, j) => sum + rows[j]![at]!, 0))
      })
      const updates = updatesOf(rows, given)
      const mean = aggregateWith({ weigh: 'equal', mix: { liars }, rule: { kind: 'mean' } }, updates)
      assert.equal(
        [...mean.values],
        rows[0]!.map((_, at) => column(sums, at).reduce((a, b) => a + b) / (parts * rows.length)),
      )
      assert.is(mean.whole, parts * rows.length)
      // With so many samples the weights do not fit, and are rounded down.
      const shares = rows.map((_, i) => given[i]! * 50)
      const total = shares.reduce((a, b) => a + b)
      const { values } = aggregateWith(
        { weigh: 'samples', mix: { liars }, rule: { kind: 'mean' } },
        updatesOf(rows, shares),
      )
      const expected = rows[0]!.map(
        (_, at) => column(sums, at).reduce((sum, x, i) => sum + (x / parts) * shares[i]!, 0) / total,
      )
      near(values, expected, 2 ** 24)
      for (const rule of [
        { kind: 'geometric-median', iterations: 6, smoothing: 2 ** -24 },
        { kind: 'centered-clipping', iterations: 3, radius: { norm: 0.3 } },
      ] as const) {
        const mixed = sums.map((row) => row.map((x) => x / parts))
        const equalShares = rows.map(() => 1)
        const plain =
          rule.kind === 'geometric-median'
            ? weiszfeld(mixed, equalShares, 6)
            : clippedCentre(mixed, equalShares, Math.floor(0.3 * 2 ** 24), 3)
        near(aggregateWith({ weigh: 'equal', mix: { liars }, rule }, updates).values, plain, 2 ** 24)
      }
    }),
    { numRuns: 30 },
  )
})

test('centered clipping is that of the paper', () => {
  fc.assert(
    fc.property(rowsFrom(3, 9), samplesOf, (rows, given) => {
      const shares = rows.map((_, i) => given[i]!)
      const plan: AggregationPlan = {
        weigh: 'samples',
        rule: { kind: 'centered-clipping', iterations: 5, radius: { norm: 0.4 } },
      }
      const { values } = aggregateWith(plan, updatesOf(rows, shares))
      near(values, clippedCentre(rows, shares, Math.floor(0.4 * 2 ** 24), 5), 2 ** 24)
    }),
    { numRuns: 40 },
  )
  const nothing = aggregateWith(
    equal({ kind: 'centered-clipping', iterations: 1, radius: { norm: 2 ** -24 } }),
    updatesOf(Array(3).fill([valueLimit - 1])),
  )
  assert.equal([...nothing.values], [0])
  assert.equal(
    nothing.reports.map((report) => report.code),
    ['too_far', 'too_far', 'too_far'],
  )
})

test('an outlier is rejected, and said with its numbers; then the rest is clipped and put together', () => {
  const honest = [100, 110, 90, 105, 95].map((size) => [size, size])
  const plan: AggregationPlan = {
    weigh: 'samples',
    outliers: { measure: 'norm', sigmas: 3 },
    clip: { medians: 1 },
    rule: { kind: 'mean' },
  }
  const { reports, limit, bound } = aggregateWith(plan, updatesOf([[9000, -9000], ...honest]))
  assert.equal(
    reports.map(({ verdict, code }) => code ?? verdict),
    ['outlier', 'counted', 'counted', 'counted', 'counted', 'counted'],
  )
  assert.is(reports[0]?.size, 12_727)
  assert.ok(reports[0]!.size! > limit! && reports[2]!.size! < limit!)
  assert.is(bound, 141)
  // A turned update is as long as the others, but far from them.
  const noisy = (seed: number): number[] =>
    Array.from({ length: 64 }, (_, i) => 100 + ((Math.imul(i + 1, (seed + 3) * 2_654_435_761) >>> 8) % 99) - 49)
  const turned = updatesOf([noisy(0).map((one) => -one), ...[1, 2, 3, 4, 5, 6].map(noisy)])
  assert.is(aggregateWith(plan, turned).reports[0]?.verdict, 'counted')
  const apart = aggregateWith({ ...plan, outliers: { measure: 'distance', sigmas: 3 } }, turned)
  assert.equal(
    apart.reports.map(({ code }) => code),
    ['outlier', null, null, null, null, null, null],
  )
})

test('few updates judge nobody, and never are so many rejected that the rule has too few', () => {
  const outliers = { measure: 'norm', sigmas: 3 } as const
  const four = aggregateWith({ weigh: 'equal', outliers, rule: { kind: 'mean' } }, updatesOf([[1], [1], [1], [9999]]))
  assert.is(four.limit, null)
  assert.ok(four.reports.every(({ verdict }) => verdict === 'counted'))
  const seven = updatesOf([[500], [10], [11], [12], [13], [14], [900]])
  const codes = (liars: number) =>
    aggregateWith({ weigh: 'equal', outliers, rule: { kind: 'trimmed-mean', liars } }, seven).reports.map(
      ({ code }) => code,
    )
  assert.equal(codes(2), ['outlier', null, null, null, null, null, 'outlier'])
  assert.equal(codes(3), Array(7).fill(null))
  const six = aggregateWith({ weigh: 'equal', outliers, rule: { kind: 'krum', liars: 1 } }, seven)
  assert.equal([six.reports[0]?.code, six.reports[6]?.code], ['outlier', 'outlier'])
  assert.equal([...outliersAmong([9n, 1n, 9n, 1n], 2n, (left) => left >= 3)], [2], 'of equals the later goes first')
})

test('no minority of liars can move the limit beyond what the honest alone could make it', () => {
  const sizes = fc.array(fc.integer({ min: 1, max: 1_000_000 }), { minLength: 5, maxLength: 21 })
  fc.assert(
    fc.property(sizes, sizes, (honest, lies) => {
      const liars = lies.slice(0, Math.ceil(honest.length / 2) - 1).map((one) => BigInt(one) * 1_000_000_000n)
      const limit = outlierLimit([...honest.map(BigInt), ...liars], 3)
      const [least, most] = [Math.min(...honest), Math.max(...honest)]
      // Both medians are honest ones: the ratio is at most that of the longest to the shortest.
      const bound = most * Math.max(1.5, ((most + 1) / least) ** (0.5 * (9 * (1 + 4 / 5) + 1)))
      assert.ok(Number(limit) <= bound * 1.001, `${limit} of ${bound}`)
      assert.ok(honest.filter((one) => BigInt(one) > limit).length < honest.length / 2)
    }),
  )
  assert.is(median([4n, 1n, 3n, 2n]), 2n)
  assert.is(outlierLimit([10n, 10n, 10n, 10n, 10n], 3), 15n)
  // Half of them twice and a half as large: that is what these are like, not outliers.
  assert.ok(outlierLimit([100n, 110n, 120n, 300n, 310n, 320n], 1) > 1000n)
  assert.is(outlierLimit([0n, 0n, 0n, 0n, 0n], 3), 1n)
})

test('the order of updates changes no bit, but between equals', () => {
  fc.assert(
    fc.property(rowsFrom(9, 11), samplesOf, (rows, given) => {
      const updates = updatesOf(rows, given)
      for (const plan of Object.values(aggregationPlans)) {
        const turned = aggregateWith(plan, updates.toReversed())
        assert.equal(turned.values, aggregateWith(plan, updates).values)
        assert.equal(turned.reports.length, rows.length)
      }
    }),
    { numRuns: 8 },
  )
})

test('the last block, which is not full, counts for no more than there is', () => {
  const rows = Array.from({ length: 7 }, (_, at) =>
    Array.from({ length: 1500 }, (_, i) => Math.imul(i + 1, 40_503 * (at + 3)) >> 8),
  )
  for (const plan of [aggregationPlans.geometricMedian, aggregationPlans.median]) {
    const there = aggregateWith(plan, updatesOf(rows))
    const back = aggregateWith(plan, updatesOf(rows.map((row) => row.toReversed())))
    assert.equal(back.reports, there.reports)
    assert.equal(back.values.toReversed(), there.values)
    assert.equal(
      there.reports.map(({ norm }) => norm),
      rows.map((row) => Math.floor(Math.sqrt(Number(dot(row, row))))),
    )
  }
})

test('what is done in turns is the same, lets others have theirs, and stops on a signal', async () => {
  const updates = Array.from({ length: 130 }, (_, at) => ({
    samples: at + 1,
    values: Int32Array.from({ length: 5000 }, (_, i) => Math.imul(i + 1, 40_503 * (at + 3)) >> 6),
  }))
  const aggregator = createAggregator(aggregationPlans.geometricMedian)
  let ticks = 0
  const timer = setInterval(() => ticks++, 0)
  const inTurns = await aggregator.aggregateInTurns(updates)
  clearInterval(timer)
  assert.equal(inTurns, aggregator.aggregate(updates))
  assert.ok(ticks > 0)
  assert.equal(createAggregator(aggregationPlans.geometricMedian, { kernels: 'plain' }).aggregate(updates), inTurns)
  const reason = new Error('enough')
  const refusal = await aggregator.aggregateInTurns(updates, { signal: AbortSignal.abort(reason) }).catch((e) => e)
  assert.is(refusal, reason)
})

test('what cannot be aggregated is refused with a code', () => {
  const mean = createAggregator(aggregationPlans.mean)
  const code = (updates: readonly Update[], plan: AggregationPlan = aggregationPlans.mean) =>
    codeOf(() => createAggregator(plan).aggregate(updates))
  const values = Int32Array.from([1, 2])
  assert.is(code([]), 'too_few_updates')
  assert.is(code(updatesOf([[1], [2], [3], [4]]), equal({ kind: 'krum', liars: 1 })), 'too_few_updates')
  assert.is(code(Array(1025).fill({ values, samples: 1 })), 'too_many_updates')
  assert.is(code(updatesOf([[1], [1, 2]])), 'wrong_length')
  assert.is(code(updatesOf([[]])), 'wrong_length')
  for (const samples of [0, -1, 1.5, Number.NaN, 2 ** 60]) assert.is(code([{ values, samples }]), 'bad_samples')
  assert.is(
    code([
      { values, samples: oneWhole },
      { values, samples: 1 },
    ]),
    'too_many_samples',
  )
  assert.is(code([{ values, samples: oneWhole }]), 'none')
  for (const far of [valueLimit, -valueLimit, -(2 ** 31), 2 ** 31 - 1])
    assert.is(code(updatesOf([[0], [far]])), 'out_of_range')
  assert.is(code(updatesOf([[valueLimit - 1], [1 - valueLimit]])), 'none')
  assert.is(mean.plan.rule.kind, 'mean')
  const capped = createAggregator({ ...aggregationPlans.mean, mostSamples: 10 })
  const { whole, reports } = capped.aggregate(updatesOf([[1], [3]], [5, 1_000_000_000]))
  assert.equal([whole, reports[1]?.weight], [15, 10])
})

test('a plan that cannot hold is refused when the run is created', () => {
  for (const plan of Object.values(aggregationPlans)) assert.equal(readPlan(structuredClone(plan)), plan)
  const read = (plan: unknown) => codeOf(() => readPlan(plan))
  assert.is(read({ weigh: 'equal' }), 'bad_plan')
  assert.is(read({ weigh: 'equal', rule: { kind: 'average' } }), 'bad_plan')
  assert.is(read({ weigh: 'equal', rule: { kind: 'mean' }, clip: { norm: 1, medians: 1 } }), 'bad_plan')
  assert.is(read(equal({ kind: 'trimmed-mean', liars: { percent: 50 } })), 'bad_plan')
  assert.is(read(equal({ kind: 'geometric-median', iterations: 65, smoothing: 1e-6 })), 'bad_plan')
  assert.is(read({ weigh: 'samples', rule: { kind: 'krum', liars: 1 } }), 'cannot_weigh')
  assert.is(read({ weigh: 'samples', rule: { kind: 'trimmed-mean', liars: 1 } }), 'cannot_weigh')
  assert.is(read({ weigh: 'samples', rule: { kind: 'trimmed-mean', liars: { percent: 20 } } }), 'none')
  const mixed = { weigh: 'equal', mix: { liars: 2 } } as const
  assert.is(read({ ...mixed, rule: { kind: 'median' } }), 'cannot_mix')
  assert.is(
    codeOf(() => checkPlan({ ...mixed, rule: { kind: 'mean' } }, { least: 4, most: 9 })),
    'too_many_liars',
  )
  assert.is(
    codeOf(() => checkPlan({ ...mixed, rule: { kind: 'mean' } }, { least: 5, most: 9 })),
    'none',
  )
  const check = (rule: AggregationPlan['rule'], least: number, most: number) =>
    codeOf(() => checkPlan(equal(rule), { least, most }))
  assert.is(check({ kind: 'trimmed-mean', liars: 2 }, 4, 9), 'too_many_liars')
  assert.is(check({ kind: 'trimmed-mean', liars: 2 }, 5, 9), 'none')
  assert.is(check({ kind: 'krum', liars: 2 }, 6, 9), 'too_many_liars')
  assert.is(check({ kind: 'krum', liars: 2 }, 7, 9), 'none')
  assert.is(check({ kind: 'krum', liars: { percent: 30 } }, 4, 1024), 'too_many_liars')
  assert.is(check({ kind: 'krum', liars: { percent: 30 } }, 5, 1024), 'none')
  // 4 of 10 are 2 * 4 + 3 > 10: a larger round is worse off than one of 9.
  assert.is(check({ kind: 'krum', liars: { percent: 40 } }, 9, 9), 'none')
  assert.is(check({ kind: 'krum', liars: { percent: 40 } }, 9, 10), 'too_many_liars')
  assert.is(check({ kind: 'multi-krum', liars: 1, keep: 5 }, 5, 9), 'too_many_liars')
  assert.is(check({ kind: 'multi-krum', liars: 1, keep: 4 }, 5, 9), 'none')
})

test.run()
