import { OwmError } from '../lib/index.ts'
import { createOuterOptimizer } from '../training/index.ts'
import { createAggregator, deltaOf, type Update, type UpdateReport } from './aggregation/index.ts'
import { type Codec, createCodec } from './codecs/codec.ts'
import { type FixedVector, unitsPerOne } from './codecs/fixed-vector.ts'
import type { RunSpecification } from './index.ts'

/** What goes on from round to round beside the weights: all who compute a result need it, who trains does not. */
export interface Carried {
  /** Of the outer optimizer, in the order of its `stateNames`. */
  readonly outer: readonly Float32Array[]
  /** What compressing the steps has withheld so far; null where they are not compressed. */
  readonly residual: Float32Array | null
}

export interface RoundResult {
  readonly weights: Float32Array
  readonly carried: Carried
  /** From which who has the weights before makes the new ones; null where steps are not compressed. */
  readonly step: Uint8Array | null
  /** In the order of the updates. */
  readonly reports: readonly UpdateReport[]
}

/** What a run makes of a checkpoint and a round's updates: the same bits on every machine. */
export interface RoundRule {
  /** Of updates. */
  readonly codec: Codec
  /** Of steps; null where whole weights travel. */
  readonly stepCodec: Codec | null
  initialCarried(length: number): Carried
  /**
   * @param updates in ascending order of their authors
   * @throws OwmError as `Aggregator.aggregate` and `OuterOptimizer.apply`
   */
  next(weights: Float32Array, carried: Carried, updates: readonly Update[]): Promise<RoundResult>
  /** The weights after a step. @throws RejectedError as `Codec.decode` */
  follow(weights: Float32Array, step: Uint8Array): Float32Array
  /** All that is carried, as one block; null when that is nothing. */
  packCarried(carried: Carried): Uint8Array | null
  carriedBytes(length: number): number
  /** @throws OwmError `corrupt` */
  unpackCarried(bytes: Uint8Array, length: number): Carried
}

export function createRoundRule(
  specification: Pick<RunSpecification, 'compression' | 'aggregation' | 'outer'>,
): RoundRule {
  const { compression } = specification
  const codec = createCodec(compression.updates)
  const stepCodec = compression.results === null ? null : createCodec(compression.results)
  const aggregator = createAggregator(specification.aggregation)
  const outer = createOuterOptimizer(specification.outer)
  const parts = outer.stateNames.length + (stepCodec === null ? 0 : 1)
  return {
    codec,
    stepCodec,
    initialCarried: (length) => ({
      outer: outer.initialState(length),
      residual: stepCodec === null ? null : new Float32Array(length),
    }),
    next: async (weights, carried, updates) => {
      const { values, reports } = await aggregator.aggregateInTurns(updates)
      const stepped = outer.apply({ parameters: weights, state: carried.outer, delta: deltaOf(values) })
      if (stepCodec === null) {
        return { weights: stepped.parameters, carried: { outer: stepped.state, residual: null }, step: null, reports }
      }
      const step = stepped.parameters.map((value, i) => value - weights[i]!)
      const { bytes, sent, residual } = stepCodec.encode(step, carried.residual)
      return { weights: added(weights, sent), carried: { outer: stepped.state, residual }, step: bytes, reports }
    },
    follow: (weights, step) => {
      if (stepCodec === null) throw new OwmError('internal_error', 'The run has no steps to follow.')
      return added(weights, stepCodec.decode(step, weights.length))
    },
    packCarried: ({ outer: state, residual }) => {
      if (parts === 0) return null
      const arrays = residual === null ? state : [...state, residual]
      const all = new Float32Array(parts * (arrays[0]?.length ?? 0))
      for (const [at, array] of arrays.entries()) all.set(array, at * array.length)
      return new Uint8Array(all.buffer)
    },
    carriedBytes: (length) => parts * length * 4,
    unpackCarried: (bytes, length) => {
      if (bytes.byteLength !== parts * length * 4) {
        throw new OwmError('corrupt', `${bytes.byteLength} bytes are not what is carried of ${length} weights.`)
      }
      const all = new Float32Array(new Uint8Array(bytes).buffer)
      const arrays = Array.from({ length: parts }, (_, at) => all.slice(at * length, (at + 1) * length))
      const state = arrays.slice(0, outer.stateNames.length)
      return { outer: state, residual: arrays[outer.stateNames.length] ?? null }
    },
  }
}

/** One addition in doubles and one rounding to float32 for each weight. */
function added(weights: Float32Array, { units }: FixedVector): Float32Array {
  const next = new Float32Array(weights.length)
  for (let i = 0; i < next.length; i++) next[i] = weights[i]! + units[i]! / unitsPerOne
  return next
}
