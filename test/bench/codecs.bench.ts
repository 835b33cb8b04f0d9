/**
 * What each codec makes of real updates: ten rounds of a hundred local steps of a 2NN on images of ten random classes.
 * Bytes and relative error of the first update, relative error of the sum of all ten with error feedback, and speed in MB
 * of float32 a second.
 *
 * `npm run bench -- codecs [SECONDS A CODEC]`
 */
import { type CodecPlan, createCodec } from '../../src/federation/codecs/codec.ts'
import { addWeighted, unitsPerOne } from '../../src/federation/codecs/fixed-vector.ts'
import type { Bits } from '../../src/federation/codecs/levels.ts'
import { createRandom, openSession, type RuntimeTensor, splitParameters } from '../../src/onnx/index.ts'
import { buildTrainingStep, classification, createOptimizer, mlp } from '../../src/training/index.ts'

const rounds = 10
const localSteps = 100
const batch = 10
const [pixels, classes] = [784, 10]
/** As in images of digits: most pixels are empty in all of a class, and an eighth in all images. */
const litShare = 0.2
const edgePixels = 98

const plans: readonly CodecPlan[] = [
  ...([16, 8, 4, 2, 1] as const).map(quantise),
  ...[1 / 16, 1 / 64, 1 / 256].flatMap((share) =>
    ([8, 4, 2, 1] as const).map((bits): CodecPlan => ({ kind: 'topk', share, values: quantise(bits) })),
  ),
]
function quantise<B extends Bits>(bits: B) {
  return { kind: 'quantise', bits } as const
}

export async function run(args: readonly string[]): Promise<Readonly<Record<string, unknown>>> {
  const measureMs = Number(args[0] ?? 0.5) * 1000
  const deltas = await trainedDeltas()
  const { length } = deltas[0]!
  const figures: Record<string, unknown> = { parameters: length, float32Bytes: length * 4 }
  for (const plan of plans) figures[keyOf(plan)] = measure(plan, deltas, measureMs)
  return figures
}

function keyOf(plan: CodecPlan): string {
  return plan.kind === 'quantise' ? `bits${plan.bits}` : `top${1 / plan.share}bits${plan.values.bits}`
}

function measure(
  plan: CodecPlan,
  deltas: readonly Float32Array[],
  measureMs: number,
): Readonly<Record<string, number>> {
  const codec = createCodec(plan)
  const first = deltas[0]!
  const { bytes, residual } = codec.encode(first, null)
  const megabytes = (first.length * 4) / 1e6
  return {
    bytes: bytes.length,
    ratio: round((first.length * 4) / bytes.length),
    relativeError: round(norm(residual) / norm(first)),
    feedbackError: round(feedbackError(plan, deltas)),
    encodeMBps: round(megabytes / medianSeconds(() => codec.encode(first, residual), measureMs)),
    decodeMBps: round(megabytes / medianSeconds(() => codec.decode(bytes, first.length), measureMs)),
  }
}

/** Of the sum of all updates, each sent with what those before still owed. */
function feedbackError(plan: CodecPlan, deltas: readonly Float32Array[]): number {
  const codec = createCodec(plan)
  const { length } = deltas[0]!
  const sums = new Float64Array(length)
  const meant = new Float32Array(length)
  let residual: Float32Array | null = null
  for (const delta of deltas) {
    const encoded = codec.encode(delta, residual)
    residual = encoded.residual
    addWeighted(sums, codec.decode(encoded.bytes, length), 1)
    for (let i = 0; i < length; i++) meant[i] = meant[i]! + delta[i]!
  }
  return norm(meant.map((value, i) => sums[i]! / unitsPerOne - value)) / norm(meant)
}

/** What the model's weights change by in each round. */
async function trainedDeltas(): Promise<Float32Array[]> {
  const { model, layout, initial } = mlp()
  const optimizer = createOptimizer({ kind: 'sgd', learningRate: 0.1 })
  const feeds = [
    { name: 'inputs', type: 'float32', shape: [batch, pixels] },
    { name: 'targets', type: 'int32', shape: [batch] },
  ] as const
  const step = buildTrainingStep({ layout, feeds, loss: classification(model), optimizer })
  const session = await openSession(step.bytes, { threads: 1 })
  const random = createRandom(2)
  const prototypes = Array.from({ length: classes }, () =>
    Array.from({ length: pixels }, (_, at) => (at >= edgePixels && random.unit() < litShare ? random.unit() : 0)),
  )
  let parameters = initial(1)
  const deltas: Float32Array[] = []
  for (let at = 0; at < rounds; at++) {
    const targets = Int32Array.from({ length: localSteps * batch }, () => random.below(classes))
    const inputs = Float32Array.from({ length: localSteps * batch * pixels }, (_, i) => {
      const lit = prototypes[targets[Math.floor(i / pixels)]!]![i % pixels]!
      return lit === 0 ? 0 : Math.min(1, lit * (0.5 + random.unit()))
    })
    const rates = Float32Array.from(Array.from({ length: localSteps }, (_, i) => optimizer.rates(i + 1, 0)).flat())
    const carried = splitParameters(layout, parameters).map(({ name, shape, values }): [string, RuntimeTensor] => [
      name,
      { type: 'float32', shape: [...shape], data: values },
    ])
    const results = await session.run({
      inputs: { type: 'float32', shape: [localSteps, batch, pixels], data: inputs },
      targets: { type: 'int32', shape: [localSteps, batch], data: targets },
      rates: { type: 'float32', shape: [localSteps, optimizer.rateCount], data: rates },
      ...Object.fromEntries(carried),
    })
    const next = new Float32Array(layout.length)
    for (const { name, offset } of layout.entries) next.set(results[`${name}.next`]!.data as Float32Array, offset)
    const before = parameters
    deltas.push(next.map((value, i) => value - before[i]!))
    parameters = next
  }
  await session.release()
  return deltas
}

function medianSeconds(work: () => void, measureMs: number): number {
  const times: number[] = []
  const end = performance.now() + measureMs / 2
  while (performance.now() < end || times.length < 5) {
    const started = performance.now()
    work()
    times.push((performance.now() - started) / 1000)
  }
  return times.sort((a, b) => a - b)[times.length >> 1]!
}
function norm(values: Float32Array): number {
  return Math.sqrt(values.reduce((sum, value) => sum + value * value, 0))
}
const round = (value: number): number => Number(value.toPrecision(4))
