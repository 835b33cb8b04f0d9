/**
 * A small federation in which some lie: 20 clients train a perceptron (24-32-8, ReLU) on points around eight centres,
 * each client with a taste for some classes and data of its own; updates are compressed as in a run. All from a seed.
 */
import { type Aggregate, createAggregator, deltaOf, type Update } from '../../src/federation/aggregation/index.ts'
import { createCodec } from '../../src/federation/codecs/codec.ts'
import { createRandom, type Random } from '../../src/onnx/index.ts'

const [inputs, hidden, classes] = [24, 32, 8]
const clients = 20
export const samplesEach = 200
const batch = 10
const rate = 0.1
const sizes = { w1: inputs * hidden, b1: hidden, w2: hidden * classes, b2: classes }
export const parameters = sizes.w1 + sizes.b1 + sizes.w2 + sizes.b2

interface Point {
  readonly x: Float64Array
  readonly y: number
}

/** Near enough to a normal distribution, of 12 uniform numbers. */
const normal = (random: Random): number => {
  let sum = -6
  for (let i = 0; i < 12; i++) sum += random.unit()
  return sum
}

/** Adds the gradient of one point's cross-entropy; returns the class that is given. */
function backward(weights: ArrayLike<number>, { x, y }: Point, gradient: Float64Array | undefined): number {
  const [b1, w2, b2] = [sizes.w1, sizes.w1 + sizes.b1, sizes.w1 + sizes.b1 + sizes.w2]
  const h = Array.from({ length: hidden }, (_, j) => {
    let sum = weights[b1 + j]!
    for (let i = 0; i < inputs; i++) sum += weights[j * inputs + i]! * x[i]!
    return Math.max(0, sum)
  })
  const logits = Array.from({ length: classes }, (_, k) =>
    h.reduce((sum, one, j) => sum + one * weights[w2 + k * hidden + j]!, weights[b2 + k]!),
  )
  const most = Math.max(...logits)
  if (gradient === undefined) return logits.indexOf(most)
  const total = logits.reduce((sum, one) => sum + Math.exp(one - most), 0)
  const errors = logits.map((one, k) => Math.exp(one - most) / total - (k === y ? 1 : 0))
  for (const [k, error] of errors.entries()) {
    gradient[b2 + k] = gradient[b2 + k]! + error
    for (let j = 0; j < hidden; j++) gradient[w2 + k * hidden + j] = gradient[w2 + k * hidden + j]! + error * h[j]!
  }
  for (let j = 0; j < hidden; j++) {
    if (h[j] === 0) continue
    const back = errors.reduce((sum, error, k) => sum + error * weights[w2 + k * hidden + j]!, 0)
    gradient[b1 + j] = gradient[b1 + j]! + back
    for (let i = 0; i < inputs; i++) gradient[j * inputs + i] = gradient[j * inputs + i]! + back * x[i]!
  }
  return logits.indexOf(most)
}

/** One epoch of SGD. Returns what the weights have gained. */
function train(weights: Float32Array, data: readonly Point[], random: Random): Float32Array {
  const local = Float64Array.from(weights)
  for (let step = 0; step < data.length / batch; step++) {
    const gradient = new Float64Array(parameters)
    for (let i = 0; i < batch; i++) backward(local, data[random.below(data.length)]!, gradient)
    for (let i = 0; i < parameters; i++) local[i] = local[i]! - (rate / batch) * gradient[i]!
  }
  return Float32Array.from(local, (value, i) => value - weights[i]!)
}

/** What liars make of the deltas: those of the honest, which they are given, and what they would send if they were. */
export type Attack = (honest: readonly Float32Array[], own: Float32Array) => Float32Array

const meanOf = (deltas: readonly Float32Array[]): Float32Array =>
  Float32Array.from(deltas[0]!, (_, i) => deltas.reduce((sum, one) => sum + one[i]!, 0) / deltas.length)

export const attacks: Readonly<Record<string, Attack>> = {
  signFlip: (_, own) => own.map((value) => -value),
  times1000: (_, own) => own.map((value) => value * -1000),
  /** All liars send the same point, one deviation from the mean in each place: Baruch et al. 2019, with a high z. */
  littleIsEnough: (honest) => {
    const mean = meanOf(honest)
    return mean.map((value, i) => {
      const variance = honest.reduce((sum, one) => sum + (one[i]! - value) ** 2, 0) / honest.length
      return value - Math.sqrt(variance)
    })
  },
  /** Inner-product manipulation: Xie, Koyejo and Gupta 2019. */
  smallReversed: (honest) => meanOf(honest).map((value) => -0.5 * value),
  /** Trained on turned labels: see `world`. */
  labelFlip: (_, own) => own,
}

export interface World {
  readonly initial: Float32Array
  /** The deltas of a round; the first `liars` clients train on turned labels if `flipped`. */
  deltas(weights: Float32Array, round: number, liars: number, flipped: boolean): Float32Array[]
  accuracy(weights: Float32Array): number
}

export function world(seed: number): World {
  const random = createRandom(seed)
  const centres = Array.from({ length: classes }, () =>
    Float64Array.from({ length: inputs }, () => normal(random) * 0.6),
  )
  const point = (y: number): Point => ({ x: centres[y]!.map((centre) => centre + normal(random)), y })
  const data = Array.from({ length: clients }, (_, client) =>
    Array.from({ length: samplesEach }, (_, i) => point(i % 3 === 0 ? client % classes : random.below(classes))),
  )
  const test = Array.from({ length: 800 }, (_, i) => point(i % classes))
  const initial = Float32Array.from({ length: parameters }, (_, i) => (i < sizes.w1 ? 0.2 : 0.15) * normal(random))
  return {
    initial,
    deltas: (weights, round, liars, flipped) =>
      data.map((points, client) => {
        const turned = flipped && client < liars
        const seen = turned ? points.map(({ x, y }) => ({ x, y: classes - 1 - y })) : points
        return train(weights, seen, createRandom(seed * 1000 + round * 50 + client))
      }),
    accuracy: (weights) => test.filter((one) => backward(weights, one, undefined) === one.y).length / test.length,
  }
}

const codec = createCodec({ kind: 'quantise', bits: 8 })

export const updateOf = (delta: Float32Array, samples = samplesEach): Update => ({
  samples,
  values: codec.encode(delta, null).sent.units,
})

export const lengthOf = (values: ArrayLike<number>): number =>
  Math.sqrt(Array.from(values).reduce((sum, value) => sum + value * value, 0))
export const apart = (a: Float64Array, b: Float64Array): number => lengthOf(a.map((value, i) => value - b[i]!))

/** The updates of a round in which the first `liars` of 20 attack. */
export function attackedRound(
  one: World,
  weights: Float32Array,
  round: number,
  attack: Attack,
  liars: number,
): Float32Array[] {
  const deltas = one.deltas(weights, round, liars, attack === attacks['labelFlip'])
  const honest = deltas.slice(liars)
  return deltas.map((delta, client) => (client < liars ? attack(honest, delta) : delta))
}

/** Accuracy after so many rounds, of which all are attacked. */
export function accuracyUnder(one: World, plan: unknown, attack: Attack, liars: number, rounds: number): number {
  const aggregator = createAggregator(plan)
  let weights = one.initial
  for (let round = 0; round < rounds; round++) {
    const updates = attackedRound(one, weights, round, attack, liars).map((delta) => updateOf(delta))
    const delta = deltaOf(aggregator.aggregate(updates).values)
    weights = weights.map((weight, i) => weight + delta[i]!)
  }
  return one.accuracy(weights)
}

/** How far what a plan makes of a round's deltas lies from the mean of the honest ones, in lengths of that mean. */
export function movedBy(
  deltas: readonly Float32Array[],
  plan: unknown,
  liars: number,
): { readonly moved: number; readonly result: Aggregate } {
  const updates = deltas.map((delta) => updateOf(delta))
  const honest = createAggregator({ weigh: 'equal', rule: { kind: 'mean' } }).aggregate(updates.slice(liars))
  const result = createAggregator(plan).aggregate(updates)
  return { moved: apart(result.values, honest.values) / lengthOf(honest.values), result }
}
