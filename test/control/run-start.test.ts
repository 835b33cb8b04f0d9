import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { newRunSchema } from '../../src/control/new-run.ts'
import { learningOf, modelSchema, startOf } from '../../src/control/run-start.ts'
import { errorCode } from '../../src/lib/index.ts'
import { decodeModel, parameterLayout } from '../../src/onnx/index.ts'
import { type OfferedData, openExamples } from '../../src/training/index.ts'
import { suite } from '../suite.ts'

const test = suite('the start of a run')

const folder = mkdtempSync(join(tmpdir(), 'owm-start-'))
test.after(() => rmSync(folder, { recursive: true, force: true }))
const signal = new AbortController().signal
const offered = (root: string): OfferedData => ({ roots: [root], extensions: ['.md'], maxBytes: 1e6, heldOutShare: 0 })
const table = join(folder, 'table.csv')
writeFileSync(
  table,
  [
    'a,b,c,kind',
    ...Array.from({ length: 200 }, (_, i) => `${i},${i % 7},${i % 3},${i % 2 === 0 ? 'even' : 'odd'}`),
  ].join('\n'),
)
const texts = join(folder, 'text.md')
writeFileSync(texts, 'held out, and what is to be measured on. '.repeat(100))

test('a perceptron takes its ends from the data of the owner; a part of these is measured on', async () => {
  const start = await startOf(modelSchema.parse({ kind: 'mlp', hidden: [5] }), {}, offered(table), 7, signal)
  assert.equal(start.fields[0]?.shape, [3])
  assert.equal(start.classes, ['even', 'odd'])
  assert.is(start.initial.length, 3 * 5 + 5 + 5 * 2 + 2)
  assert.is(parameterLayout(decodeModel(start.graph)).length, start.initial.length)
  const heldOut = openExamples(start.heldOut, start.fields)
  assert.ok(heldOut.length > 5 && heldOut.length < 50, `${heldOut.length} of 200 are held out`)
  assert.is(start.heldOutShare, 26)
})

test('a language model has windows of bytes, and is measured on text', async () => {
  for (const kind of ['bytes', 'gpt', 'lstm']) {
    const model = modelSchema.parse(kind === 'bytes' ? { kind } : { kind, context: 32 })
    const start = await startOf(model, { heldOutFile: texts }, null, 1, signal)
    assert.equal(start.fields, [{ name: 'windows', type: 'int32', shape: [kind === 'bytes' ? 65 : 33], values: 256 }])
    assert.is(parameterLayout(decodeModel(start.graph)).length, start.initial.length)
    assert.is(start.heldOut.length, 4100)
  }
})

test('what cannot be is an error with a code', async () => {
  const codeOf = (kind: string, data: OfferedData | null, heldOutFile?: string): Promise<string> =>
    startOf(modelSchema.parse({ kind }), { heldOutFile }, data, 1, signal).then(() => 'none', errorCode)
  assert.is(await codeOf('mlp', null), 'bad_run')
  assert.is(await codeOf('bytes', null), 'bad_run')
  assert.is(await codeOf('bytes', null, join(folder, 'nowhere')), 'bad_run')
  assert.is(await codeOf('cnn', offered(table)), 'bad_model')
  assert.throws(() => modelSchema.parse({ kind: 'mlp', layers: 2 }))
  assert.throws(() => modelSchema.parse({ kind: 'forest' }))
})

test('a model has its usual optimizer, of which a request changes a part, or all', () => {
  assert.equal(learningOf('mlp', { learningRate: 0.3 }).optimizer, { kind: 'sgd', learningRate: 0.3 })
  assert.is(learningOf('bytes', { learningRate: 0.3 }).optimizer.kind, 'adamw')
  assert.equal(learningOf('bytes', { kind: 'sgd', learningRate: 0.3 }).optimizer, { kind: 'sgd', learningRate: 0.3 })
  const request = newRunSchema.parse({ name: 'x', rounds: 1, localMs: 100, localEpochs: 5, model: { layers: 2 } })
  assert.equal(request.model, { kind: 'bytes', layers: 2 })
})

test.run()
