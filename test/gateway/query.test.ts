import * as assert from 'uvu/assert'
import { manualClock, sleep } from '../../src/lib/index.ts'
import { suite } from '../suite.ts'
import { eventsOf, type Json, jsonOf, postJson, stage, until } from './harness.ts'
import { chunks, cidNumber, makeModel } from './twins.ts'

const test = suite('gateway: query')

test('a question is answered, and the answer names its checkpoint', async () => {
  await using peer = await stage()
  const reply = await postJson(`${peer.url}/v1/query`, { question: 'héllo', max_tokens: 100, seed: 7, stop: ['\n'] })
  const body = await jsonOf(reply)
  assert.is(reply.status, 200)
  assert.is(reply.headers.get('x-owm-model-version'), cidNumber(5))
  assert.is(reply.headers.get('x-owm-ots-verified'), 'false')
  const { query_id, latency_ms, ...rest } = body
  assert.type(latency_ms, 'number')
  assert.equal(rest, {
    answer: 'hello world',
    sub_models_used: ['owm-code'],
    data_sources: [],
    confidence: null,
    model_version: cidNumber(5),
    ots_verified: false,
    cost_sats: 0,
    checkpoint: cidNumber(5),
    round: 5,
    run: cidNumber(1000),
    finish_reason: 'stop',
    tokens: { prompt: 6, completion: 11 },
  })
  const [call] = peer.answerer.calls
  assert.is(call?.prompt, 'héllo')
  assert.is(call?.options.maxTokens, 100)
  assert.is(call?.options.seed, 7)
  assert.equal(call?.options.stop, [new Uint8Array([10])])

  const remembered = await jsonOf(fetch(`${peer.url}/v1/query/${query_id}`))
  assert.equal(remembered, { query_id, status: 'done', latency_ms, ...rest })
  assert.is((await fetch(`${peer.url}/v1/query/unknown`)).status, 404)
})

test('without a model named, the newest answers; one can be named by id or checkpoint', async () => {
  await using peer = await stage()
  peer.answerer.current = [
    makeModel({ id: 'older', checkpoint: cidNumber(1), certifiedMs: 1 }),
    makeModel({ id: 'newer', checkpoint: cidNumber(2), certifiedMs: 2 }),
  ]
  const used = async (body: Json): Promise<unknown> =>
    (await jsonOf(postJson(`${peer.url}/v1/query`, body)))['checkpoint']
  assert.is(await used({ question: 'x' }), cidNumber(2))
  assert.is(await used({ input: 'x', model: 'older' }), cidNumber(1))
  assert.is(await used({ input: 'x', model: cidNumber(1) }), cidNumber(1))
  const unknown = await postJson(`${peer.url}/v1/query`, { input: 'x', model: 'third' })
  assert.is(unknown.status, 404)
  assert.is((await jsonOf(unknown))['code'], 'model_not_found')
})

test('without any checkpoint: 503, and when to come back', async () => {
  await using peer = await stage()
  peer.answerer.current = []
  for (const path of ['/v1/query', '/v1/query/stream']) {
    const reply = await postJson(peer.url + path, { question: 'x' })
    assert.is(reply.status, 503)
    assert.is(reply.headers.get('retry-after'), '5')
    assert.is((await jsonOf(reply))['code'], 'no_checkpoint')
  }
})

test('a bad question is refused with the field at fault', async () => {
  await using peer = await stage()
  const refusals: [unknown, number, string | undefined][] = [
    [{}, 400, 'question'],
    [{ question: 'x', input: 'y' }, 400, 'question'],
    [{ question: '' }, 400, 'question'],
    [{ question: 'x', max_tokens: 0 }, 400, 'max_tokens'],
    [{ question: 'x', max_tokens: 1e9 }, 400, 'max_tokens'],
    [{ question: 'x', temperature: 'hot' }, 400, 'temperature'],
    [{ question: 'x', maxtokens: 5 }, 400, 'maxtokens'],
    ['{"question": ', 400, undefined],
    ['[', 400, undefined],
    ['null', 400, undefined],
    [`${'['.repeat(100_000)}`, 400, undefined],
  ]
  for (const [body, status, param] of refusals) {
    const reply = await postJson(`${peer.url}/v1/query`, body)
    const problem = await jsonOf(reply)
    assert.is(reply.status, status, JSON.stringify(body).slice(0, 80))
    assert.is(problem['code'], 'bad_request')
    assert.is(problem['param'], param)
  }
  assert.is(peer.answerer.calls.length, 0)
})

test('only JSON is taken, so that no page of another origin can ask', async () => {
  await using peer = await stage()
  for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'application/jsonp', '']) {
    const reply = await fetch(`${peer.url}/v1/query`, {
      method: 'POST',
      headers: { 'Content-Type': type },
      body: '{"question":"x"}',
    })
    assert.is(reply.status, 415, type)
  }
  const charset = { headers: { 'Content-Type': 'application/json; charset=utf-8' } }
  assert.is((await postJson(`${peer.url}/v1/query`, { question: 'x' }, charset)).status, 200)
})

test('a body over the limit is refused before it is read whole, also when its length is not told', async () => {
  await using peer = await stage({ limits: { maxBodyBytes: 1000 } })
  assert.is((await postJson(`${peer.url}/v1/query`, { question: 'x'.repeat(2000) })).status, 413)
  let sent = 0
  const endless = new ReadableStream<Uint8Array>({
    pull: (controller) => {
      sent += 500
      controller.enqueue(new Uint8Array(500).fill(0x20))
    },
  })
  const reply = await fetch(`${peer.url}/v1/query`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: endless,
    duplex: 'half',
  } as RequestInit).catch(() => undefined)
  // The server answers and closes; whether the client sees the answer or the close first is up to the socket.
  if (reply !== undefined) assert.is(reply.status, 413)
  assert.ok(sent < 64 * 2 ** 20)
  assert.is((await fetch(`${peer.url}/health`)).status, 200)
})

test('characters whose bytes come apart are put together, and a broken end is left away', async () => {
  await using peer = await stage()
  const bytes = new TextEncoder().encode('a€😀z')
  peer.answerer.say = () => chunks(...[...bytes].map((byte) => new Uint8Array([byte])))
  const whole = await jsonOf(postJson(`${peer.url}/v1/query`, { question: 'x' }))
  assert.is(whole['answer'], 'a€😀z')
  const cut = await jsonOf(postJson(`${peer.url}/v1/query`, { question: 'x', max_tokens: 6 }))
  assert.is(cut['answer'], 'a€')
  assert.is(cut['finish_reason'], 'length')
  assert.equal(cut['tokens'], { prompt: 1, completion: 6 })
  peer.answerer.say = () => chunks(new Uint8Array([0x61, 0xff, 0x62]))
  assert.is((await jsonOf(postJson(`${peer.url}/v1/query`, { question: 'x' })))['answer'], 'a\ufffdb')
})

test('a generator that says more than it was asked for is cut', async () => {
  await using peer = await stage()
  peer.answerer.say = () => chunks('x'.repeat(10_000))
  const body = await jsonOf(postJson(`${peer.url}/v1/query`, { question: 'x', max_tokens: 10 }))
  assert.is(body['answer'], 'x'.repeat(10))
})

test('a stream names the checkpoint first, then gives the text piece by piece, then all of it', async () => {
  await using peer = await stage()
  const euro = new TextEncoder().encode('€')
  peer.answerer.say = () => chunks('one ', euro.subarray(0, 1), euro.subarray(1), ' two')
  const reply = await postJson(`${peer.url}/v1/query/stream`, { question: 'x' })
  assert.is(reply.status, 200)
  assert.match(reply.headers.get('content-type') ?? '', 'text/event-stream')
  assert.is(reply.headers.get('x-owm-model-version'), cidNumber(5))
  const events = await Array.fromAsync(eventsOf(reply))
  const data = events.map((event) => JSON.parse(event.data) as Json)
  assert.equal(
    events.map((event) => event.type),
    ['start', 'text', 'text', 'text', 'done'],
  )
  assert.is(data[0]?.['model_version'], cidNumber(5))
  assert.equal(
    data.slice(1, 4).map((each) => each['text']),
    ['one ', '€', ' two'],
  )
  assert.is(data[4]?.['answer'], 'one € two')
  assert.is(data[4]?.['query_id'], data[0]?.['query_id'])
})

test('pieces arrive while the answer is still being made', async () => {
  await using peer = await stage()
  const goOn = Promise.withResolvers<void>()
  peer.answerer.say = async function* () {
    yield* chunks('first')
    await goOn.promise
    yield* chunks('second')
  }
  const events = eventsOf(await postJson(`${peer.url}/v1/query/stream`, { question: 'x' }))
  assert.is((await events.next()).value?.type, 'start')
  assert.is((await events.next()).value?.data, '{"text":"first"}')
  goOn.resolve()
  assert.is((await events.next()).value?.data, '{"text":"second"}')
  assert.is((await events.next()).value?.type, 'done')
})

test('a generator that fails at once gives a status; one that fails later ends the stream with the error', async () => {
  await using peer = await stage()
  peer.answerer.say = async function* () {
    yield* chunks('')
    throw new Error('inner detail')
  }
  assert.is((await postJson(`${peer.url}/v1/query`, { question: 'x' })).status, 500)
  peer.answerer.say = async function* () {
    yield* chunks('some')
    throw new Error('inner detail')
  }
  const events = await Array.fromAsync(eventsOf(await postJson(`${peer.url}/v1/query/stream`, { question: 'x' })))
  assert.is(events.at(-1)?.type, 'error')
  assert.not.match(events.at(-1)?.data ?? '', 'inner detail')
  const { query_id } = JSON.parse(events[0]?.data ?? '{}') as { query_id: string }
  assert.is((await jsonOf(fetch(`${peer.url}/v1/query/${query_id}`)))['status'], 'failed')
})

test('when the client goes away, the generation is called off and its place is free again', async () => {
  await using peer = await stage({ limits: { maxRunning: 1 } })
  for (const path of ['/v1/query', '/v1/query/stream']) {
    let seen: AbortSignal | undefined
    peer.answerer.say = async function* (_prompt, { signal }) {
      seen = signal
      yield* chunks('a')
      await sleep(60_000, signal)
    }
    const leaving = new AbortController()
    const asked = postJson(peer.url + path, { question: 'x' }, { signal: leaving.signal }).catch(() => undefined)
    await until(() => seen !== undefined)
    leaving.abort()
    await asked
    await until(() => seen?.aborted === true)
    peer.answerer.say = () => chunks('next')
    assert.is((await jsonOf(postJson(`${peer.url}/v1/query`, { question: 'x' })))['answer'], 'next')
  }
})

test('a reader that drops the stream ends the generator', async () => {
  await using peer = await stage()
  let yielded = 0
  let ended = false
  peer.answerer.say = async function* (_prompt, { signal }) {
    try {
      while (!signal?.aborted) {
        yielded++
        yield* chunks('a')
        await new Promise((resolve) => setImmediate(resolve))
      }
    } finally {
      ended = true
    }
  }
  const reply = await postJson(`${peer.url}/v1/query/stream`, { question: 'x', max_tokens: 4096 })
  await reply.body?.cancel()
  await until(() => ended)
  assert.ok(yielded < 4096)
})

test('one question waits for the other; too many are turned away with when to come back', async () => {
  await using peer = await stage({ limits: { maxRunning: 1, maxWaiting: 1, maxPerClient: 10 } })
  const goOn = Promise.withResolvers<void>()
  peer.answerer.say = async function* () {
    await goOn.promise
    yield* chunks('done')
  }
  const ask = (): Promise<Response> => postJson(`${peer.url}/v1/query`, { question: 'x' })
  const first = ask()
  await until(() => peer.answerer.calls.length === 1)
  let refused = 0
  const others = [1, 2, 3].map(async () => {
    const reply = await ask()
    if (reply.status === 503) refused++
    return reply
  })
  const turnedAway = await Promise.race(others)
  assert.is(turnedAway.status, 503)
  assert.is(turnedAway.headers.get('retry-after'), '1')
  assert.is((await jsonOf(turnedAway))['code'], 'capacity_exceeded')
  await until(() => refused === 2)
  goOn.resolve()
  const statuses = (await Promise.all([first, ...others])).map((reply) => reply.status).sort()
  assert.equal(statuses, [200, 200, 503, 503])
  assert.is(peer.answerer.calls.length, 2)
})

test('one client cannot take every place', async () => {
  await using peer = await stage({ limits: { maxPerClient: 1 } })
  const goOn = Promise.withResolvers<void>()
  peer.answerer.say = async function* () {
    await goOn.promise
    yield* chunks('done')
  }
  const first = postJson(`${peer.url}/v1/query`, { question: 'x' })
  await until(() => peer.answerer.calls.length === 1)
  const second = await postJson(`${peer.url}/v1/query`, { question: 'x' })
  assert.is(second.status, 429)
  assert.is(second.headers.get('retry-after'), '1')
  goOn.resolve()
  assert.is((await first).status, 200)
})

test('an answer that takes too long is broken off', async () => {
  const clock = manualClock()
  await using peer = await stage({ limits: { maxAnswerMs: 1000, maxRunning: 1 } }, { clock })
  // A generator that heeds nothing at all.
  peer.answerer.say = () => ({ [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => undefined) }) })
  const asked = postJson(`${peer.url}/v1/query`, { question: 'x' })
  await until(() => peer.answerer.calls.length === 1)
  clock.advance(1001)
  const reply = await asked
  assert.is(reply.status, 504)
  peer.answerer.say = () => chunks('next')
  assert.is((await postJson(`${peer.url}/v1/query`, { question: 'x' })).status, 200)
})

test('stop lets an answer under way finish', async () => {
  await using peer = await stage()
  const goOn = Promise.withResolvers<void>()
  peer.answerer.say = async function* () {
    await goOn.promise
    yield* chunks('done')
  }
  const asked = postJson(`${peer.url}/v1/query`, { question: 'x' })
  await until(() => peer.answerer.calls.length === 1)
  const stopped = peer.gateway.stop()
  goOn.resolve()
  assert.is((await jsonOf(asked))['answer'], 'done')
  await stopped
})

test('stop breaks off what does not end in time', async () => {
  const clock = manualClock()
  const peer = await stage({ limits: { stopGraceMs: 1000 } }, { clock })
  peer.answerer.say = () => ({ [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => undefined) }) })
  const asked = postJson(`${peer.url}/v1/query`, { question: 'x' })
  await until(() => peer.answerer.calls.length === 1)
  const stopped = peer.gateway.stop()
  clock.advance(1001)
  const reply = await asked
  assert.is(reply.status, 503)
  assert.is((await jsonOf(reply))['code'], 'stopping')
  await stopped
})

test.run()
