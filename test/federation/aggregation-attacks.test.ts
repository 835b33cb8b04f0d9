import * as assert from 'uvu/assert'
import { type AggregationPlan, aggregationPlans, createAggregator } from '../../src/federation/aggregation/index.ts'
import { suite } from '../suite.ts'
import {
  accuracyUnder,
  apart,
  attackedRound,
  attacks,
  lengthOf,
  movedBy,
  samplesEach,
  updateOf,
  world,
} from './aggregation-attacks.ts'

const test = suite('aggregation under attack')

const one = world(1)
/** 30 % of 20. */
const liars = 6
const rounds = new Map(
  Object.entries(attacks).map(([name, attack]) => [name, attackedRound(one, one.initial, 0, attack, liars)]),
)

/** How far a rule lets six of twenty move its result from the honest mean, in lengths of that mean. Measured, and a margin. */
const most: Readonly<Record<Exclude<keyof typeof aggregationPlans, 'mean'>, Readonly<Record<string, number>>>> = {
  clippedMean: { signFlip: 0.7, times1000: 0.7, littleIsEnough: 0.35, smallReversed: 0.6, labelFlip: 0.45 },
  trimmedMean: { signFlip: 0.5, times1000: 0.5, littleIsEnough: 0.6, smallReversed: 0.55, labelFlip: 0.45 },
  median: { signFlip: 0.5, times1000: 0.5, littleIsEnough: 0.6, smallReversed: 0.55, labelFlip: 0.45 },
  krum: { signFlip: 0.9, times1000: 0.9, littleIsEnough: 1, smallReversed: 0.9, labelFlip: 0.9 },
  multiKrum: { signFlip: 0.05, times1000: 0.05, littleIsEnough: 0.5, smallReversed: 0.4, labelFlip: 0.1 },
  geometricMedian: { signFlip: 0.45, times1000: 0.4, littleIsEnough: 0.5, smallReversed: 0.5, labelFlip: 0.4 },
  centeredClipping: { signFlip: 0.6, times1000: 0.5, littleIsEnough: 0.35, smallReversed: 0.55, labelFlip: 0.45 },
  mixedMedian: { signFlip: 0.05, times1000: 0.05, littleIsEnough: 0.5, smallReversed: 0.1, labelFlip: 0.05 },
}

for (const [rule, bounds] of Object.entries(most)) {
  test(`${rule}: six liars of twenty move the result by no more than it promises`, () => {
    for (const [attack, bound] of Object.entries(bounds)) {
      const { moved } = movedBy(rounds.get(attack)!, aggregationPlans[rule as keyof typeof most], liars)
      assert.ok(moved <= bound, `${attack} moves it by ${moved}`)
    }
  })
}

test('the plain mean has no defence, which is why there are the others', () => {
  assert.ok(movedBy(rounds.get('times1000')!, aggregationPlans.mean, liars).moved > 20)
})

test('one liar with 0.6 % of the data, scaled by 1000 either way, moves a robust result by at most 0.04', () => {
  const deltas = one.deltas(one.initial, 0, 0, false)
  const honest = deltas.map((delta) => updateOf(delta))
  const samples = Math.round((0.006 / 0.994) * samplesEach * deltas.length)
  const plans: readonly AggregationPlan[] = [
    aggregationPlans.clippedMean,
    aggregationPlans.geometricMedian,
    aggregationPlans.centeredClipping,
    aggregationPlans.mixedMedian,
    { weigh: 'samples', outliers: { measure: 'norm', sigmas: 3 }, rule: { kind: 'mean' } },
  ]
  const moved = (plan: AggregationPlan, scale: number): number => {
    const aggregator = createAggregator(plan)
    const clean = aggregator.aggregate(honest).values
    const liar = updateOf(
      deltas[3]!.map((value) => value * scale),
      samples,
    )
    return apart(aggregator.aggregate([liar, ...honest]).values, clean) / lengthOf(clean)
  }
  for (const scale of [1000, -1000]) {
    for (const plan of plans) {
      const by = moved(plan, scale)
      assert.ok(by <= 0.04, `${JSON.stringify(plan)} is moved by ${by}`)
    }
    assert.ok(moved(aggregationPlans.mean, scale) > 1)
  }
})

test('those who are chosen are honest, and those who are not are named', () => {
  const { result } = movedBy(rounds.get('times1000')!, aggregationPlans.multiKrum, liars)
  assert.equal(
    result.reports.map(({ code }) => code),
    [...Array(liars).fill('not_chosen'), ...Array(20 - liars).fill(null)],
  )
  const plan: AggregationPlan = {
    ...aggregationPlans.mean,
    outliers: { measure: 'distance', sigmas: 3 },
  }
  const turned = movedBy(rounds.get('times1000')!, plan, liars).result
  assert.equal(
    turned.reports.map(({ code }) => code),
    [...Array(liars).fill('outlier'), ...Array(20 - liars).fill(null)],
  )
})

test('honest clients with different data are not rejected', () => {
  for (const measure of ['norm', 'distance'] as const) {
    const aggregator = createAggregator({ ...aggregationPlans.mean, outliers: { measure, sigmas: 3 } })
    for (let round = 0; round < 3; round++) {
      const updates = one.deltas(one.initial, round, 0, false).map((delta) => updateOf(delta))
      for (const some of [updates, updates.slice(0, 6), updates.slice(7, 12)]) {
        assert.ok(aggregator.aggregate(some).reports.every(({ verdict }) => verdict === 'counted'))
      }
    }
  }
})

test('a model is learned although six of twenty lie in every round', () => {
  const times = 8
  const clean = accuracyUnder(one, aggregationPlans.mean, attacks['signFlip']!, 0, times)
  assert.ok(clean > 0.8, `${clean}`)
  for (const attack of ['signFlip', 'times1000', 'littleIsEnough', 'labelFlip']) {
    const accuracy = accuracyUnder(one, aggregationPlans.mixedMedian, attacks[attack]!, liars, times)
    assert.ok(accuracy > clean - 0.03, `${attack}: ${accuracy} of ${clean}`)
  }
  assert.ok(accuracyUnder(one, aggregationPlans.mean, attacks['times1000']!, liars, times) < 0.3)
})

test.run()
