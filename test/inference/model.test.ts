import * as assert from 'uvu/assert'
import type { GenerateOptions, LoadedModel } from '../../src/inference/index.ts'
import { loadModel } from '../../src/inference/model.ts'
import { errorCode } from '../../src/lib/index.ts'
import { silentLogger } from '../../src/observability/index.ts'
import { createGraphBuilder, encodeModel } from '../../src/onnx/index.ts'
import { suite } from '../suite.ts'

const test = suite('inference')
const context = 8
const vocabulary = 256

/** A model whose logits for the next byte are a row of its one parameter, chosen by the last byte. */
function tableGraph(): Uint8Array {
  const g = createGraphBuilder('table')
  const tokens = g.input('tokens', 'int32', ['batch', 'sequence'])
  g.output('logits', g.op('Gather', [g.input('table', 'float32', [vocabulary, vocabulary]), tokens], { axis: 0 }))
  return encodeModel(g.model())
}
const graph = tableGraph()

/** After each byte comes the one `step` further on, from 97 to 122 and round again; others are unlikely. */
function alphabet(step: number): Float32Array {
  const table = new Float32Array(vocabulary * vocabulary)
  for (let byte = 0; byte < vocabulary; byte++) {
    const next = byte < 97 || byte > 122 ? 97 : 97 + ((byte - 97 + step) % 26)
    table[byte * vocabulary + next] = 30
  }
  return table
}
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
async function text(model: LoadedModel, prompt: string, options: Partial<GenerateOptions> = {}): Promise<string> {
  const parts: Uint8Array[] = []
  for await (const part of model.generate(bytes(prompt), { maxTokens: 10, temperature: 0, ...options }))
    parts.push(part)
  return Buffer.concat(parts).toString('latin1')
}
const codeOf = (promise: Promise<unknown>): Promise<string> => promise.then(() => 'none', errorCode)

let model: LoadedModel
test.before(async () => {
  model = await loadModel({ logger: silentLogger }, { graph, parameters: alphabet(1), model: { context, vocabulary } })
})
test.after(() => model.stop())

test('the likeliest bytes come one by one, as many as asked for', async () => {
  assert.is(await text(model, 'a'), 'bcdefghijk')
  assert.is(await text(model, 'a', { maxTokens: 1 }), 'b')
  assert.is(await text(model, ''), 'abcdefghij')
  assert.is(await text(model, 'a prompt longer than the context, w'), 'xyzabcdefg')
})

test('generation ends before a stop string, and what only looked like one is given', async () => {
  assert.is(await text(model, 'a', { stop: [bytes('ef')] }), 'bcd')
  assert.is(await text(model, 'a', { stop: [bytes('zz'), bytes('bc')] }), '')
  assert.is(await text(model, 'a', { stop: [bytes('ijx')] }), 'bcdefghijk')
  assert.is(await text(model, 'a', { stop: [bytes('jkl')] }), 'bcdefghijk')
})

test('drawing depends on the seed alone', async () => {
  const flat = await loadModel(
    { logger: silentLogger },
    { graph, parameters: new Float32Array(vocabulary * vocabulary), model: { context, vocabulary } },
  )
  const draw = (seed: number): Promise<string> => text(flat, 'a', { temperature: 1, seed, maxTokens: 32 })
  assert.is(await draw(1), await draw(1))
  assert.is.not(await draw(1), await draw(2))
  assert.is.not(await text(flat, 'a', { temperature: 1 }), await text(flat, 'a', { temperature: 1 }))
  await flat.stop()
})

test('newer weights are put in place; what is under way ends on the old ones', async () => {
  const running = model.generate(bytes('a'), { maxTokens: 200, temperature: 0 })[Symbol.asyncIterator]()
  await running.next()
  await model.replace(alphabet(2))
  assert.is(await text(model, 'a', { maxTokens: 3 }), 'ceg')
  let old = 'b'
  for (let part = await running.next(); part.done !== true; part = await running.next()) {
    old += Buffer.from(part.value).toString()
  }
  assert.is(old.length, 200)
  assert.match(old, /^(bcdefghijklmnopqrstuvwxyza)+/)
  await model.replace(alphabet(1))
  assert.is(await codeOf(model.replace(new Float32Array(3))), 'wrong_length')
  assert.is(await text(model, 'a', { maxTokens: 3 }), 'bcd')
})

test('generations take turns: a short one does not wait for a long one', async () => {
  let longDone = false
  const long = text(model, 'a', { maxTokens: 3000 }).then(() => {
    longDone = true
  })
  assert.is(await text(model, 'a', { maxTokens: 5 }), 'bcdef')
  assert.not.ok(longDone)
  await long
})

test('an aborted generation ends at once, one that nobody reads is called off', async () => {
  const controller = new AbortController()
  const seen: string[] = []
  const read = async (): Promise<void> => {
    for await (const part of model.generate(bytes('a'), {
      maxTokens: 16_000,
      temperature: 0,
      signal: controller.signal,
    })) {
      seen.push(Buffer.from(part).toString())
      controller.abort()
    }
  }
  assert.is(await codeOf(read()), 'aborted')
  assert.ok(seen.length < 1000)
  assert.is(await codeOf(text(model, 'a', { signal: AbortSignal.abort() })), 'aborted')
  for await (const part of model.generate(bytes('a'), { maxTokens: 16_000, temperature: 0 })) {
    assert.is(Buffer.from(part).toString(), 'b')
    break
  }
  assert.is(await text(model, 'a', { maxTokens: 2 }), 'bc')
})

test('so many at once, and no more', async () => {
  const controller = new AbortController()
  const many = Array.from({ length: 16 }, () =>
    codeOf(text(model, 'a', { maxTokens: 16_000, signal: controller.signal })),
  )
  assert.is(await codeOf(text(model, 'a')), 'capacity_exceeded')
  controller.abort()
  assert.equal(new Set(await Promise.all(many)), new Set(['aborted']))
  assert.is(await text(model, 'a', { maxTokens: 1 }), 'b')
})

test('options out of range are named', async () => {
  for (const wrong of [
    { maxTokens: 0 },
    { temperature: -1 },
    { temperature: Number.NaN },
    { topP: 0 },
    { topK: 0.5 },
  ]) {
    try {
      await text(model, 'a', wrong)
      assert.unreachable()
    } catch (error) {
      assert.is(errorCode(error), 'bad_request')
      assert.match((error as Error).message, Object.keys(wrong)[0] as string)
    }
  }
  assert.is(await codeOf(text(model, 'a', { stop: [new Uint8Array()] })), 'bad_request')
})

test('a broken model is an error, not an answer', async () => {
  const load = (changes: object): Promise<LoadedModel> =>
    loadModel({ logger: silentLogger }, { graph, parameters: alphabet(1), model: { context, vocabulary }, ...changes })
  assert.is(await codeOf(load({ graph: Uint8Array.of(9, 9, 9) })), 'malformed_model')
  assert.is(await codeOf(load({ parameters: new Float32Array(1) })), 'wrong_length')
  assert.is(await codeOf(load({ model: { context, vocabulary: 100 } })), 'unsupported_model')
  const broken = await load({ parameters: alphabet(1).fill(Number.NaN) })
  assert.is(await codeOf(text(broken, 'a')), 'model_not_finite')
  await broken.stop()
  assert.is(await codeOf(text(broken, 'a')), 'worker_stopped')
})

test.run()
