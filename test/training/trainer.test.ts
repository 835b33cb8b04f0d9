import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { errorCode } from '../../src/lib/index.ts'
import { silentLogger } from '../../src/observability/index.ts'
import {
  decodeModel,
  encodeModel,
  openSession,
  parameterLayout,
  type RuntimeTensor,
  splitParameters,
} from '../../src/onnx/index.ts'
import {
  buildTrainingStep,
  createOptimizer,
  createTrainer,
  defaultModel,
  defaultOptimizer,
  type ExampleShape,
  gptGraph,
  initialParameters,
  type ModelDescription,
  type OptimizerPlan,
  type Trainer,
  type TrainerInit,
} from '../../src/training/index.ts'
import { lossOf } from '../../src/training/objective.ts'
import { suite } from '../suite.ts'

const test = suite('trainer')
const model: ModelDescription = {
  ...defaultModel,
  layers: 2,
  heads: 2,
  width: 16,
  context: 16,
  pairBuckets: 31,
  tripleBuckets: 61,
  quadBuckets: 67,
}
const schedule = { kind: 'linear', warmupSteps: 2, finalShare: 0.02 } as const
const optimizer: OptimizerPlan = { ...defaultOptimizer, schedule }
const batch = 8
const fieldsOf = (context: number): ExampleShape['fields'] => [
  { name: 'windows', type: 'int32', shape: [context + 1], values: 256 },
]
const fields = fieldsOf(model.context)
const graph = gptGraph(model)
const line = 'the same line of text, again and again;\n'
let folder = ''
let trainer: Trainer
const open = (changes: Partial<OptimizerPlan> = {}, seed = 1): Promise<Trainer> =>
  createTrainer(
    { logger: silentLogger },
    {
      graph,
      fields,
      data: { roots: [folder], extensions: ['.md'], maxBytes: 100_000, heldOutShare: 0 },
      optimizer: { ...optimizer, ...changes } as OptimizerPlan,
      batch,
      seed,
    },
  )
const codeOf = (promise: Promise<unknown>): Promise<string> => promise.then(() => 'none', errorCode)
/** Long enough for any machine; what ends a job in these tests is its steps, or a signal. */
const farMs = 600_000

test.before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'owm-trainer-'))
  writeFileSync(join(folder, 'text.md'), line.repeat(200))
  trainer = await open()
})
test.after(async () => {
  await trainer.stop()
  rmSync(folder, { recursive: true, force: true })
})

test('it learns, tells its progress, and keeps to the steps allowed', async () => {
  const parameters = initialParameters(model, 1)
  const text = new TextEncoder().encode(line.repeat(10))
  const before = await trainer.evaluate(parameters, text)
  // The head starts at zero: every byte is as likely as another.
  assert.ok(Math.abs(before.loss - 8) < 1e-4)
  const steps: number[] = []
  const job = { maxSteps: 150, maxMs: farMs, onProgress: ({ step }: { step: number }) => steps.push(step) }
  const result = await trainer.train({ parameters, ...job })
  assert.is(result.steps, 150)
  assert.is(result.samples, 150 * batch)
  assert.is(steps.at(-1), 150)
  assert.equal(parameters, initialParameters(model, 1))
  const after = await trainer.evaluate(result.parameters, text)
  assert.ok(after.loss < 2, `${after.loss} bits per byte`)
})

test('time is a limit too, and one step is made in any case', async () => {
  const result = await trainer.train({ parameters: initialParameters(model, 1), maxSteps: 1e9, maxMs: 0 })
  assert.is(result.steps, 1)
})

test('the same seed makes the same training, however it is cut', async () => {
  const runs: Float32Array[] = []
  for (const cuts of [[12], [5, 7]]) {
    const one = await open({}, 7)
    let parameters = initialParameters(model, 3)
    for (const maxSteps of cuts) parameters = (await one.train({ parameters, maxSteps, maxMs: farMs })).parameters
    runs.push(parameters)
    await one.stop()
  }
  assert.equal(runs[0], runs[1])
  const other = await open({}, 8)
  const { parameters } = await other.train({ parameters: initialParameters(model, 3), maxSteps: 12, maxMs: farMs })
  await other.stop()
  assert.not.equal(parameters, runs[0])
})

test('the learning rate follows the run: at its end little is learned', async () => {
  const start = initialParameters(model, 1)
  const distance = async (from: number, to: number): Promise<number> => {
    const one = await open()
    const { parameters } = await one.train({ parameters: start, maxSteps: 10, maxMs: farMs, runProgress: { from, to } })
    await one.stop()
    return Math.hypot(...parameters.map((value, i) => value - start[i]!))
  }
  assert.ok((await distance(0.9, 1)) < 0.3 * (await distance(0, 0.1)))
})

test('a window’s first byte is not measured, and the shorter last window is', async () => {
  const parameters = initialParameters(model, 1)
  const measured = async (length: number): Promise<number> =>
    (await trainer.evaluate(parameters, new Uint8Array(length).fill(65))).examples
  assert.is(await measured(16), 15)
  assert.is(await measured(17), 15)
  assert.is(await measured(18), 16)
  assert.is(await measured(16 * 70 + 5), 70 * 15 + 4)
  assert.is(await codeOf(trainer.evaluate(parameters, new Uint8Array(1))), 'text_too_short')
})

test('jobs are done in turn, and called off at once or within a run', async () => {
  const parameters = initialParameters(model, 1)
  const controller = new AbortController()
  const job = { parameters, maxSteps: 1e9, maxMs: farMs }
  const { promise, resolve } = Promise.withResolvers<void>()
  const first = codeOf(trainer.train({ ...job, signal: controller.signal, onProgress: () => resolve() }))
  const waiting = codeOf(trainer.train({ ...job, signal: AbortSignal.timeout(1) }))
  const after = trainer.train({ ...job, maxSteps: 1 })
  assert.is(await waiting, 'aborted')
  await promise
  controller.abort()
  assert.is(await first, 'aborted')
  assert.is((await after).steps, 1)
})

test('a loss that is no number is an error, and the trainer is not harmed', async () => {
  const wild = await open({
    learningRate: 1000,
    schedule: { kind: 'constant' },
    epsilon: 1e-30,
  } as Partial<OptimizerPlan>)
  const parameters = initialParameters(model, 1)
  assert.is(await codeOf(wild.train({ parameters, maxSteps: 50, maxMs: farMs })), 'loss_not_finite')
  await wild.stop()
  const broken = parameters.map(() => Number.NaN)
  assert.is(await codeOf(trainer.train({ parameters: broken, maxSteps: 5, maxMs: farMs })), 'loss_not_finite')
  assert.ok(Number.isFinite((await trainer.train({ parameters, maxSteps: 5, maxMs: farMs })).loss))
})

test('what cannot be opened is an error with a code', async () => {
  const data = { roots: [join(folder, 'none')], extensions: ['.md'], maxBytes: 100_000, heldOutShare: 0 }
  const init = { graph, fields, data, optimizer, batch, seed: 1 }
  const components = { logger: silentLogger }
  assert.is(await codeOf(createTrainer(components, init)), 'no_training_data')
  const good = { ...data, roots: [folder] }
  assert.is(await codeOf(createTrainer(components, { ...init, data: { ...good, maxBytes: 10 } })), 'no_training_data')
  const other = { ...init, data: good, fields: fieldsOf(model.context).map((field) => ({ ...field, values: 300 })) }
  assert.is(await codeOf(createTrainer(components, other as TrainerInit)), 'bad_graph')
  const fast = { ...init, data: good, optimizer: { ...optimizer, learningRate: Number.NaN } }
  assert.is(await codeOf(createTrainer(components, fast)), 'bad_optimizer')
  const huge = { ...init, data: good, batch: 65_536, fields: fieldsOf(4096) }
  const long = gptGraph({ ...model, context: 4096 })
  assert.is(await codeOf(createTrainer(components, { ...huge, graph: long })), 'oversized')
  const junk = { ...init, data: good, graph: Uint8Array.of(1, 2, 3) }
  assert.is(await codeOf(createTrainer(components, junk)), 'malformed_model')
  assert.is(await codeOf(trainer.train({ parameters: new Float32Array(3), maxSteps: 1, maxMs: 1 })), 'wrong_length')
})

test('a stopped trainer answers nothing more', async () => {
  const one = await open()
  const running = codeOf(one.train({ parameters: initialParameters(model, 1), maxSteps: 1e9, maxMs: farMs }))
  await one.stop()
  assert.is(await running, 'worker_stopped')
  assert.is(await codeOf(one.evaluate(initialParameters(model, 1), new Uint8Array(20))), 'worker_stopped')
})

test('initial weights depend on the seed alone', () => {
  assert.equal(initialParameters(model, 5), initialParameters(model, 5))
  assert.not.equal(initialParameters(model, 5), initialParameters(model, 6))
  assert.ok(initialParameters(model, 5).every(Number.isFinite))
})

test('the graph is causal: a byte changes nothing before it', async () => {
  const session = await openSession(graph, { threads: 1 })
  const { layout } = trainer
  const weights = initialParameters(model, 1).map((value, i) => value + 0.1 * Math.sin(i))
  const feeds: Record<string, RuntimeTensor> = Object.fromEntries(
    splitParameters(layout, weights).map(({ name, shape, values }) => [name, { type: 'float32', shape, data: values }]),
  )
  const logits = async (bytes: number[]): Promise<Float32Array> => {
    const tokens: RuntimeTensor = { type: 'int32', shape: [1, bytes.length], data: Int32Array.from(bytes) }
    return (await session.run({ ...feeds, tokens }))['logits']!.data as Float32Array
  }
  const [a, b, short] = [await logits([1, 2, 3, 4, 5]), await logits([1, 2, 3, 9, 9]), await logits([1, 2, 3])]
  await session.release()
  const near = (x: Float32Array, y: Float32Array): boolean => x.every((value, i) => Math.abs(value - y[i]!) < 1e-4)
  assert.ok(near(a.subarray(0, 3 * 256), b.subarray(0, 3 * 256)))
  assert.not.ok(near(a.subarray(3 * 256), b.subarray(3 * 256)))
  assert.ok(near(short, a.subarray(0, 3 * 256)))
})

test('a step of the whole graph is AdamW on the gradient that differences give', async () => {
  // One step from an empty state with beta1 = beta2 = 0 and a large epsilon is w - rate g / (|g| + epsilon).
  const epsilon = 1e3
  const plain: OptimizerPlan = {
    kind: 'adamw',
    learningRate: 1,
    beta1: 0,
    beta2: 0,
    epsilon,
    weightDecay: 0,
  }
  const read = decodeModel(encodeModel(decodeModel(graph)))
  const step = buildTrainingStep({
    layout: parameterLayout(read),
    feeds: [{ name: 'windows', type: 'int32', shape: [2, 17] }],
    loss: lossOf(read, 'nextToken'),
    optimizer: createOptimizer(plain),
  })
  const session = await openSession(step.bytes, { threads: 1 })
  const weights = initialParameters(model, 2).map((value, i) => value + 0.1 * Math.sin(i * i))
  const windows: RuntimeTensor = {
    type: 'int32',
    shape: [1, 2, 17],
    data: Int32Array.from({ length: 34 }, (_, i) => (i * 7) % 50),
  }
  const run = async (parameters: Float32Array, stepSize: number) => {
    const feeds: Record<string, RuntimeTensor> = {
      windows,
      rates: { type: 'float32', shape: [1, 3], data: Float32Array.of(stepSize, 1, epsilon) },
    }
    for (const { name, shape, values } of splitParameters(step.layout, parameters)) {
      feeds[name] = { type: 'float32', shape, data: values }
    }
    for (const { name, shape } of step.carried.slice(step.layout.entries.length)) {
      feeds[name] = { type: 'float32', shape, data: new Float32Array(shape.reduce((a, b) => a * b, 1)) }
    }
    return session.run(feeds)
  }
  const moved = await run(weights, -epsilon)
  const random = (i: number): number => Math.sin(i * 12.9898) * 0.5
  for (const { name, offset, shape } of step.layout.entries) {
    const count = shape.reduce((a, b) => a * b, 1)
    const next = moved[`${name}.next`]!.data as Float32Array
    // Along a random direction, and along the gradient, per parameter tensor; float32 leaves about two digits.
    const gradient = Float64Array.from({ length: count }, (_, i) => weights[offset + i]! - next[i]!)
    const norm = Math.hypot(...gradient)
    const direction = gradient.map((value, i) => value / norm + (0.3 * random(i)) / Math.sqrt(count))
    const along = async (by: number): Promise<number> => {
      const changed = weights.slice()
      for (let i = 0; i < count; i++) changed[offset + i]! += by * direction[i]!
      return Number((await run(changed, 0))['loss']!.data[0])
    }
    const size = 0.02
    const slope = ((await along(size)) - (await along(-size))) / (2 * size)
    const expected = gradient.reduce((sum, value, i) => sum + value * direction[i]!, 0)
    assert.ok(Math.abs(slope - expected) < 0.03 * Math.abs(expected) + 2e-4, `${name}: ${slope}, not ${expected}`)
  }
  await session.release()
})

test.run()
