/**
 * How long a training step takes, on one thread and on two, with the weights inside the runtime; beside it PyTorch
 * eager on the same steps, where `OWM_PYTHON` names a Python that has it (otherwise `python3` is tried).
 *
 * `npm run bench -- training [MILLISECONDS A MEASUREMENT [STEP...]]`, where no steps are all, and then PyTorch's too.
 */
import { spawnSync } from 'node:child_process'
import {
  createGraphBuilder,
  createRandom,
  elementCount,
  encodeModel,
  openSession,
  type RuntimeTensor,
  splitParameters,
} from '../../src/onnx/index.ts'
import type { TrainableModel } from '../../src/training/define-model.ts'
import { classification } from '../../src/training/losses.ts'
import { cnn, mlp } from '../../src/training/models/images.ts'
import { lstm } from '../../src/training/models/lstm.ts'
import { transformer, transformerSizes } from '../../src/training/models/transformer.ts'
import { createOptimizer, type OptimizerPlan } from '../../src/training/optimizer.ts'
import { buildTrainingStep, type Feed } from '../../src/training/training-step.ts'

interface Case {
  readonly model: TrainableModel
  readonly input: Feed
  readonly classes: number
  readonly plan: OptimizerPlan
  /** Parts of a step's examples that are computed one after the other: of a size whose values stay in the cache. */
  readonly slices?: number
}
const sgd: OptimizerPlan = { kind: 'sgd', learningRate: 0.01 }
const images = (model: TrainableModel, shape: readonly number[]): Case => ({
  model,
  input: { name: 'inputs', type: 'float32', shape },
  classes: 10,
  plan: sgd,
})
const tokens = (model: TrainableModel, shape: readonly number[], plan: OptimizerPlan): Case => ({
  model,
  input: { name: 'tokens', type: 'int32', shape },
  classes: vocabulary,
  plan,
})
const vocabulary = 96
const context = 128
const batch = 16
const gptShape = { ...transformerSizes.small, context, vocabulary }
const cases: Readonly<Record<string, Case>> = {
  mlp10: images(mlp(), [10, 784]),
  mlp64: images(mlp(), [64, 784]),
  cnn10: images(cnn(), [10, 1, 28, 28]),
  cnn64: images(cnn(), [64, 1, 28, 28]),
  lstm: tokens(lstm({ vocabulary }), [10, 80], sgd),
  gpt: { ...tokens(transformer(gptShape), [batch / 4, context], { kind: 'adamw', learningRate: 1e-3 }), slices: 4 },
}
/** Of products of matrices in one step: forward, and twice that backward. Attention counts all places, later ones too. */
const gptFlops =
  3 *
  (batch * context) *
  (2 * (gptShape.layers * 12 * gptShape.width ** 2 + gptShape.width * vocabulary) +
    gptShape.layers * 4 * context * gptShape.width)

export async function run(args: readonly string[]): Promise<Readonly<Record<string, unknown>>> {
  const measureMs = Number(args[0] ?? 800)
  const wanted = args.slice(1)
  const chosen = Object.entries(cases).filter(([name]) => wanted.length === 0 || wanted.includes(name))
  const figures: Record<string, number | string> = {}
  for (const threads of [1, 2]) {
    const suffix = threads === 1 ? '' : 'TwoThreads'
    const peak = await gemmPeak(threads, measureMs)
    figures[`gemmPeakGflops${suffix}`] = round(peak)
    for (const [name, one] of chosen) figures[`${name}Ms${suffix}`] = round(await stepMs(one, threads, measureMs))
    if (figures[`gptMs${suffix}`] !== undefined)
      figures[`gptFractionOfPeak${suffix}`] = round(gptFlops / 1e6 / Number(figures[`gptMs${suffix}`]) / peak)
    if (wanted.length > 0) continue
    const torch = pytorch(threads)
    if (torch === undefined) figures['torch'] = 'not installed'
    else for (const [name, ms] of Object.entries(torch)) figures[`torch${upper(name)}Ms${suffix}`] = round(ms)
  }
  return figures
}

const round = (value: number): number => Number(value.toPrecision(4))
const upper = (name: string): string => name.charAt(0).toUpperCase() + name.slice(1)
function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!
}

/** A run copies the weights in and out once: with fewer steps, that would be part of each. */
const minSteps = 8

/** Median of runs of as many steps as fit about an eighth of the time. */
async function stepMs(
  { model, input, classes, plan, slices = 1 }: Case,
  threads: number,
  measureMs: number,
): Promise<number> {
  const optimizer = createOptimizer(plan)
  const targets: Feed = {
    name: 'targets',
    type: 'int32',
    shape: input.type === 'int32' ? input.shape : [input.shape[0]!],
  }
  const feeds = [input, targets]
  const step = buildTrainingStep({
    layout: model.layout,
    feeds,
    loss: classification(model.model),
    optimizer,
    accumulate: slices,
  })
  const session = await openSession(step.bytes, { threads })
  const parameters = new Map(splitParameters(model.layout, model.initial(1)).map(({ name, values }) => [name, values]))
  let carried: Record<string, RuntimeTensor> = Object.fromEntries(
    step.carried.map(({ name, shape }) => {
      const data = parameters.get(name) ?? new Float32Array(elementCount(shape))
      return [name, { type: 'float32', shape, data }]
    }),
  )
  const random = createRandom(1)
  const feed = ({ type, shape }: Feed, steps: number): RuntimeTensor => {
    const stacked = slices > 1 ? [steps, slices, ...shape] : [steps, ...shape]
    const length = elementCount(stacked)
    const data =
      type === 'int32'
        ? Int32Array.from({ length }, () => random.below(classes))
        : Float32Array.from({ length }, () => random.unit())
    return { type: type as 'int32' | 'float32', shape: stacked, data }
  }
  const runOnce = async (given: Record<string, RuntimeTensor>, steps: number): Promise<number> => {
    const rates = Array.from({ length: steps }, (_, at) => optimizer.rates(at + 1, 0)).flat()
    const started = performance.now()
    const results = await session.run({
      ...given,
      rates: { type: 'float32', shape: [steps, optimizer.rateCount], data: Float32Array.from(rates) },
      ...carried,
    })
    const ms = (performance.now() - started) / steps
    if (!Number.isFinite(Number(results['loss']!.data[0]))) throw new Error('the loss is no number')
    carried = Object.fromEntries(step.carried.map(({ name }) => [name, results[`${name}.next`]!]))
    return ms
  }
  const given = (steps: number) => Object.fromEntries(feeds.map((one) => [one.name, feed(one, steps)]))
  const first = given(1)
  await runOnce(first, 1)
  const guess = await runOnce(first, 1)
  const steps = Math.max(minSteps, Math.min(500, Math.floor(measureMs / 8 / guess)))
  const stackedFeeds = given(steps)
  await runOnce(stackedFeeds, steps)
  const times: number[] = []
  const end = performance.now() + measureMs
  while (performance.now() < end || times.length < 5) times.push(await runOnce(stackedFeeds, steps))
  await session.release()
  return median(times)
}

/** What products of square matrices reach, several in one graph, so that copying a result out is little of it: the median. */
async function gemmPeak(threads: number, measureMs: number): Promise<number> {
  const [size, products] = [768, 8]
  const g = createGraphBuilder('peak')
  const a = g.input('a', 'float32', [size, size])
  let x = a
  for (let i = 0; i < products; i++) x = g.op('MatMul', [x, a])
  g.output('y', x)
  const session = await openSession(encodeModel(g.model()), { threads })
  const feeds: Record<string, RuntimeTensor> = {
    a: { type: 'float32', shape: [size, size], data: new Float32Array(size * size).fill(1e-3) },
  }
  const times: number[] = []
  const end = performance.now() + measureMs
  while (performance.now() < end) {
    const started = performance.now()
    await session.run(feeds)
    times.push(performance.now() - started)
  }
  await session.release()
  return (products * 2 * size ** 3) / 1e6 / median(times)
}

function pytorch(threads: number): Readonly<Record<string, number>> | undefined {
  const python = process.env['OWM_PYTHON'] ?? 'python3'
  const { status, stdout } = spawnSync(python, ['test/training/pytorch/bench.py', String(threads)], {
    encoding: 'utf8',
    timeout: 300_000,
  })
  return status === 0 ? (JSON.parse(stdout) as Record<string, number>) : undefined
}
