import { setImmediate } from 'node:timers/promises'
import { OwmError } from '../../lib/index.ts'
import { eachBlock, type Row } from './blocks.ts'
import { boundInUnits, clippingFactor } from './bounds.ts'
import { decide, needsProducts, putTogether } from './decision.ts'
import type { Aggregate, Aggregator, Update } from './index.ts'
import { maxLength, maxUpdates, oneWhole, valueLimit } from './kernels.ts'
import { type KernelName, openKernels } from './open-kernels.ts'
import { leastToJudge, outlierLimit, outliersAmong, typicalDistances } from './outliers.ts'
import { type AggregationPlan, objection, readPlan } from './plan.ts'
import { reportsOf } from './reports.ts'
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

/**
 * Updates are read as few times as can be: once to know their norms, and, where nothing can be rejected or clipped, to do
 * all the rest as well; once more to put them together. Yields where a pause may be made: it changes nothing.
 */
function* aggregation(
  plan: AggregationPlan,
  updates: readonly Update[],
  kernelName: KernelName | undefined,
): Generator<void, Aggregate> {
  const readers = updates.map(({ values }) => readerOf(values))
  const shares = checkedShares(plan, updates, readers)
  const length = readers[0]!.length
  const values = new Float64Array(length)
  const { clip } = plan
  const outliers = updates.length < leastToJudge ? undefined : plan.outliers
  const products = needsProducts(plan)
  let rows: readonly Row[] = readers.map((reader, at) => ({ at, reader, factor: oneWhole }))

  const atOnce =
    clip === undefined && outliers === undefined && !products ? yield* decide(plan, shares, undefined) : undefined
  const multiplies = outliers?.measure === 'distance' || (products && clip === undefined)
  const first = openKernels(rows.length, kernelName)
  yield* eachBlock(first, rows, length, (from, to) => {
    for (const { at } of rows) {
      const peak = first.survey(at)
      if (peak < valueLimit) continue
      throw new OwmError('out_of_range', `Update ${at} has a weight of ${peak} units.`, { update: at })
    }
    if (multiplies) first.multiply()
    if (atOnce !== undefined) putTogether(first, atOnce, atOnce.weights, values.subarray(from, to))
  })
  const squaredNorms = rows.map(({ at }) => first.squaredNorm(at))
  const norms = squaredNorms.map(squareRoot)
  let gram = multiplies ? first.gram() : undefined

  let sizes: readonly bigint[] | undefined
  let limit: bigint | undefined
  if (outliers !== undefined) {
    sizes = outliers.measure === 'distance' && gram !== undefined ? typicalDistances(gram) : norms
    limit = outlierLimit(sizes, outliers.sigmas)
    const gone = outliersAmong(sizes, limit, (left) => objection(plan, left) === undefined)
    rows = rows.filter(({ at }) => !gone.has(at))
    gram = gram?.of(rows.map(({ at }) => at))
  }

  let bound: bigint | undefined
  if (clip !== undefined) {
    const clipTo = boundInUnits(
      clip,
      rows.map(({ at }) => norms[at]!),
    )
    rows = rows.map((row) => ({ ...row, factor: clippingFactor(squaredNorms[row.at]!, clipTo) }))
    if (rows.some(({ factor }) => factor < oneWhole)) gram = undefined
    bound = clipTo
  }

  if (products && gram === undefined) {
    const kernels = openKernels(rows.length, kernelName)
    yield* eachBlock(kernels, rows, length, () => kernels.multiply())
    gram = kernels.gram()
  }
  const rowShares = rows.map(({ at }) => shares[at]!)
  const decision = atOnce ?? (yield* decide(plan, rowShares, gram))
  const { weights, whole, trim } = decision

  const used = rows.filter((_, i) => weights[i]! > 0)
  // Centered clipping with a radius of next to nothing may give nobody a weight: then the step is zero.
  if (atOnce === undefined && used.length > 0) {
    const usedWeights = weights.filter((weight) => weight > 0)
    const kernels = openKernels(used.length, kernelName)
    yield* eachBlock(kernels, used, length, (from, to) =>
      putTogether(kernels, decision, usedWeights, values.subarray(from, to)),
    )
  }
  return {
    values,
    whole: trim === undefined ? whole : whole + 2 * trim,
    trim: trim ?? null,
    bound: bound === undefined ? null : Number(bound),
    limit: limit === undefined ? null : Number(limit),
    reports: reportsOf(norms, sizes, rows, decision),
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
