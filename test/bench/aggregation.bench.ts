/**
 * How long each rule takes, from compressed updates to the result, on one thread; how much that is more than the plain
 * mean of a round of ten updates of the 2NN, in percent of a round of 0.5 s; the longest that the thread was held; and
 * how far 30 % liars move each rule, in lengths of the honest mean.
 *
 * `npm run bench -- aggregation [UPDATES LENGTH]`: one size, with WebAssembly alone. Without: 10 updates of 199,210 and
 * 100 of 1,000,000, and also without WebAssembly (of the latter a tenth of the length, times ten).
 */
import {
  type AggregationPlan,
  aggregationPlans,
  createAggregator,
  type KernelName,
  type Update,
} from '../../src/federation/aggregation/index.ts'
import { createCodec } from '../../src/federation/codecs/codec.ts'
import { createRandom } from '../../src/onnx/index.ts'
import { attackedRound, attacks, movedBy, world } from '../federation/aggregation-attacks.ts'

/** The weights of McMahan's 2NN. */
const twoLayers = 199_210
/** What a round takes besides, as the issue wants it. */
const roundMs = 500

const plans: Readonly<Record<string, AggregationPlan>> = {
  ...aggregationPlans,
  outliers: { weigh: 'samples', outliers: { measure: 'norm', sigmas: 3 }, rule: { kind: 'mean' } },
  weightedMedian: { weigh: 'samples', rule: { kind: 'median' } },
}

export async function run(args: readonly string[]): Promise<Readonly<Record<string, unknown>>> {
  if (args.length > 0) return timesOf(Number(args[0]), Number(args[1]), 'wasm')
  const round = await timesOf(10, twoLayers, 'wasm')
  const overhead = Object.fromEntries(
    Object.entries(round)
      .filter(([name]) => name !== 'mean' && name !== 'longestTurn')
      .map(([name, ms]) => [name, rounded((100 * (ms - round['mean']!)) / roundMs)]),
  )
  return {
    roundOf10x2nnMs: round,
    overheadPercent: overhead,
    roundOf10x2nnPlainMs: await timesOf(10, twoLayers, 'plain'),
    of100x1MMs: await timesOf(100, 1_000_000, 'wasm'),
    of100x1MPlainMs: Object.fromEntries(
      Object.entries(await timesOf(100, 100_000, 'plain')).map(([name, ms]) => [name, rounded(ms * 10)]),
    ),
    moved: movements(),
  }
}

const rounded = (value: number): number => Number(value.toPrecision(3))

async function timesOf(updates: number, length: number, kernels: KernelName): Promise<Record<string, number>> {
  const given = Array.from({ length: updates }, (_, seed) => updateOf(length, seed + 1))
  const times: Record<string, number> = {}
  let longestTurn = 0
  for (const [name, plan] of Object.entries(plans)) {
    const aggregator = createAggregator(plan, { kernels })
    const runs: number[] = []
    const enough = updates * length > 1e7 ? 2 : 7
    while (runs.length < enough) {
      const watch = watchTurns()
      const started = performance.now()
      await aggregator.aggregateInTurns(given)
      runs.push(performance.now() - started)
      longestTurn = Math.max(longestTurn, watch())
    }
    times[name] = rounded(Math.min(...runs))
  }
  return kernels === 'wasm' ? { ...times, longestTurn: rounded(longestTurn) } : times
}

/** The longest between two turns of the event loop. */
function watchTurns(): () => number {
  let last = performance.now()
  let longest = 0
  let goesOn = true
  const turn = (): void => {
    longest = Math.max(longest, performance.now() - last)
    last = performance.now()
    if (goesOn) setImmediate(turn)
  }
  setImmediate(turn)
  return () => {
    goesOn = false
    turn()
    return longest
  }
}

/** As it comes over the wire: 8 bits and a step for each block. */
const codec = createCodec({ kind: 'quantise', bits: 8 })

function updateOf(length: number, seed: number): Update {
  const random = createRandom(seed)
  const delta = Float32Array.from({ length }, () => (random.unit() - 0.5) / 1000)
  return { samples: 500 + random.below(200), values: codec.reader(codec.encode(delta, null).bytes, length) }
}

function movements(): Record<string, Record<string, number>> {
  const [one, liars] = [world(1), 6]
  const rounds = Object.entries(attacks).map(
    ([name, attack]) => [name, attackedRound(one, one.initial, 0, attack, liars)] as const,
  )
  return Object.fromEntries(
    Object.entries(plans).map(([rule, plan]) => [
      rule,
      Object.fromEntries(rounds.map(([name, deltas]) => [name, rounded(movedBy(deltas, plan, liars).moved)])),
    ]),
  )
}
