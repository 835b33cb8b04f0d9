/** Values, gradients and a hundred steps of each optimizer, beside what PyTorch computes: see `pytorch/record.py`. */
import { globSync, readFileSync } from 'node:fs'
import { basename } from 'node:path'
import * as assert from 'uvu/assert'
import {
  createGraphBuilder,
  createRandom,
  elementCount,
  encodeModel,
  openSession,
  type RuntimeTensor,
  splitParameters,
} from '../../src/onnx/index.ts'
import { appendGradients } from '../../src/training/autodiff.ts'
import type { TrainableModel } from '../../src/training/define-model.ts'
import { classification } from '../../src/training/losses.ts'
import { cnn, mlp } from '../../src/training/models/images.ts'
import { lstm } from '../../src/training/models/lstm.ts'
import { transformer } from '../../src/training/models/transformer.ts'
import { createOptimizer, type OptimizerPlan } from '../../src/training/optimizer.ts'
import { buildTrainingStep, type Feed } from '../../src/training/training-step.ts'
import { suite } from '../suite.ts'
import { close, integers, stacked, tensor } from './recorded.ts'

const test = suite('beside PyTorch')

interface Vector {
  readonly model: 'mlp' | 'cnn' | 'lstm' | 'transformer'
  // Each model's own options.
  readonly config: never
  readonly inputs: readonly number[]
  readonly classes: number
  readonly steps: number
  readonly batches: number
  readonly parameters: readonly { readonly name: string; readonly shape: readonly number[] }[]
  readonly logits: readonly number[]
  readonly gradients: Readonly<Record<string, readonly number[]>>
  readonly runs: readonly {
    readonly optimizer: OptimizerPlan
    readonly losses: readonly number[]
    readonly last: Readonly<Record<string, readonly number[]>>
  }[]
}
const models: Readonly<Record<Vector['model'], (config: never) => TrainableModel>> = {
  mlp: ({ sizes }: { readonly sizes: readonly number[] }) => mlp(sizes),
  cnn,
  lstm,
  transformer,
}
/** PyTorch's numbers are of float64, in six digits; these are of float32. A hundred steps let rounding grow. */
const tolerance = 2e-5
const toleranceAfterTraining = 5e-4

function load(file: string) {
  const vector = JSON.parse(readFileSync(file, 'utf8')) as Vector
  const trainable = models[vector.model](vector.config)
  const name = vector.model === 'lstm' || vector.model === 'transformer' ? 'tokens' : 'inputs'
  const sequence = name === 'tokens'
  const targets = sequence ? vector.inputs : vector.inputs.slice(0, 1)
  const feeds: Feed[] = [
    { name, type: sequence ? 'int32' : 'float32', shape: vector.inputs },
    { name: 'targets', type: 'int32', shape: targets },
  ]
  const drawn = createRandom(11)
  const batches = Array.from({ length: vector.batches }, () => ({
    [name]: sequence ? integers(drawn, vector.inputs, vector.classes) : tensor(drawn, vector.inputs),
    targets: integers(drawn, targets, vector.classes),
  }))
  // The order of drawing is the recorder's; each value is looked up by its name.
  const random = createRandom(7)
  const parameters: Record<string, RuntimeTensor> = {}
  for (const { name: parameter, shape } of vector.parameters) {
    const { data } = tensor(random, shape)
    const begin = parameter.endsWith('.scale') ? 1 : 0
    const values = Float32Array.from(data as Float32Array, (value) => value * 0.5 + begin)
    parameters[parameter] = { type: 'float32', shape, data: values }
  }
  return { vector, trainable, feeds, batches, parameters }
}

for (const file of globSync('test/training/vectors/{2nn,cnn,gpt,llama,lstm}.json').sort()) {
  const title = basename(file, '.json')

  test(`${title}: values and gradients`, async () => {
    const { vector, trainable, feeds, batches, parameters } = load(file)
    assert.equal(
      trainable.layout.entries.map(({ name, shape }) => `${name} ${shape}`).sort(),
      vector.parameters.map(({ name, shape }) => `${name} ${shape}`).sort(),
    )
    const g = createGraphBuilder('once')
    const values = new Map(trainable.layout.entries.map(({ name, shape }) => [name, g.input(name, 'float32', shape)]))
    const given = new Map(feeds.map(({ name, type, shape }) => [name, g.input(name, type, shape)]))
    const { loss, value, gradient } = classification(trainable.model)(g, values, given)
    g.output('loss', loss)
    g.output('values', value)
    appendGradients(g, { value, gradient }, [...values.values()]).forEach((dx, at) => {
      g.output(`d:${trainable.layout.entries[at]!.name}`, dx)
    })
    const session = await openSession(encodeModel(g.model()), { threads: 1 })
    const results = await session.run({ ...parameters, ...batches[0] })
    await session.release()
    close(results['values']!.data as Float32Array, vector.logits, tolerance, 'logits')
    for (const [name, expected] of Object.entries(vector.gradients)) {
      close(results[`d:${name}`]!.data as Float32Array, expected, tolerance, name)
    }
  })

  for (const at of [0, 1, 2, 3]) {
    test(`${title}: ${load(file).vector.steps} steps of optimizer ${at}`, async () => {
      const { vector, trainable, feeds, batches, parameters } = load(file)
      const { optimizer: plan, losses, last } = vector.runs[at]!
      const optimizer = createOptimizer(plan)
      const { layout, model } = trainable
      const step = buildTrainingStep({ layout, feeds, loss: classification(model), optimizer })
      const session = await openSession(step.bytes, { threads: 1 })
      let carried: Record<string, RuntimeTensor> = Object.fromEntries(
        step.carried.map(({ name, shape }) => [
          name,
          parameters[name] ?? { type: 'float32', shape, data: new Float32Array(elementCount(shape)) },
        ]),
      )
      const run = async (from: number, count: number): Promise<number> => {
        const rates = Array.from({ length: count }, (_, i) =>
          optimizer.rates(from + i + 1, (from + i + 1) / vector.steps),
        )
        const turned = batches.map((_, i) => batches[(from + i) % batches.length]!)
        const results = await session.run({
          ...stacked(feeds, turned, count),
          rates: { type: 'float32', shape: [count, optimizer.rateCount], data: Float32Array.from(rates.flat()) },
          ...carried,
        })
        carried = Object.fromEntries(step.carried.map(({ name }) => [name, results[`${name}.next`]!]))
        return Number(results['loss']!.data[0])
      }
      // The first ten one by one, the rest in one loop.
      for (let i = 0; i < 10; i++) close([await run(i, 1)], [losses[i]!], toleranceAfterTraining, `loss ${i}`)
      const rest = losses.slice(10).reduce((sum, loss) => sum + loss, 0)
      close([await run(10, vector.steps - 10)], [rest], toleranceAfterTraining, 'sum of losses')
      await session.release()
      for (const [name, expected] of Object.entries(last)) {
        // A softmax does not see a bias of all keys: its gradient is rounding alone, which Adam makes steps of.
        if (name.endsWith('key.bias') && plan.kind === 'adamw') continue
        const data = carried[name]!.data as Float32Array
        close([...data.subarray(0, 4), Math.hypot(...data)], expected, toleranceAfterTraining, name)
      }
    })
  }
}

test('gradients of several batches make the update that one large batch makes', async () => {
  const { trainable, feeds, batches, parameters } = load('test/training/vectors/2nn.json')
  const { layout, model } = trainable
  const after = async (accumulate: number, kind: 'sgd' | 'adamw'): Promise<number[]> => {
    const optimizer = createOptimizer({ kind, learningRate: 0.1 })
    const [, ...size] = feeds[0]!.shape
    const wide = feeds.map((feed, at) => ({ ...feed, shape: at === 0 ? [20, ...size] : [20] }))
    const step = buildTrainingStep({
      layout,
      feeds: accumulate > 1 ? feeds : wide,
      loss: classification(model),
      optimizer,
      accumulate,
    })
    const session = await openSession(step.bytes, { threads: 1 })
    const state = step.carried.map(({ name, shape }) => {
      const empty: RuntimeTensor = { type: 'float32', shape, data: new Float32Array(elementCount(shape)) }
      return [name, parameters[name] ?? empty] as const
    })
    const all = stacked(feeds, batches, 4)
    const lead = accumulate > 1 ? [1, 4] : [1]
    const given = Object.entries(all).map(([name, value], at) => {
      const { shape } = (accumulate > 1 ? feeds : wide)[at]!
      return [name, { ...value, shape: [...lead, ...shape] }] as const
    })
    const rates: RuntimeTensor = {
      type: 'float32',
      shape: [1, optimizer.rateCount],
      data: Float32Array.from(optimizer.rates(1, 0)),
    }
    const results = await session.run({ ...Object.fromEntries(given), rates, ...Object.fromEntries(state) })
    await session.release()
    return layout.entries.flatMap(({ name }) => Array.from(results[`${name}.next`]!.data, Number))
  }
  for (const kind of ['sgd', 'adamw'] as const) {
    const [small, large] = [await after(4, kind), await after(1, kind)]
    close(small, large, 1e-5, kind)
  }
})

test('new parameters are the same for a seed, and differ for another', () => {
  const { layout, initial } = cnn()
  assert.is(layout.length, 1_663_370)
  assert.is(mlp().layout.length, 199_210)
  assert.equal(initial(1).subarray(0, 1000), initial(1).subarray(0, 1000))
  assert.not.equal(initial(1).subarray(0, 1000), initial(2).subarray(0, 1000))
  const parts = splitParameters(layout, initial(3))
  const { values } = parts.find(({ name }) => name === 'hidden.weight')!
  const deviation = Math.sqrt(values.reduce((sum, value) => sum + value * value, 0) / values.length)
  assert.ok(Math.abs(deviation / Math.sqrt(2 / (3136 + 512)) - 1) < 0.01)
  const { layout: wide, initial: start } = transformer({ layers: 2, heads: 2, width: 64, context: 8, vocabulary: 50 })
  const back = splitParameters(wide, start(1)).find(({ name }) => name === '0.mlp.output.weight')!.values
  const small = Math.sqrt(back.reduce((sum, value) => sum + value * value, 0) / back.length)
  assert.ok(Math.abs(small / 0.01 - 1) < 0.02, `${small}`)
})

test.run()
