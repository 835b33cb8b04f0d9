import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { errorCode, exitCodes } from '../../src/lib/index.ts'
import { silentLogger } from '../../src/observability/index.ts'
import { createRandom } from '../../src/onnx/index.ts'
import { type LocalEvent, type LocalJob, trainLocally } from '../../src/training/index.ts'
import { owm, temporaryFolder } from '../processes.ts'
import { suite } from '../suite.ts'
import { killedRun } from './killed-run.ts'

const test = suite('training on this machine alone')
const folder = temporaryFolder()
const text = join(folder, 'text')

/** Text with something to learn, the same at each run of the tests. */
test.before(() => {
  mkdirSync(text)
  const random = createRandom(1)
  const words = ['peer', 'round', 'weight', 'and', 'the', 'of', 'a', 'gossip']
  for (let file = 0; file < 40; file++) {
    const content = Array.from({ length: 400 }, () => words[random.below(words.length)]).join(' ')
    writeFileSync(join(text, `${file}.txt`), content)
  }
})

const job = (changes: Partial<LocalJob> = {}): LocalJob => ({
  model: { kind: 'gpt', layers: 1, heads: 2, width: 16 },
  data: { kind: 'text', roots: [text], extensions: ['.txt'], context: 16 },
  optimizer: { kind: 'adamw', learningRate: 3e-3 },
  batch: 8,
  accumulate: 1,
  duration: { steps: 200 },
  seed: 1,
  threads: 1,
  provider: 'cpu',
  precision: 'float32',
  measurements: 1,
  measureExamples: 100,
  maxMemoryBytes: 1e9,
  ...changes,
})
const train = (changes: Partial<LocalJob> = {}, onEvent?: (event: LocalEvent) => void, signal?: AbortSignal) =>
  trainLocally({ logger: silentLogger }, job(changes), { ...(onEvent && { onEvent }), ...(signal && { signal }) })
const codeOf = (promise: Promise<unknown>): Promise<string> => promise.then(() => 'none', errorCode)

test('it learns, measures what is held out, and tells how it goes', async () => {
  const events: LocalEvent[] = []
  const result = await train({}, (event) => events.push(event))
  assert.is(result.steps, 200)
  const measured = events.flatMap((event) => (event.kind === 'measured' ? [event] : []))
  assert.equal(
    measured.map(({ step }) => step),
    [0, 100, 200],
  )
  // Letters, at first as likely as any bytes.
  assert.ok(measured[0]!.loss > 7.5 && measured.at(-1)!.loss < 3, `${measured.map(({ loss }) => loss)}`)
  assert.ok(measured.at(-1)!.accuracy! > 0.4)
  const started = events[0]!
  assert.ok(started.kind === 'started' && started.unit === 'bits/byte' && started.steps === 200)
})

test('the same seed gives the same bits, another others; threads and the size of runs do not matter', async () => {
  const [once, again, other] = await Promise.all([train(), train({ threads: 2 }), train({ seed: 2 })])
  assert.equal(once.parameters, again.parameters)
  assert.not.equal(once.parameters, other.parameters)
})

test('a run that is called off goes on from where it was and ends in the same bits', async () => {
  const keep = { folder: join(folder, 'called-off'), everyMs: 1e9 }
  const stop = new AbortController()
  const code = await codeOf(
    train({ keep }, (event) => event.kind === 'progress' && event.step > 20 && stop.abort(), stop.signal),
  )
  assert.is(code, 'aborted')
  let resumedAt = 0
  const result = await train({ keep }, (event) => {
    if (event.kind === 'started') resumedAt = event.resumedAt
  })
  assert.ok(resumedAt > 20 && resumedAt <= 200, `resumed at ${resumedAt}`)
  assert.equal(result.parameters, (await train()).parameters)
})

test('a run killed at random instants ends in the same bits', async () => {
  const args = ['--data', text, '--model', 'gpt:layers=1,heads=2,width=32', '--context', '32', '--steps', '600']
  const { kills, identical, resumedAt } = await killedRun([...args, '--measurements', '2'], 4)
  assert.ok(kills > 0 && resumedAt.length > 0, `${kills} kills, ${resumedAt.length} resumes`)
  assert.ok(identical)
})

test('a checkpoint of another run, or a damaged one, is refused and left alone', async () => {
  const keep = { folder: join(folder, 'other'), everyMs: 0 }
  const file = join(keep.folder, 'checkpoint.safetensors')
  await train({ keep, duration: { steps: 3 } })
  assert.is(await codeOf(train({ keep, duration: { steps: 3 }, seed: 2 })), 'checkpoint_of_another_run')
  assert.is(await codeOf(train({ keep, duration: { steps: 4 } })), 'checkpoint_of_another_run')
  const bytes = readFileSync(file)
  bytes[bytes.length - 5]! ^= 1
  writeFileSync(file, bytes)
  assert.is(await codeOf(train({ keep, duration: { steps: 3 } })), 'checkpoint_damaged')
  assert.ok(readFileSync(file).equals(bytes))
})

test('what cannot go well is a typed error', async () => {
  assert.is(await codeOf(train({ maxMemoryBytes: 100_000 })), 'out_of_memory')
  assert.is(await codeOf(train({ model: { kind: 'mlp', hidden: [4] } })), 'bad_model')
  const wild = { kind: 'sgd', learningRate: 1e30 } as const
  assert.is(await codeOf(train({ optimizer: wild })), 'loss_not_finite')
  const nothing: LocalJob['data'] = { kind: 'text', roots: [join(folder, 'nothing')], context: 16 }
  assert.ok(['no_training_data', 'unreadable_data'].includes(await codeOf(train({ data: nothing }))))
})

test('the command keeps a model, logs and a checkpoint, and goes on with more of none', async () => {
  const out = join(folder, 'kept')
  const args = ['train', 'local', '--data', text, '--model', 'gpt:tiny', '--context', '16', '--steps', '20']
  const first = await owm([...args, '--out', out, '--json'])
  assert.is(first.code, exitCodes.ok, first.stderr)
  const report = JSON.parse(first.stdout)
  assert.is(report.steps, 20)
  assert.is(report.unit, 'bits/byte')
  assert.is(report.model, join(out, 'model.onnx'))
  for (const file of ['model.onnx', 'checkpoint.safetensors', 'log.csv', 'tensorboard']) {
    assert.ok(existsSync(join(out, file)), file)
  }
  const rows = readFileSync(join(out, 'log.csv'), 'utf8').trim().split('\n')
  assert.ok(rows[0]!.startsWith('step,') && rows.length > 2)
  // Done already: nothing is trained again.
  const again = await owm([...args, '--out', out, '--json'])
  assert.is(JSON.parse(again.stdout).loss, report.loss)
  const other = await owm([...args, '--out', out, '--seed', '9'])
  assert.is(other.code, exitCodes.badInput, other.stderr)
  const anew = await owm([...args, '--out', out, '--seed', '9', '--restart', '--json'])
  assert.is(JSON.parse(anew.stdout).steps, 20)
})

test('a model that was kept is trained on, whole and with adapters beside it', async () => {
  const first = { folder: join(folder, 'first'), everyMs: 1e9 }
  const model = (from: string) => ({ kind: 'file', file: join(folder, from, 'model.onnx') }) as const
  const before = await train({ keep: first, duration: { steps: 30 } })
  const whole = await train({ model: model('first'), duration: { steps: 60 } })
  assert.is(whole.parameters.length, before.parameters.length)
  assert.ok(whole.measured!.loss < before.measured!.loss)
  const adapted = { folder: join(folder, 'adapted'), everyMs: 1e9 }
  const changes = { model: model('first'), lora: { rank: 4 }, duration: { steps: 60 } }
  const lora = await train({ ...changes, keep: adapted })
  assert.ok(lora.parameters.length < before.parameters.length / 2)
  assert.ok(lora.measured!.loss < before.measured!.loss)
  // What is kept is the whole model, with the adapters in it.
  assert.ok(existsSync(join(adapted.folder, 'adapters.safetensors')))
  const merged = await train({
    model: model('adapted'),
    optimizer: { kind: 'sgd', learningRate: 1e-9 },
    duration: { steps: 1 },
  })
  assert.ok(Math.abs(merged.measured!.loss - lora.measured!.loss) < 1e-3)
})

test('options that mean nothing are refused with what to write', async () => {
  for (const wrong of [
    ['--model', 'gtp'],
    ['--model', 'gpt:layers=0'],
    ['--steps', '0'],
    ['--learning-rate', 'much'],
    ['--optimizer', 'adam'],
  ]) {
    const { code, stderr } = await owm(['train', 'local', '--data', text, ...wrong])
    assert.is(code, exitCodes.usage, `${wrong}: ${stderr}`)
  }
})

test.run()
