import { setImmediate } from 'node:timers/promises'
import { OwmError } from '../../lib/index.ts'
import { boundInUnits, clippingFactor } from './bounds.ts'
import { centeredClipping, geometricMedian } from './geometric-median.ts'
import type { Gram } from './gram.ts'
import type { Aggregate, Aggregator, Update, UpdateReport } from './index.ts'
import { type Kernels, maxLength, maxUpdates, oneWhole, valueLimit } from './kernels.ts'
import { krumScores, lowestOf } from './krum.ts'
import { mix, unmix } from './mixing.ts'
import { type KernelName, openKernels } from './open-kernels.ts'
import { leastToJudge, outlierLimit, outliersAmong, typicalDistances } from './outliers.ts'
import { type AggregationPlan, type AggregationRule, liarsAmong, objection, readPlan } from './plan.ts'
import { squareRoot } from './square-root.ts'
import { readerOf, type ValueReader } from './values.ts'

/** Work goes on for so long before timers and messages have their turn: a frame of a display, not felt. */
const turnMs = 8

/** @throws OwmError `bad_plan`, `cannot_weigh`; `no_simd` where `wasm` is asked for in vain */
export function createAggregator(plan: unknown, init: { readonly kernels?: KernelName } = {}): Aggregator {
  const known = readPlan(plan)
  return {
    plan: known,
    aggregate(updates) {
      const work = aggregation(known, updates, init.kernels)
      for (;;) {
        const { done, value } = work.next()
        if (done) return value
      }
    },
    async aggregateInTurns(updates, { signal } = {}) {
      const work = aggregation(known, updates, init.kernels)
      let startedMs = performance.now()
      for (;;) {
        signal?.throwIfAborted()
        const { done, value } = work.next()
        if (done) return value
        if (performance.now() - startedMs < turnMs) continue
        await setImmediate()
        startedMs = performance.now()
      }
    },
  }
}

/** One of the updates that still count, with what clipping makes of it. */
interface Row {
  readonly at: number
  readonly reader: ValueReader
  readonly factor: number
}

interface Weights {
  readonly weights: readonly number[]
  readonly whole: number
  readonly scores?: readonly bigint[]
}

/** How the rows are put together: by integer weights, or place by place with `trim` of the mass left out on each side. */
type Decision = Weights | { readonly trim: number; readonly mass: readonly number[] | undefined; readonly kept: number }

/** Yields where a pause may be made. All of the order of work is fixed; a pause changes nothing. */
function* aggregation(
  plan: AggregationPlan,
  updates: readonly Update[],
  kernelName: KernelName | undefined,
): Generator<void, Aggregate> {
  const readers = updates.map(({ values }) => readerOf(values))
  const shares = checkedShares(plan, updates, readers)
  const length = readers[0]!.length
  const open = (rows: number): Kernels => openKernels(rows, kernelName)
  let rows: Row[] = readers.map((reader, at) => ({ at, reader, factor: oneWhole }))

  let kernels = open(rows.length)
  yield* eachBlock(kernels, rows, length, () => {
    for (const row of rows) {
      const peak = kernels.survey(row.at)
      if (peak < valueLimit) continue
      throw new OwmError('out_of_range', `Update ${row.at} has a weight of ${peak} units.`, { update: row.at })
    }
  })
  const squaredNorms = rows.map(({ at }) => kernels.squaredNorm(at))
  const norms = squaredNorms.map(squareRoot)

  let gram: Gram | undefined
  let outlying: { readonly sizes: readonly bigint[]; readonly limit: bigint } | undefined
  if (plan.outliers !== undefined && rows.length >= leastToJudge) {
    if (plan.outliers.measure === 'distance') gram = yield* gramOf(kernels, rows, length)
    const sizes = gram === undefined ? norms : typicalDistances(gram)
    const limit = outlierLimit(sizes, plan.outliers.sigmas)
    const gone = outliersAmong(sizes, limit, (left) => objection(plan, left) === undefined)
    outlying = { sizes, limit }
    rows = rows.filter(({ at }) => !gone.has(at))
    gram = gram?.of(rows.map(({ at }) => at))
  }

  const left = rows.map(({ at }) => norms[at]!)
  const bound = plan.clip === undefined ? undefined : boundInUnits(plan.clip, left)
  if (bound !== undefined) {
    rows = rows.map((row) => ({ ...row, factor: clippingFactor(squaredNorms[row.at]!, bound) }))
    if (rows.some(({ factor }) => factor < oneWhole)) gram = undefined
  }

  if (gram === undefined && needsProducts(plan)) {
    kernels = open(rows.length)
    gram = yield* gramOf(kernels, rows, length)
  }
  const rowShares = rows.map(({ at }) => shares[at]!)
  const decision = decide(plan, rowShares, gram)

  const values = new Float64Array(length)
  const weightOf = new Map<number, number>()
  for (const [i, { at }] of rows.entries()) {
    weightOf.set(at, 'trim' in decision ? (decision.mass?.[i] ?? 1) : decision.weights[i]!)
  }
  const used = rows.filter(({ at }) => weightOf.get(at)! > 0)
  const weights = used.map(({ at }) => weightOf.get(at)!)
  const whole = 'trim' in decision ? decision.kept : decision.whole
  // Centered clipping with a radius of next to nothing may give nobody a weight: then the step is zero.
  if (used.length > 0) kernels = open(used.length)
  yield* eachBlock(kernels, used, used.length > 0 ? length : 0, (from, to) => {
    const sums = values.subarray(from, to)
    if (!('trim' in decision)) kernels.sum(weights, sums)
    else if (decision.mass === undefined) kernels.middle(decision.trim, sums)
    else kernels.weightedMiddle(weights, decision.trim, sums)
    for (let i = 0; i < sums.length; i++) sums[i] = sums[i]! / whole
  })

  const rowOf = new Map(rows.map((row, i) => [row.at, { ...row, i }]))
  const reports = updates.map((_, at): UpdateReport => {
    const row = rowOf.get(at)
    const weight = weightOf.get(at) ?? 0
    const score = row === undefined || 'trim' in decision ? undefined : decision.scores?.[row.i]
    return {
      verdict: row === undefined ? 'rejected' : weight > 0 ? 'counted' : 'left-out',
      code: row === undefined ? 'outlier' : weight > 0 ? null : score === undefined ? 'too_far' : 'not_chosen',
      weight,
      norm: Number(norms[at]!),
      clippedBy: row === undefined || row.factor === oneWhole ? null : row.factor / oneWhole,
      size: outlying === undefined ? null : Number(outlying.sizes[at]!),
      score: score === undefined ? null : Number(squareRoot(score)),
    }
  })
  return {
    values,
    whole: 'trim' in decision ? weights.reduce((sum, weight) => sum + weight, 0) : decision.whole,
    trim: 'trim' in decision ? decision.trim : null,
    bound: bound === undefined ? null : Number(bound),
    limit: outlying === undefined ? null : Number(outlying.limit),
    reports,
  }
}

/** @throws OwmError `too_few_updates`, `too_many_updates`, `wrong_length`, `bad_samples`, `too_many_samples` */
function checkedShares(plan: AggregationPlan, updates: readonly Update[], readers: readonly ValueReader[]): number[] {
  const { weigh, mostSamples } = plan
  const why = objection(plan, updates.length)
  if (why !== undefined) throw new OwmError('too_few_updates', `The updates cannot be put together: ${why}.`)
  if (updates.length > maxUpdates) throw new OwmError('too_many_updates', `${updates.length} are over ${maxUpdates}.`)
  const length = readers[0]!.length
  if (length < 1 || length > maxLength || readers.some((reader) => reader.length !== length)) {
    throw new OwmError('wrong_length', `Updates must have one length, from 1 to ${maxLength}.`)
  }
  const shares = updates.map(({ samples }, update) => {
    if (!Number.isSafeInteger(samples) || samples < 1) {
      throw new OwmError('bad_samples', `Update ${update} has ${samples} samples.`, { update })
    }
    return weigh === 'equal' ? 1 : Math.min(samples, mostSamples ?? oneWhole)
  })
  const total = shares.reduce((sum, share) => sum + share, 0)
  if (total > oneWhole) {
    throw new OwmError('too_many_samples', `The updates weigh ${total}; a sum is exact up to ${oneWhole}.`)
  }
  return shares
}

/** Calls `work` with each block of all rows loaded, and clipped. */
function* eachBlock(
  kernels: Kernels,
  rows: readonly Row[],
  length: number,
  work: (from: number, to: number) => void,
): Generator<void> {
  for (let from = 0; from < length; from += kernels.width) {
    const to = Math.min(length, from + kernels.width)
    for (const [i, { reader, factor }] of rows.entries()) {
      const row = kernels.rows[i]!
      reader.read(from, row.subarray(0, to - from))
      row.fill(0, to - from)
      if (factor < oneWhole) kernels.scale(i, factor)
    }
    work(from, to)
    yield
  }
}

function* gramOf(kernels: Kernels, rows: readonly Row[], length: number): Generator<void, Gram> {
  yield* eachBlock(kernels, rows, length, () => kernels.multiply())
  return kernels.gram()
}

function needsProducts({ rule, mix }: AggregationPlan): boolean {
  return mix !== undefined || !(rule.kind === 'mean' || rule.kind === 'median' || rule.kind === 'trimmed-mean')
}

function decide(
  { weigh, rule, mix: mixing }: AggregationPlan,
  shares: readonly number[],
  gram: Gram | undefined,
): Decision {
  const total = shares.reduce((sum, share) => sum + share, 0)
  const trimmed = (trim: number): Decision => ({
    trim,
    mass: weigh === 'samples' ? shares : undefined,
    kept: total - 2 * trim,
  })
  if (rule.kind === 'median') return trimmed(Math.ceil(total / 2) - 1)
  if (rule.kind === 'trimmed-mean') return trimmed(liarsAmong(rule.liars, total))
  if (mixing === undefined || gram === undefined) return weightsBy(rule, shares, gram, 1)
  const mixture = mix(gram, liarsAmong(mixing.liars, shares.length))
  const { weights, whole, scores } = weightsBy(rule, shares, mixture.gram, mixture.parts)
  return { ...unmix(mixture, weights, whole), ...(scores === undefined ? {} : { scores }) }
}

/** `parts`: of what the products are, as many make a whole update. */
function weightsBy(
  rule: Exclude<AggregationRule, { readonly kind: 'median' | 'trimmed-mean' }>,
  shares: readonly number[],
  gram: Gram | undefined,
  parts: number,
): Weights {
  const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0)
  if (rule.kind === 'mean') return { weights: shares, whole: sum(shares) }
  if (gram === undefined) throw new Error(`${rule.kind} needs the products`)
  if (rule.kind === 'geometric-median') {
    const weights = geometricMedian(gram, shares, rule.iterations, rule.smoothing * parts)
    return { weights, whole: sum(weights) }
  }
  if (rule.kind === 'centered-clipping') {
    const norms = shares.map((_, i) => gram.norm(i))
    const radius = boundInUnits(rule.radius, norms) * ('norm' in rule.radius ? BigInt(parts) : 1n)
    return { weights: centeredClipping(gram, shares, rule.iterations, radius), whole: oneWhole }
  }
  const liars = liarsAmong(rule.liars, shares.length)
  const scores = krumScores(gram, liars)
  const chosen = lowestOf(scores, rule.kind === 'krum' ? 1 : (rule.keep ?? shares.length - liars))
  const weights = shares.map((share, i) => (chosen.has(i) ? share : 0))
  return { weights, whole: sum(weights), scores }
}
