/** Files of PyTorch's two exporters, imported: what they compute and learn, beside what PyTorch did. See `pytorch/export.py`. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { OwmError } from '../../src/lib/index.ts'
import {
  createGraphBuilder,
  createRandom,
  elementCount,
  encodeModel,
  openSession,
  type RuntimeTensor,
  readModelFile,
  splitParameters,
  withParameters,
} from '../../src/onnx/index.ts'
import { appendGradients } from '../../src/training/autodiff.ts'
import { exportTrained, saveTrained } from '../../src/training/export-trained.ts'
import { type ImportedModel, type ImportOptions, importModel } from '../../src/training/imported.ts'
import { classification } from '../../src/training/losses.ts'
import { createOptimizer, type OptimizerPlan } from '../../src/training/optimizer.ts'
import { buildTrainingStep, type Feed } from '../../src/training/training-step.ts'
import { suite } from '../suite.ts'
import { close, integers, stacked, tensor } from './recorded.ts'

const test = suite('imported models')

interface Recorded {
  readonly steps: number
  readonly cases: readonly {
    readonly name: string
    readonly inputs: readonly number[]
    readonly classes: number
    readonly batches: number
    readonly logits: readonly number[]
    /** By the file's names, as the file has them. */
    readonly gradients: Readonly<Record<string, readonly number[]>>
    readonly run?: { readonly optimizer: OptimizerPlan; readonly losses: readonly number[] }
  }[]
}
const folder = 'test/training/vectors/exported'
const recorded = JSON.parse(readFileSync(`${folder}/exported.json`, 'utf8')) as Recorded
const bytesOf = (name: string): Uint8Array => readFileSync(`${folder}/${name}.onnx`)
/** PyTorch's attention wrote the example's length into this file; a recurrent layer is unrolled for it. */
const sizes = { sequence: 6 }
const tolerance = 3e-5
const toleranceAfterTraining = 5e-4

const temporary = mkdtempSync(join(tmpdir(), 'owm-imported-'))
test.after(() => rmSync(temporary, { recursive: true, force: true }))

function load(name: string, options: ImportOptions = { sizes }) {
  const one = recorded.cases.find((entry) => entry.name === name)!
  const model = importModel(bytesOf(name), options)
  const sequence = !name.startsWith('cnn')
  const data = sequence ? 'tokens' : 'inputs'
  const targets = sequence ? one.inputs : one.inputs.slice(0, 1)
  const feeds: Feed[] = [
    { name: data, type: sequence ? 'int32' : 'float32', shape: one.inputs },
    { name: 'targets', type: 'int32', shape: targets },
  ]
  const random = createRandom(11)
  const batches = Array.from({ length: one.batches }, () => ({
    [data]: sequence ? integers(random, one.inputs, one.classes) : tensor(random, one.inputs),
    targets: integers(random, targets, one.classes),
  }))
  return { one, model, feeds, batches, data }
}

const weightsOf = ({ layout }: ImportedModel, parameters: Float32Array): Record<string, RuntimeTensor> =>
  Object.fromEntries(
    splitParameters(layout, parameters).map(({ name, shape, values }) => [
      name,
      { type: 'float32', shape, data: values } as const,
    ]),
  )

async function run(bytes: Uint8Array, feeds: Record<string, RuntimeTensor>): Promise<Record<string, RuntimeTensor>> {
  const session = await openSession(bytes, { threads: 1 })
  const results = await session.run(feeds)
  await session.release()
  return results
}

for (const { name } of recorded.cases) {
  test(`${name}: outputs and gradients are PyTorch’s`, async () => {
    const { one, model, feeds, batches } = load(name)
    const g = createGraphBuilder('once')
    const values = new Map(model.layout.entries.map(({ name: at, shape }) => [at, g.input(at, 'float32', shape)]))
    const given = new Map(feeds.map((feed) => [feed.name, g.input(feed.name, feed.type, feed.shape)]))
    const { value, gradient } = classification(model.model)(g, values, given)
    g.output('values', value)
    appendGradients(g, { value, gradient }, [...values.values()]).forEach((dx, at) => {
      g.output(`d:${model.layout.entries[at]!.name}`, dx)
    })
    const results = await run(encodeModel(g.model()), { ...weightsOf(model, model.initial(0)), ...batches[0] })
    close(results['values']!.data as Float32Array, one.logits, tolerance, 'logits')
    const names = new Map([...model.fileNames].map(([ours, file]) => [file, ours]))
    for (const [file, expected] of Object.entries(one.gradients)) {
      const table = model.ties.get(file)
      if (table === undefined) {
        close(results[`d:${names.get(file)}`]!.data as Float32Array, expected, tolerance, file)
      } else assert.ok(results[`d:${names.get(table)}`])
    }
  })
}

for (const { name, run: wanted } of recorded.cases) {
  if (wanted === undefined) continue
  test(`${name}: ${recorded.steps} steps are PyTorch’s`, async () => {
    const { model, feeds, batches } = load(name)
    const optimizer = createOptimizer(wanted.optimizer)
    const losses = await trained(model, feeds, batches, optimizer)
    close(losses, wanted.losses, toleranceAfterTraining, 'loss')
  })
}

/** The loss of each step, and the last parameters in `after`. */
async function trained(
  model: ImportedModel,
  feeds: readonly Feed[],
  batches: readonly Record<string, RuntimeTensor>[],
  optimizer = createOptimizer({ kind: 'adamw', learningRate: 0.01 }),
  after?: (parameters: Float32Array) => void,
): Promise<number[]> {
  const { layout } = model
  const step = buildTrainingStep({ layout, feeds, loss: classification(model.model), optimizer })
  const session = await openSession(step.bytes, { threads: 1 })
  const weights = weightsOf(model, model.initial(0))
  let carried: Record<string, RuntimeTensor> = Object.fromEntries(
    step.carried.map(({ name, shape }) => {
      const count = shape.reduce((product, size) => product * size, 1)
      return [name, weights[name] ?? { type: 'float32', shape, data: new Float32Array(count) }]
    }),
  )
  const losses: number[] = []
  for (let i = 0; i < recorded.steps; i++) {
    const rates = Float32Array.from(optimizer.rates(i + 1, 0))
    const results = await session.run({
      ...stacked(feeds, [batches[i % batches.length]!], 1),
      rates: { type: 'float32', shape: [1, optimizer.rateCount], data: rates },
      ...carried,
    })
    carried = Object.fromEntries(step.carried.map(({ name }) => [name, results[`${name}.next`]!]))
    losses.push(Number(results['loss']!.data[0]))
  }
  await session.release()
  const last = new Float32Array(layout.length)
  for (const { name, offset } of layout.entries) last.set(carried[name]!.data as Float32Array, offset)
  after?.(last)
  return losses
}

for (const { name } of recorded.cases) {
  test(`${name}: out as it came in, and the same outputs to the bit`, async () => {
    const { model, batches, data } = load(name)
    const original = bytesOf(name)
    const written = exportTrained(model, model.initial(0))
    assert.ok(Buffer.compare(written, original) === 0)
    const again = importModel(written, { sizes })
    assert.equal(again.initial(0), model.initial(0))
    // The file itself, in its own operator set, gives what the imported graph gives.
    const given = batches[0]![data]!
    const asInFile: RuntimeTensor =
      given.type === 'int32'
        ? { ...given, type: 'int64', data: BigInt64Array.from(given.data as Int32Array, BigInt) }
        : given
    const file = await run(original, { [model.names.input]: asInFile })
    const ours = await run(encodeModel(withParameters(model.model, model.initial(0))), { [data]: given })
    close(ours['logits']!.data as Float32Array, file[model.names.output]!.data as Float32Array, 2e-6, 'logits')
  })
}

test('a file that is for one length alone says so', () => {
  try {
    load('gpt-script-13', {})
    assert.unreachable()
  } catch (error) {
    assert.is((error as OwmError).code, 'bad_graph')
    assert.match((error as OwmError).message, 'give it with `sizes` (sequence)')
  }
})

test('what was learned is in the file that is written, tied copies too', async () => {
  for (const name of ['gpt-script-17', 'gpt-dynamo-20']) {
    const { model, feeds, batches, data } = load(name)
    assert.is(model.ties.size, 1)
    let learned = model.initial(0)
    const losses = await trained(model, feeds, batches, undefined, (parameters) => {
      learned = parameters
    })
    assert.ok(losses.at(-1)! < losses[0]! - 0.3, `${losses}`)
    const written = exportTrained(model, learned)
    const again = importModel(written)
    assert.equal(again.initial(0), learned)
    assert.equal([...again.ties], [...model.ties])
    const tokens = batches[0]![data]!
    const wide = BigInt64Array.from(tokens.data as Int32Array, BigInt)
    const file = await run(written, { [model.names.input]: { ...tokens, type: 'int64', data: wide } })
    const ours = await run(encodeModel(withParameters(model.model, learned)), { [data]: tokens })
    close(ours['logits']!.data as Float32Array, file[model.names.output]!.data as Float32Array, 2e-6, 'logits')
  }
})

const codeOf = async (action: () => unknown): Promise<string> => {
  try {
    await action()
    return 'none'
  } catch (error) {
    if (error instanceof OwmError) return error.code
    throw error
  }
}
const namesOf = ({ layout }: ImportedModel): string[] => layout.entries.map(({ name }) => name)

test('patterns say what trains and what stays', async () => {
  const all = load('gpt-script-17').model
  assert.ok(namesOf(all).includes('blocks.1.attention.qkv.weight'))
  assert.equal(all.frozen, [])
  const some = { trainable: ['blocks.1.*', 'final.*'], freeze: ['*.bias'] }
  const { model, feeds, batches } = load('gpt-script-17', some)
  assert.ok(
    namesOf(model).every((name) => /^(blocks\.1|final)\..*weight$/.test(name)),
    `${namesOf(model)}`,
  )
  assert.is(namesOf(model).length + model.frozen.length, namesOf(all).length)
  assert.ok(model.frozen.includes('token.weight'))
  let learned = model.initial(0)
  await trained(model, feeds, batches, undefined, (parameters) => {
    learned = parameters
  })
  const [before, after] = [all.initial(0), importModel(exportTrained(model, learned)).initial(0)]
  for (const { name, values } of splitParameters(all.layout, after)) {
    const old = splitParameters(all.layout, before).find((entry) => entry.name === name)!.values
    const changed = Buffer.compare(new Uint8Array(old.slice().buffer), new Uint8Array(values.slice().buffer)) !== 0
    assert.is(changed, namesOf(model).includes(name), name)
  }
  assert.is(await codeOf(() => load('gpt-script-17', { trainable: ['encoder.*'] })), 'no_such_parameter')
  assert.is(await codeOf(() => load('gpt-script-17', { freeze: ['*'] })), 'no_such_parameter')
  // Statistics are given, not learned, whoever asks.
  assert.is(await codeOf(() => load('cnn-script-13', { trainable: ['norm1.running_mean'] })), 'no_such_parameter')
  assert.is(await codeOf(() => load('cnn-script-13', { logits: 'nothing' })), 'unsupported_model')
})

test('a model is saved with its tensors beside it, read again, and saved whole', async () => {
  const { model } = load('gpt-dynamo-20')
  const parameters = model.initial(0).map((value) => value * 1.5)
  const path = join(temporary, 'beside', 'model.onnx')
  const beside = (): string[] => readdirSync(join(temporary, 'beside')).filter((name) => name.endsWith('.data'))
  await saveTrained(path, model, model.initial(0), { external: true })
  const [first] = beside()
  await saveTrained(path, model, parameters, { external: true })
  const [second, ...others] = beside()
  assert.is.not(second, first)
  assert.equal(others, [])
  const again = importModel(await readModelFile(path))
  assert.equal(again.initial(0), parameters)
  assert.is(await codeOf(() => importModel(readFileSync(path))), 'unsupported_model')
  assert.is(await codeOf(() => exportTrained(again, parameters)), 'external_data')
  // Saved again it stays apart, but for whoever asks; what never was outside is the original to the byte.
  await saveTrained(join(temporary, 'again.onnx'), again, parameters)
  assert.ok(readFileSync(join(temporary, 'again.onnx')).length < readFileSync(path).length + 64)
  await saveTrained(join(temporary, 'whole.onnx'), again, model.initial(0), { external: false })
  assert.equal(importModel(readFileSync(join(temporary, 'whole.onnx'))).initial(0), model.initial(0))
  await saveTrained(join(temporary, 'same.onnx'), model, model.initial(0))
  assert.ok(Buffer.compare(readFileSync(join(temporary, 'same.onnx')), bytesOf('gpt-dynamo-20')) === 0)
})

test('a runtime reads what is saved with tensors beside', async () => {
  const { model, batches } = load('cnn-script-13')
  const path = join(temporary, 'cnn', 'cnn.onnx')
  await saveTrained(path, model, model.initial(0), { external: true })
  const runtime = await import('onnxruntime-node')
  const session = await runtime.InferenceSession.create(path)
  const { data, shape } = batches[0]!['inputs']!
  const results = await session.run({ data: new runtime.Tensor('float32', data as Float32Array, shape) })
  await session.release()
  close(results['logits']!.data as Float32Array, recorded.cases[0]!.logits, tolerance, 'logits')
})

test('a cut or changed file is an error with a code, and nothing else', async () => {
  const codes = 'none malformed_model unsupported_model oversized bad_graph no_gradient no_such_parameter'.split(' ')
  const random = createRandom(7)
  for (const name of ['cnn-script-13', 'gru-script-17', 'gpt-dynamo-20']) {
    const bytes = bytesOf(name)
    for (let round = 0; round < 60; round++) {
      const changed = bytes.slice(0, round % 6 === 0 ? random.below(bytes.length) : bytes.length)
      for (let flips = 1 + random.below(4); flips > 0; flips--)
        changed[random.below(changed.length)] = random.below(256)
      const code = await codeOf(() => importModel(changed).initial(0))
      assert.ok(codes.includes(code), `${name}: ${code}`)
    }
  }
})

/** Draws examples for so many steps, and trains on them in one run. */
async function fitted(
  model: ImportedModel,
  feeds: readonly Feed[],
  draw: (data: Float32Array | Int32Array, targets: Int32Array) => void,
  steps: number,
): Promise<Float32Array> {
  const { layout } = model
  const optimizer = createOptimizer({ kind: 'adamw', learningRate: 0.01 })
  const step = buildTrainingStep({ layout, feeds, loss: classification(model.model), optimizer })
  const given = feeds.map(({ type, shape }) => {
    const all = [steps, ...shape]
    return {
      type,
      shape: all,
      data: type === 'int32' ? new Int32Array(elementCount(all)) : new Float32Array(elementCount(all)),
    }
  })
  draw(given[0]!.data, given[1]!.data as Int32Array)
  const rates = Float32Array.from(Array.from({ length: steps }, (_, i) => optimizer.rates(i + 1, i / steps)).flat())
  const weights = weightsOf(model, model.initial(0))
  const carried = step.carried.map(({ name, shape }) => {
    return [name, weights[name] ?? { type: 'float32', shape, data: new Float32Array(elementCount(shape)) }] as const
  })
  const results = await run(step.bytes, {
    ...(Object.fromEntries(feeds.map(({ name }, at) => [name, given[at]])) as Record<string, RuntimeTensor>),
    rates: { type: 'float32', shape: [steps, optimizer.rateCount], data: rates },
    ...Object.fromEntries(carried),
  })
  const learned = new Float32Array(layout.length)
  for (const { name, offset } of layout.entries) learned.set(results[`${name}.next`]!.data as Float32Array, offset)
  return learned
}

/** How much of `targets` is missed, in nats. */
function lossOf(logits: Float32Array, targets: Int32Array): number {
  const classes = logits.length / targets.length
  let total = 0
  targets.forEach((target, at) => {
    const row = [...logits.subarray(at * classes, (at + 1) * classes)]
    const most = Math.max(...row)
    total += most + Math.log(row.reduce((sum, value) => sum + Math.exp(value - most), 0)) - row[target]!
  })
  return total / targets.length
}

test('a CNN of PyTorch learns to tell strokes in noise', async () => {
  const { model } = load('cnn-script-13')
  const side = 9
  const random = createRandom(21)
  const draw = (images: Float32Array | Int32Array, kinds: Int32Array): void => {
    for (let at = 0; at < images.length; at++) images[at] = random.unit() * 0.6
    kinds.forEach((_, example) => {
      const kind = random.below(4)
      const [place, base] = [random.below(side), example * side * side]
      kinds[example] = kind
      for (let i = 0; i < side; i++) {
        const shifted = (i + place) % side
        const [row, column] = [
          [place, i],
          [i, place],
          [i, shifted],
          [i, side - 1 - shifted],
        ][kind]! as [number, number]
        images[base + row * side + column] = 1
      }
    })
  }
  const feeds: Feed[] = [
    { name: 'inputs', type: 'float32', shape: [16, 1, side, side] },
    { name: 'targets', type: 'int32', shape: [16] },
  ]
  const learned = await fitted(model, feeds, draw, 200)
  const [images, kinds] = [new Float32Array(256 * side * side), new Int32Array(256)]
  draw(images, kinds)
  const lossWith = async (parameters: Float32Array): Promise<number> => {
    const inputs: RuntimeTensor = { type: 'float32', shape: [256, 1, side, side], data: images }
    const { logits } = await run(encodeModel(withParameters(model.model, parameters)), { inputs })
    return lossOf(logits!.data as Float32Array, kinds)
  }
  const [before, after] = [await lossWith(model.initial(0)), await lossWith(learned)]
  assert.ok(before > 1.2 && after < 0.5, `${before}, then ${after}`)
})

test('a GPT of PyTorch learns what letters follow which', async () => {
  const { model } = load('gpt-script-17')
  const letters = ' etaoinsrh'
  const text = Int32Array.from(readFileSync('LICENSE', 'utf8').toLowerCase(), (letter) => {
    const at = letters.indexOf(letter)
    return at < 0 ? letters.length : at
  })
  const [length, held] = [6, Math.floor(text.length * 0.8)]
  const random = createRandom(22)
  const draw =
    (from: number, to: number) =>
    (tokens: Float32Array | Int32Array, targets: Int32Array): void => {
      for (let at = 0; at < tokens.length; at += length) {
        const start = from + random.below(to - from - length - 1)
        tokens.set(text.subarray(start, start + length), at)
        targets.set(text.subarray(start + 1, start + length + 1), at)
      }
    }
  const shape = [16, length]
  const feeds: Feed[] = [
    { name: 'tokens', type: 'int32', shape },
    { name: 'targets', type: 'int32', shape },
  ]
  const learned = await fitted(model, feeds, draw(0, held), 400)
  const [tokens, targets] = [new Int32Array(256 * length), new Int32Array(256 * length)]
  draw(held, text.length)(tokens, targets)
  const given: RuntimeTensor = { type: 'int32', shape: [256, length], data: tokens }
  const { logits } = await run(encodeModel(withParameters(model.model, learned)), { tokens: given })
  // Better than knowing how often each letter comes.
  const counts = Array.from({ length: 11 }, (_, letter) => targets.filter((target) => target === letter).length)
  const entropy = counts.reduce(
    (sum, n) => (n === 0 ? sum : sum - (n / targets.length) * Math.log(n / targets.length)),
    0,
  )
  const loss = lossOf(logits!.data as Float32Array, targets)
  assert.ok(loss < entropy - 0.1, `${loss}, of ${entropy}`)
})

test.run()
