/**
 * What int8 and int4 weights cost in quality, and save in bytes and time. Quality is of a small GPT over bytes that is
 * trained here, on Tiny Shakespeare where `../shared/data` has it, else on this repository's own text; time is of a
 * token of GPT-2's shape, where weights are what takes time, with random weights.
 *
 * `npm run bench -- quantise [SECONDS OF TRAINING]`
 */
import { existsSync, globSync, readFileSync } from 'node:fs'
import {
  encodeModel,
  type Model,
  openSession,
  type QuantiseOptions,
  quantiseModel,
  type RuntimeTensor,
  withParameters,
} from '../../src/onnx/index.ts'
import { windowsOf } from '../../src/training/data/windows.ts'
import { buildTrainingStep, createOptimizer, transformer, transformerSizes } from '../../src/training/index.ts'
import { feedsOf, lossOf } from '../../src/training/objective.ts'
import { createStepper } from '../../src/training/stepper.ts'

const shakespeare = '../shared/data/tinyshakespeare/input.txt'
const context = 64
const vocabulary = 256
const batch = 8
/** Windows of held-out text that are measured. */
const measured = 512
const rounds = 50

const variants: Readonly<Record<string, QuantiseOptions | undefined>> = {
  Float: undefined,
  Int8: { bits: 8 },
  Int4: { bits: 4 },
  // More bytes for the part that is closest to the answer, or fewer for all.
  Int4HeadFloat: { bits: 4, exempt: ['head.*'] },
  Int4Block16: { bits: 4, blockSize: 16 },
  Int4Block64: { bits: 4, blockSize: 64 },
}

const timed = ['Float', 'Int8', 'Int4']

export async function run([seconds = '30']: readonly string[]): Promise<Readonly<Record<string, unknown>>> {
  const text = existsSync(shakespeare)
    ? readFileSync(shakespeare)
    : Buffer.concat(
        globSync(['docs/**/*.md', 'src/**/*.ts'])
          .sort()
          .map((file) => readFileSync(file)),
      )
  const cut = Math.floor(text.length * 0.95)
  // A Llama, which learns more than a GPT-2 does in so short a time.
  const llama = { positions: 'rotary', activation: 'silu', norm: 'rms' } as const
  const base = transformer({ ...transformerSizes.small, ...llama, context, vocabulary })
  const parameters = await train(base, text.subarray(0, cut), Number(seconds))
  const trained = withParameters(base.model, parameters)
  const figures: Record<string, number | string> = { text: existsSync(shakespeare) ? 'tinyshakespeare' : 'own' }
  const variant = (model: Model, options: QuantiseOptions | undefined): Model =>
    options === undefined ? model : quantiseModel(model, options)
  for (const [name, options] of Object.entries(variants)) {
    const model = variant(trained, options)
    figures[`bitsPerByte${name}`] = round(await bitsPerByte(model, text.subarray(cut)))
    figures[`bytes${name}`] = encodeModel(model).length
  }
  const large = transformer({ ...transformerSizes.gpt2, context, vocabulary })
  const wide = withParameters(large.model, large.initial(1))
  const files = timed.map((name) => encodeModel(variant(wide, variants[name])))
  const times = await tokenMs(files)
  for (const [at, name] of timed.entries()) {
    figures[`gpt2Bytes${name}`] = files[at]!.length
    figures[`tokenMs${name}`] = round(times[at]!)
  }
  return figures
}

const round = (value: number): number => Number(value.toPrecision(5))

async function train(base: ReturnType<typeof transformer>, text: Uint8Array, seconds: number): Promise<Float32Array> {
  const dataset = windowsOf(text, context, 'text')
  const optimizer = createOptimizer({
    kind: 'adamw',
    learningRate: 4e-3,
    weightDecay: 0.01,
    schedule: { kind: 'cosine', warmupSteps: 50, finalShare: 0.05 },
  })
  const step = buildTrainingStep({
    layout: base.layout,
    feeds: feedsOf(dataset.fields, batch),
    loss: lossOf(base.model, 'nextToken'),
    optimizer,
  })
  const session = await openSession(step.bytes, { threads: 2 })
  const stepper = createStepper({ step, session, dataset, optimizer, batch, seed: 1 })
  stepper.setParameters(base.initial(1))
  const startedMs = performance.now()
  const done = (): number => Math.min(1, (performance.now() - startedMs) / (1000 * seconds))
  while (done() < 1) {
    const progress = done()
    await stepper.advance(stepper.fitting(1000, 500), () => progress)
  }
  const parameters = stepper.parameters()
  await stepper.release()
  return parameters
}

/** Of windows spread over the text, each byte but a window's first predicted. */
async function bitsPerByte(model: Model, text: Uint8Array): Promise<number> {
  const dataset = windowsOf(text, context, 'text')
  const session = await openSession(encodeModel(model), { threads: 2 })
  let nats = 0
  for (let at = 0; at < measured; at++) {
    const window = new Int32Array(context + 1)
    dataset.read(Math.floor((at * dataset.length) / measured), [window], 0)
    const tokens: RuntimeTensor = { type: 'int32', shape: [1, context], data: window.slice(0, context) }
    const logits = (await session.run({ tokens }))['logits']!.data as Float32Array
    for (let place = 0; place < context; place++) {
      const row = logits.subarray(place * vocabulary, (place + 1) * vocabulary)
      const largest = Math.max(...row)
      const sum = row.reduce((total, value) => total + Math.exp(value - largest), 0)
      nats += largest + Math.log(sum) - row[window[place + 1]!]!
    }
  }
  await session.release()
  return nats / (measured * context) / Math.LN2
}

/** Medians of one token alone, on one thread, of several models in turn: what else runs here slows all alike. */
async function tokenMs(files: readonly Uint8Array[]): Promise<number[]> {
  const tokens: RuntimeTensor = { type: 'int32', shape: [1, 1], data: Int32Array.of(65) }
  const models = await Promise.all(
    files.map(async (bytes) => ({ session: await openSession(bytes, { threads: 1 }), times: [] as number[] })),
  )
  for (let at = 0; at < rounds; at++) {
    for (const { session, times } of models) {
      const started = performance.now()
      await session.run({ tokens })
      times.push(performance.now() - started)
    }
  }
  for (const { session } of models) await session.release()
  return models.map(({ times }) => times.toSorted((a, b) => a - b)[Math.floor(rounds / 2)]!)
}
