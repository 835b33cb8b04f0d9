/** One measurement in a process of its own: `measure.ts KIND WEIGHTS`, run with `--expose-gc`. Prints a line of JSON. */
import { readFileSync } from 'node:fs'
import {
  constantFeeds,
  createRandom,
  elementCount,
  encodeModel,
  openSession,
  type RuntimeTensor,
  splitParameters,
  withParameters,
} from '../../../src/onnx/index.ts'
import {
  buildTrainingStep,
  classification,
  createOptimizer,
  type Feed,
  type TrainableModel,
  transformer,
  withAdapters,
} from '../../../src/training/index.ts'
import { shapeOf } from './shape.ts'

export interface Measured {
  readonly rssBytes: number
  readonly peakRssBytes: number
  readonly stepMs: number
  readonly parameters: number
}

const steps = 5
const [kind = '', size = '', file = ''] = process.argv.slice(2)
const { batch, context, rank, ...shape } = shapeOf(size)
const base = transformer({ ...shape, context })
const random = createRandom(1)
const tokens = (): Int32Array => Int32Array.from({ length: batch * context }, () => random.below(shape.vocabulary))

/** A view of the file's only copy in memory. */
function readWeights(): Float32Array {
  const bytes = readFileSync(file)
  return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4)
}
/** Resident when all that can be freed is. */
function rss(): number {
  globalThis.gc?.()
  globalThis.gc?.()
  return process.memoryUsage().rss
}
async function measured(parameters: number, run: () => Promise<unknown>): Promise<Measured> {
  const times: number[] = []
  let largest = 0
  for (let at = 0; at < steps; at++) {
    const started = performance.now()
    await run()
    times.push(performance.now() - started)
    await new Promise((resolve) => setTimeout(resolve, 50))
    largest = Math.max(largest, rss())
  }
  const stepMs = times.toSorted((a, b) => a - b)[Math.floor(steps / 2)]!
  return { rssBytes: largest, peakRssBytes: process.resourceUsage().maxRSS * 1024, stepMs, parameters }
}

/** As `src/inference` does it: the weights are built into the model. */
async function inference(): Promise<Measured> {
  const session = await openSession(encodeModel(withParameters(base.model, readWeights())), { threads: 1 })
  const feed: RuntimeTensor = { type: 'int32', shape: [batch, context], data: tokens() }
  return measured(base.layout.length, () => session.run({ tokens: feed }))
}

/** With the least memory: the weights are fed, and held once. */
async function leanInference(): Promise<Measured> {
  const session = await openSession(encodeModel(base.model), { threads: 1 })
  const feeds = splitParameters(base.layout, readWeights()).map(({ name, shape, values: data }) => {
    return [name, { type: 'float32', shape, data }] as const
  })
  const feed: RuntimeTensor = { type: 'int32', shape: [batch, context], data: tokens() }
  return measured(base.layout.length, () => session.run({ tokens: feed, ...Object.fromEntries(feeds) }))
}

async function training(model: TrainableModel, start: Float32Array, lean = false): Promise<Measured> {
  const optimizer = createOptimizer({ kind: 'adamw', learningRate: 1e-4 })
  const feeds: Feed[] = ['tokens', 'targets'].map((name) => ({ name, type: 'int32', shape: [batch, context] }))
  const step = buildTrainingStep({ layout: model.layout, feeds, loss: classification(model.model), optimizer })
  const session = await openSession(step.bytes, { threads: 1, lean })
  const begin = new Map(splitParameters(model.layout, start).map(({ name, values }) => [name, values]))
  let carried: Record<string, RuntimeTensor> = Object.fromEntries(
    step.carried.map(({ name, shape }) => {
      const data = begin.get(name) ?? new Float32Array(elementCount(shape))
      return [name, { type: 'float32', shape, data }]
    }),
  )
  begin.clear()
  const constants = constantFeeds(step.constants)
  let age = 0
  return measured(model.layout.length, async () => {
    const given = feeds.map(
      ({ name, shape }) => [name, { type: 'int32', shape: [1, ...shape], data: tokens() }] as const,
    )
    const rates: RuntimeTensor = {
      type: 'float32',
      shape: [1, optimizer.rateCount],
      data: Float32Array.from(optimizer.rates(++age, 0)),
    }
    const results = await session.run({ ...Object.fromEntries(given), rates, ...carried, ...constants })
    if (!Number.isFinite(Number(results['loss']!.data[0]))) throw new Error('the loss is no number')
    carried = Object.fromEntries(step.carried.map(({ name }) => [name, results[`${name}.next`]!]))
  })
}

const kinds: Readonly<Record<string, () => Promise<Measured>>> = {
  inference,
  leanInference,
  full: () => training(base, readWeights()),
  lora: () => {
    const adapted = withAdapters(base, readWeights(), { rank, alpha: 2 * rank })
    return training(adapted, adapted.initial(1), true)
  },
}
console.log(JSON.stringify(await kinds[kind]!()))
process.exit()
