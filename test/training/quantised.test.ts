/** What integers in the place of weights cost a model that has learned something. */
import { readFileSync } from 'node:fs'
import * as assert from 'uvu/assert'
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
import {
  buildTrainingStep,
  createOptimizer,
  mergeAdapters,
  transformer,
  withAdapters,
} from '../../src/training/index.ts'
import { feedsOf, lossOf } from '../../src/training/objective.ts'
import { createStepper } from '../../src/training/stepper.ts'
import { suite } from '../suite.ts'

const test = suite('quantised models that have learned')

const [context, batch, vocabulary, steps] = [24, 8, 128, 300]
/** So short a text is learned nearly by heart. */
const text = readFileSync(new URL('../../LICENSE', import.meta.url))
  .subarray(0, 1500)
  .map((byte) => Math.min(byte, 127))
const dataset = windowsOf(text, context, 'text', vocabulary)
const base = transformer({ layers: 2, heads: 4, width: 64, context, vocabulary })

async function trained(): Promise<Float32Array> {
  const optimizer = createOptimizer({ kind: 'adamw', learningRate: 5e-3, weightDecay: 0.01 })
  const feeds = feedsOf(dataset.fields, batch)
  const step = buildTrainingStep({ layout: base.layout, feeds, loss: lossOf(base.model, 'nextToken'), optimizer })
  const session = await openSession(step.bytes, { threads: 1 })
  const stepper = createStepper({ step, session, dataset, optimizer, batch, seed: 1 })
  stepper.setParameters(base.initial(1))
  await stepper.advance(steps, (at) => at / steps)
  const parameters = stepper.parameters()
  await stepper.release()
  return parameters
}

/** Mean loss, in nats, of windows spread over the text. */
async function lossOn(model: Model): Promise<number> {
  const session = await openSession(encodeModel(model), { threads: 1 })
  let [nats, count] = [0, 0]
  for (let start = 0; start < dataset.length; start += Math.ceil(dataset.length / 100)) {
    const window = new Int32Array(context + 1)
    dataset.read(start, [window], 0)
    const tokens: RuntimeTensor = { type: 'int32', shape: [1, context], data: window.slice(0, context) }
    const logits = (await session.run({ tokens }))['logits']!.data as Float32Array
    for (let place = 0; place < context; place++, count++) {
      const row = logits.subarray(place * vocabulary, (place + 1) * vocabulary)
      nats += Math.log(row.reduce((sum, value) => sum + Math.exp(value), 0)) - row[window[place + 1]!]!
    }
  }
  await session.release()
  return nats / count
}

test('int8 loses next to nothing and int4 a little, of weights that are merged with adapters too', async () => {
  const weights = await trained()
  const built = withParameters(base.model, weights)
  const float = await lossOn(built)
  assert.ok(float < 2.8, `${float}`)
  const lost = async (model: Model, options: QuantiseOptions) => (await lossOn(quantiseModel(model, options))) - float
  const [int8, int4] = [await lost(built, { bits: 8 }), await lost(built, { bits: 4 })]
  assert.ok(Math.abs(int8) < 0.005, `${int8}`)
  assert.ok(Math.abs(int4) < 0.06, `${int4}`)
  // A loss there is: with blocks too wide for four bits it is larger.
  assert.ok((await lost(built, { bits: 4, blockSize: 64 })) !== int4)
  const adapted = withAdapters(base, weights, { rank: 2 })
  const merged = withParameters(base.model, mergeAdapters(adapted, adapted.initial(1)))
  assert.is(await lost(merged, { bits: 8 }), int8)
})

test.run()
