import * as assert from 'uvu/assert'
import { suite } from '../suite.ts'
import { eventsOf, type Json, jsonOf, postJson, stage } from './harness.ts'
import { chunks, cidNumber } from './twins.ts'

const test = suite('gateway: OpenAI shapes')
const user = [{ role: 'user', content: 'hi' }]

test('models are listed, and found by id or by checkpoint', async () => {
  await using peer = await stage()
  const model = {
    id: 'owm-code',
    object: 'model',
    created: 1_700_000_020,
    owned_by: 'owm',
    owm: {
      checkpoint: cidNumber(5),
      run: cidNumber(1000),
      round: 5,
      context_tokens: 64,
      signatures: 3,
      ots_verified: false,
    },
  }
  assert.equal(await jsonOf(fetch(`${peer.url}/v1/models`)), { object: 'list', data: [model] })
  assert.equal(await jsonOf(fetch(`${peer.url}/v1/models/owm-code`)), model)
  assert.equal(await jsonOf(fetch(`${peer.url}/v1/models/${cidNumber(5)}`)), model)
  const none = await fetch(`${peer.url}/v1/models/gpt-9`)
  assert.is(none.status, 404)
  assert.equal(await jsonOf(none), {
    error: {
      message: 'There is no model of that name here.',
      type: 'invalid_request_error',
      param: 'model',
      code: 'model_not_found',
    },
  })
})

test('a chat completion has exactly the fields of the reference', async () => {
  await using peer = await stage()
  const reply = await postJson(`${peer.url}/v1/chat/completions`, { model: 'owm-code', messages: user })
  const { id, created, ...rest } = await jsonOf(reply)
  assert.match(String(id), /^chatcmpl-/)
  assert.ok(Number.isInteger(created))
  assert.is(reply.headers.get('x-owm-model-version'), cidNumber(5))
  assert.equal(rest, {
    object: 'chat.completion',
    model: 'owm-code',
    system_fingerprint: cidNumber(5),
    choices: [
      {
        index: 0,
        message: { role: 'assistant', content: 'hello world', refusal: null },
        logprobs: null,
        finish_reason: 'stop',
      },
    ],
    usage: { prompt_tokens: 2, completion_tokens: 11, total_tokens: 13 },
  })
})

test('a completion has exactly the fields of the reference, and sixteen tokens when none are asked for', async () => {
  await using peer = await stage()
  peer.answerer.say = () => chunks('0123456789abcdefgh')
  const { id, created, ...rest } = await jsonOf(
    postJson(`${peer.url}/v1/completions`, { model: 'owm-code', prompt: 'once' }),
  )
  assert.match(String(id), /^cmpl-/)
  assert.ok(Number.isInteger(created))
  assert.equal(rest, {
    object: 'text_completion',
    model: 'owm-code',
    system_fingerprint: cidNumber(5),
    choices: [{ text: '0123456789abcdef', index: 0, logprobs: null, finish_reason: 'length' }],
    usage: { prompt_tokens: 4, completion_tokens: 16, total_tokens: 20 },
  })
})

test('messages become a prompt: contents in order, a blank line between, roles left out', async () => {
  await using peer = await stage()
  await postJson(`${peer.url}/v1/chat/completions`, {
    model: 'owm-code',
    messages: [
      { role: 'system', content: 'Be brief.' },
      {
        role: 'user',
        content: [
          { type: 'text', text: 'a' },
          { type: 'text', text: 'b' },
        ],
      },
      { role: 'assistant', content: '' },
      { role: 'user', content: 'function ' },
    ],
  })
  assert.is(peer.answerer.calls[0]?.prompt, 'Be brief.\n\nab\n\nfunction ')
})

test('options are passed on under their names, null meaning none', async () => {
  await using peer = await stage()
  await postJson(`${peer.url}/v1/chat/completions`, {
    model: 'owm-code',
    messages: user,
    max_tokens: 5,
    max_completion_tokens: 7,
    temperature: 0,
    top_p: 0.5,
    seed: 3,
    stop: 'END',
    n: 1,
    user: 'someone',
    metadata: { any: 'thing' },
    presence_penalty: 0,
    logit_bias: {},
    stream: null,
  })
  await postJson(`${peer.url}/v1/completions`, {
    model: 'owm-code',
    prompt: [[104, 105]],
    stop: ['a', 'b'],
    seed: null,
  })
  const [chat, completion] = peer.answerer.calls
  const { signal: _, ...options } = chat?.options ?? {}
  assert.equal(options, {
    maxTokens: 7,
    temperature: 0,
    topP: 0.5,
    seed: 3,
    stop: [new TextEncoder().encode('END')],
  })
  assert.is(completion?.prompt, 'hi')
  assert.is(completion?.options.temperature, 1)
  assert.is(completion?.options.stop?.length, 2)
})

test('a streamed chat: role, pieces, finish, usage when asked for, and [DONE]', async () => {
  await using peer = await stage()
  const reply = await postJson(`${peer.url}/v1/chat/completions`, {
    model: 'owm-code',
    messages: user,
    stream: true,
    stream_options: { include_usage: true },
  })
  assert.match(reply.headers.get('content-type') ?? '', 'text/event-stream')
  const data = (await Array.fromAsync(eventsOf(reply))).map((event) => event.data)
  assert.is(data.at(-1), '[DONE]')
  const parsed = data.slice(0, -1).map((text) => JSON.parse(text) as Json)
  assert.is(new Set(parsed.map((chunk) => chunk['id'])).size, 1)
  for (const chunk of parsed) {
    assert.is(chunk['object'], 'chat.completion.chunk')
    assert.is(chunk['system_fingerprint'], cidNumber(5))
  }
  assert.equal(
    parsed.map((chunk) => chunk['choices']),
    [
      [{ index: 0, delta: { role: 'assistant', content: '', refusal: null }, logprobs: null, finish_reason: null }],
      [{ index: 0, delta: { content: 'hello ' }, logprobs: null, finish_reason: null }],
      [{ index: 0, delta: { content: 'world' }, logprobs: null, finish_reason: null }],
      [{ index: 0, delta: {}, logprobs: null, finish_reason: 'stop' }],
      [],
    ],
  )
  assert.equal(
    parsed.map((chunk) => chunk['usage']),
    [null, null, null, null, { prompt_tokens: 2, completion_tokens: 11, total_tokens: 13 }],
  )
})

test('a streamed completion carries no usage unless asked', async () => {
  await using peer = await stage()
  const reply = await postJson(`${peer.url}/v1/completions`, { model: 'owm-code', prompt: 'x', stream: true })
  const data = (await Array.fromAsync(eventsOf(reply))).map((event) => event.data)
  assert.is(data.pop(), '[DONE]')
  const parsed = data.map((text) => JSON.parse(text) as Json)
  assert.equal(
    parsed.map((chunk) => (chunk['choices'] as Json[])[0]?.['text']),
    ['hello ', 'world', ''],
  )
  for (const chunk of parsed) assert.not.ok('usage' in chunk)
})

test('what cannot be honoured is refused by name, in the shape of OpenAI', async () => {
  await using peer = await stage()
  const chat = { model: 'owm-code', messages: user }
  const refusals: [string, Json, string][] = [
    ['chat/completions', { messages: user }, 'model'],
    ['chat/completions', { model: 'owm-code' }, 'messages'],
    ['chat/completions', { model: 'owm-code', messages: [] }, 'messages'],
    ['chat/completions', { model: 'owm-code', messages: [{ role: 'user', content: '' }] }, 'messages'],
    ['chat/completions', { ...chat, n: 2 }, 'n'],
    ['chat/completions', { ...chat, max_tokens: 100_000 }, 'max_tokens'],
    ['chat/completions', { ...chat, tools: [{}] }, 'tools'],
    ['chat/completions', { ...chat, response_format: { type: 'json_object' } }, 'response_format.type'],
    ['chat/completions', { ...chat, logprobs: true }, 'logprobs'],
    ['chat/completions', { ...chat, logit_bias: { 5: 1 } }, 'logit_bias.5'],
    ['chat/completions', { ...chat, frequency_penalty: 1 }, 'frequency_penalty'],
    ['completions', { model: 'owm-code', prompt: ['a', 'b'] }, 'prompt'],
    ['completions', { model: 'owm-code', prompt: [256] }, 'prompt.0'],
    ['completions', { model: 'owm-code', prompt: 'a', echo: true }, 'echo'],
    ['completions', { model: 'owm-code', prompt: 'a', best_of: 3 }, 'best_of'],
  ]
  for (const [path, body, param] of refusals) {
    const reply = await postJson(`${peer.url}/v1/${path}`, body)
    const { error } = (await jsonOf(reply)) as { error: Json }
    assert.is(reply.status, 400, param)
    assert.is(error['param'], param)
    assert.is(error['type'], 'invalid_request_error')
    assert.is(error['code'], 'bad_request')
    assert.type(error['message'], 'string')
  }
  assert.is(peer.answerer.calls.length, 0)
})

test('a model that is not there, and no model at all, keep their status when streaming', async () => {
  await using peer = await stage()
  const ask = (model: string): Promise<Response> =>
    postJson(`${peer.url}/v1/chat/completions`, { model, messages: user, stream: true })
  const missing = await ask('gpt-9')
  assert.is(missing.status, 404)
  assert.is(((await jsonOf(missing))['error'] as Json)['code'], 'model_not_found')
  peer.answerer.current = []
  const none = await ask('owm-code')
  assert.is(none.status, 503)
  assert.is(none.headers.get('retry-after'), '5')
  const error = (await jsonOf(none))['error'] as Json
  assert.is(error['type'], 'server_error')
  assert.is(error['code'], 'no_checkpoint')
})

test('an error in the middle of a stream is its last event, and [DONE] does not follow', async () => {
  await using peer = await stage()
  peer.answerer.say = async function* () {
    yield* chunks('some')
    throw new Error('inner detail')
  }
  const reply = await postJson(`${peer.url}/v1/completions`, { model: 'owm-code', prompt: 'x', stream: true })
  const data = (await Array.fromAsync(eventsOf(reply))).map((event) => event.data)
  const last = JSON.parse(data.at(-1) ?? '{}') as { error: Json }
  assert.is(last.error['code'], 'internal_error')
  assert.not.match(data.join(''), 'inner detail')
})

test.run()
