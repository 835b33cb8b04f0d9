import * as assert from 'uvu/assert'
import { errorCode } from '../../src/lib/index.ts'
import { silentLogger } from '../../src/observability/index.ts'
import { encodeModel } from '../../src/onnx/index.ts'
import {
  createTrainer,
  describeData,
  type ExampleShape,
  encodeExamples,
  mlp,
  type OfferedData,
  openDataset,
  openExamples,
  type Trainer,
  type TrainerInit,
} from '../../src/training/index.ts'
import { suite } from '../suite.ts'
import { folder, put } from './data-files.ts'

const test = suite('trainers of any data')

const side = 6
const batch = 8
const trainers: Trainer[] = []
test.after(async () => {
  for (const trainer of trainers) await trainer.stop()
})

/** Bright rows: the label is the row. */
function writeImages(name: string, count: number, labels: readonly number[]): string {
  const images = new Uint8Array(count * side * side)
  const classes = Uint8Array.from({ length: count }, (_, i) => labels[i % labels.length]!)
  for (let i = 0; i < count; i++) {
    for (let at = 0; at < side * side; at++) {
      const noise = (i * 31 + at * 17) % 60
      images[i * side * side + at] = Math.floor(at / side) === classes[i] ? 255 - noise : noise
    }
  }
  put(`${name}/images`, Buffer.concat([idxHead(3, [count, side, side]), images]))
  put(`${name}/labels`, Buffer.concat([idxHead(1, [count]), classes]))
  return `${folder}/${name}`
}

function idxHead(axes: number, sizes: readonly number[]): Buffer {
  const head = Buffer.alloc(4 + 4 * axes)
  head.set([0, 0, 8, axes])
  for (const [at, size] of sizes.entries()) head.writeUInt32BE(size, 4 + 4 * at)
  return head
}

const offered = (roots: readonly string[], change: Partial<OfferedData> = {}): OfferedData => ({
  roots,
  extensions: [],
  maxBytes: 1_000_000,
  heldOutShare: 26,
  ...change,
})
const all = [0, 1, 2, 3, 4, 5]
const rows = writeImages('rows', 600, all)
const { model, initial } = mlp([side * side, 16, 6])
const init = (data: OfferedData, shape: ExampleShape): TrainerInit => ({
  graph: encodeModel(model),
  ...shape,
  data,
  optimizer: { kind: 'sgd', learningRate: 0.3 },
  batch,
  seed: 1,
})
async function open(data: OfferedData, shape: ExampleShape): Promise<Trainer> {
  const trainer = await createTrainer({ logger: silentLogger }, init(data, shape))
  trainers.push(trainer)
  return trainer
}
const codeOf = (promise: Promise<unknown>): Promise<string> => promise.then(() => 'none', errorCode)
const farMs = 600_000

test('a classifier of images learns within passes over its data, and is measured on examples', async () => {
  const described = await describeData(offered([rows]))
  assert.equal(described.fields, [
    { name: 'inputs', type: 'float32', shape: [1, side, side] },
    { name: 'targets', type: 'int32', shape: [], values: 6 },
  ])
  const trainer = await open(offered([rows]), described)
  const heldOut = described.heldOut as Uint8Array
  const before = await trainer.evaluate(initial(1), heldOut)
  const examples = openDataset({ kind: 'idx', images: `${rows}/images`, labels: `${rows}/labels` }, 'training').length
  const losses: number[] = []
  const job = {
    maxSteps: 100_000,
    maxMs: farMs,
    maxEpochs: 5,
    onProgress: ({ loss }: { loss: number }) => losses.push(loss),
  }
  const result = await trainer.train({ parameters: initial(1), ...job })
  assert.is(result.steps, Math.round((5 * examples) / batch))
  assert.is(result.samples, result.steps * batch)
  const after = await trainer.evaluate(result.parameters, heldOut)
  assert.ok(before.loss > 1.5 && after.loss < 0.3, `${before.loss}, then ${after.loss} nats`)
  assert.ok((before.accuracy ?? 1) < 0.6 && (after.accuracy ?? 0) > 0.95, `${before.accuracy}, then ${after.accuracy}`)
  assert.is(after.examples, 600 - examples)
  assert.ok(losses[0]! > result.loss)
})

test('of several data sets a round is trained on one, drawn by its number', async () => {
  const parts = [writeImages('one', 120, [0]), writeImages('two', 60, [3])]
  const shape = await describeData(offered([rows]))
  const trainer = await open(offered(parts, { shards: true, heldOutShare: 0 }), shape)
  const heldOut = (label: number): Uint8Array => {
    const path = parts[label === 0 ? 0 : 1]!
    const data = openDataset(
      { kind: 'idx', images: `${path}/images`, labels: `${path}/labels`, heldOutShare: 0 },
      'training',
    )
    return encodeExamples({ ...data, fields: shape.fields })
  }
  const job = { parameters: initial(1), maxSteps: 1000, maxEpochs: 2, maxMs: farMs }
  const first = await trainer.train({ ...job, draw: 4 })
  const second = await trainer.train({ ...job, draw: 5 })
  assert.is(first.samples, 240)
  assert.is(second.samples, 120)
  assert.is((await trainer.evaluate(first.parameters, heldOut(0))).accuracy, 1)
  // Who has never seen another row says that it is none.
  const other = await open(offered(parts, { shards: true, heldOutShare: 0 }), shape)
  assert.is((await other.evaluate(first.parameters, heldOut(3))).accuracy, 0)
})

test('what is measured on is named, or comes from all of the data sets', async () => {
  const parts = [writeImages('first', 200, [0, 1]), writeImages('second', 200, [4, 5])]
  const all = await describeData(offered(parts, { shards: true, heldOutShare: 100 }))
  assert.equal(all.fields[1], { name: 'targets', type: 'int32', shape: [], values: 6 })
  const seen = (block: Uint8Array | null): number[] => {
    const examples = openExamples(block as Uint8Array, all.fields)
    const labels = new Int32Array(examples.length)
    for (let i = 0; i < examples.length; i++)
      examples.read(i, [new Float32Array(side * side * examples.length), labels], i)
    return [...new Set(labels)].sort()
  }
  assert.equal(seen(all.heldOut), [0, 1, 4, 5])
  const named = await describeData(offered(parts, { shards: true, heldOutShare: 0 }), { heldOut: rows })
  assert.is(openExamples(named.heldOut as Uint8Array, named.fields).length, 600)
  assert.is(await codeOf(describeData(offered([rows], { heldOutShare: 0 }))), 'no_training_data')
})

test('data that do not fit the run are an error that says how; fewer classes are well', async () => {
  const shape = await describeData(offered([rows]))
  const few = writeImages('few', 60, [0, 1])
  await open(offered([few], { heldOutShare: 0 }), shape)
  const narrow = {
    ...shape,
    fields: shape.fields.map((field) => (field.name === 'targets' ? { ...field, values: 3 } : field)),
  }
  assert.is(await codeOf(open(offered([rows]), narrow)), 'data_does_not_fit')
  put('text/a.md', 'some text, and more of it. '.repeat(50))
  assert.is(await codeOf(open(offered([`${folder}/text`], { extensions: ['.md'] }), shape)), 'data_does_not_fit')
  const windows: ExampleShape = { fields: [{ name: 'windows', type: 'int32', shape: [65], values: 256 }] }
  assert.is(await codeOf(open(offered([rows], { extensions: ['.md'] }), windows)), 'no_training_data')
})

test('classes are counted as the run counts them, whatever a peer has seen', async () => {
  const shape: ExampleShape = {
    fields: [
      { name: 'inputs', type: 'float32', shape: [2] },
      { name: 'targets', type: 'int32', shape: [], values: 3 },
    ],
    classes: ['apple', 'pear', 'plum'],
  }
  const { openOffered } = await import('../../src/training/data/offered.ts')
  const table = (name: string, kinds: readonly string[]): string =>
    put(
      name,
      ['a,b,kind', ...Array.from({ length: 30 }, (_, i) => `${i},${30 - i},${kinds[i % kinds.length]}`)].join('\n'),
    )
  const seen = (name: string, kinds: readonly string[]): number[] => {
    const data = openOffered(offered([table(name, kinds)], { heldOutShare: 0, target: 'kind' }), shape, 'training')
    const found = Array.from({ length: 4 }, (_, index) => {
      const buffers = [new Float32Array(2), new Int32Array(1)]
      data.read(index, buffers, 0)
      return buffers[1]![0]!
    })
    data.close()
    return found
  }
  assert.equal(seen('a.csv', ['plum', 'pear']), [2, 1, 2, 1])
  assert.equal(seen('b.csv', ['apple', 'plum']), [0, 2, 0, 2])
  assert.throws(
    () => seen('c.csv', ['apple', 'fig']),
    (error: Error) => errorCode(error) === 'data_does_not_fit',
  )
})

test('held-out examples come back as they were, and only such as the fields say', async () => {
  const data = openDataset({ kind: 'idx', images: `${rows}/images`, labels: `${rows}/labels` }, 'heldOut')
  const bytes = encodeExamples(data, 10)
  const back = openExamples(bytes, data.fields)
  assert.is(back.length, 10)
  const into = [new Float32Array(side * side), new Int32Array(1)]
  const original = [new Float32Array(side * side), new Int32Array(1)]
  back.read(3, into, 0)
  data.read(Math.floor((3 * data.length) / 10), original, 0)
  assert.equal(into, original)
  const [inputs, targets] = data.fields
  const fails = (fields: ExampleShape['fields'], block = bytes): string => {
    try {
      openExamples(block, fields)
      return 'none'
    } catch (error) {
      return errorCode(error)
    }
  }
  assert.is(fails([{ ...inputs!, shape: [3] }, targets!]), 'bad_held_out')
  assert.is(fails([inputs!, { name: 'targets', type: 'int32', shape: [], values: 2 }]), 'bad_held_out')
  assert.is(fails(data.fields, bytes.subarray(0, -1)), 'malformed')
})

test.run()
