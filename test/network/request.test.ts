import type { Stream } from '@libp2p/interface'
import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { z } from 'zod'
import { decode, encode, errorCode, OwmError } from '../../src/lib/index.ts'
import { frameHeader, receiveFrame } from '../../src/network/frames.ts'
import type { ProtocolSpec } from '../../src/network/index.ts'
import { openEnvelope } from '../../src/network/request-client.ts'
import { internalErrorMessage } from '../../src/network/request-errors.ts'
import { maxConcurrentPerPeer } from '../../src/network/request-server.ts'
import { suite } from '../suite.ts'
import { claimVectors, vectorBytes } from '../vectors.ts'
import { addressOf, startPeer, stopPeers, type TestPeer, testMesh, until } from './harness.ts'

const test = suite('request')
const textSchema = z.strictObject({ text: z.string() })
type Text = z.infer<typeof textSchema>
let names = 0
const spec = (changes: Partial<ProtocolSpec<Text, Text>> = {}): ProtocolSpec<Text, Text> => ({
  name: `echo-${names++}`,
  version: '1.0.0',
  request: textSchema,
  response: textSchema,
  maxRequestBytes: 1024,
  maxResponseBytes: 1024,
  timeoutMs: 10_000,
  rate: { perSecond: 1_000, burst: 1_000 },
  ...changes,
})
let server: TestPeer
let client: TestPeer
test.before(async () => {
  server = await startPeer()
  client = await startPeer({ bootstrap: [addressOf(server)] })
  await until(() => client.network.isConnected(server.network.self) && server.network.isConnected(client.network.self))
})
test.after(stopPeers)

const echo = async (request: Text): Promise<Text> => request
const ask = (protocol: ProtocolSpec<Text, Text>, text: string, signal?: AbortSignal): Promise<Text> =>
  client.network.request(server.network.self, protocol, { text }, signal === undefined ? {} : { signal })
const failure = async (promise: Promise<unknown>): Promise<OwmError> => {
  try {
    await promise
  } catch (error) {
    return error as OwmError
  }
  return assert.unreachable('it did not fail') as never
}
const rawStream = (protocol: ProtocolSpec<Text, Text>): Promise<Stream> =>
  client.network.libp2p.dialProtocol(server.network.self, `/owm/${testMesh.id}/${protocol.name}/${protocol.version}`)
/** Sends bytes as they are and reads the one envelope that comes back. */
const rawExchange = async (protocol: ProtocolSpec<Text, Text>, bytes: Uint8Array): Promise<unknown> => {
  const stream = await rawStream(protocol)
  const answer = receiveFrame(stream, { maxBytes: 4096, onTrailing: () => undefined })
  stream.send(bytes)
  return decode(await answer, z.unknown(), 4096)
}
const framed = (body: Uint8Array): Uint8Array => new Uint8Array([...frameHeader(body.length), ...body])
const codeIn = (envelope: unknown): string => (envelope as { error: { code: string } }).error.code

test('a request is answered, also by oneself', async () => {
  const protocol = spec()
  server.network.handle(protocol, async ({ text }, { from }) => ({ text: `${text} from ${from.toString()}` }))
  assert.equal(await ask(protocol, 'hi'), { text: `hi from ${client.network.self.toString()}` })
  const self = await server.network.request(server.network.self, protocol, { text: 'me' })
  assert.equal(self, { text: `me from ${server.network.self.toString()}` })
})

test('16 MiB go each way, and come whole', async () => {
  const protocol = spec({
    request: z.strictObject({ text: z.string() }),
    maxRequestBytes: 16 * 1024 * 1024 + 64,
    maxResponseBytes: 16 * 1024 * 1024 + 64,
    timeoutMs: 20_000,
  })
  server.network.handle(protocol, async ({ text }) => ({ text: `${text.slice(1)}!` }))
  const text = '0123456789abcdef'.repeat(1024 * 1024)
  const answers = await Promise.all([ask(protocol, text), ask(protocol, text)])
  for (const answer of answers) assert.ok(answer.text === `${text.slice(1)}!`)
})

test('what is too long is not sent, not taken and not returned', async () => {
  const protocol = spec({ maxRequestBytes: 64, maxResponseBytes: 64 })
  server.network.handle(protocol, async () => ({ text: 'y'.repeat(100) }))
  assert.is((await failure(ask(protocol, 'x'.repeat(100)))).code, 'oversized')
  // The same protocol with other limits: what a peer that does not keep to them would do.
  const generous = { ...protocol, maxRequestBytes: 1024 }
  assert.is((await failure(ask(generous, 'x'.repeat(100)))).code, 'oversized')
  assert.is((await failure(ask(protocol, 'x'))).code, 'internal_error')
})

test('a length alone takes no memory and no patience', async () => {
  const protocol = spec({ maxRequestBytes: 64 })
  server.network.handle(protocol, echo)
  assert.is(codeIn(await rawExchange(protocol, frameHeader(65))), 'oversized')
  assert.is(codeIn(await rawExchange(protocol, frameHeader(2 ** 27))), 'oversized')
})

test('errors travel by code and message, those of the peer itself without a word', async () => {
  const protocol = spec()
  server.network.handle(protocol, async ({ text }) => {
    if (text === 'typed') throw new OwmError('not_found', 'No such thing.', { secret: 'detail' })
    if (text === 'internal') throw new OwmError('internal_error', 'secret path')
    throw new Error('secret path /home/me')
  })
  const typed = await failure(ask(protocol, 'typed'))
  assert.is(typed.code, 'not_found')
  assert.is(typed.message, 'No such thing.')
  assert.is(typed.details['remote'], true)
  assert.is(typed.details['secret'], undefined)
  for (const text of ['internal', 'untyped']) {
    const error = await failure(ask(protocol, text))
    assert.is(error.code, 'internal_error')
    assert.is(error.message, internalErrorMessage)
  }
  assert.ok(server.lines.some((line) => line.level === 'error' && String(line.fields['error']).includes('/home/me')))
})

test('a peer that is not there, does not speak the protocol or answers nonsense', async () => {
  const protocol = spec()
  assert.is((await failure(ask(protocol, 'x'))).code, 'unsupported')
  const wrong = spec()
  server.network.handle({ ...wrong, response: z.unknown() as never }, async () => ({ other: 1 }) as never)
  assert.is((await failure(ask(wrong, 'x'))).code, 'schema_mismatch')
  const gone = await startPeer()
  const { self } = gone.network
  await gone.network.stop()
  const error = await failure(
    client.network.request(self, protocol, { text: 'x' }, { signal: AbortSignal.timeout(5_000) }),
  )
  assert.ok(['unreachable', 'timeout', 'TimeoutError'].includes(error.code ?? error.name), error.code)
})

test('a request ends at its time-out, and the handler is told', async () => {
  const protocol = spec({ timeoutMs: 200 })
  let told = false
  server.network.handle(protocol, (_, { signal }) => {
    signal.addEventListener('abort', () => {
      told = true
    })
    return new Promise(() => undefined)
  })
  assert.is((await failure(ask(protocol, 'x'))).code, 'timeout')
  await until(() => told)
})

test('a request ends when its caller aborts, and the handler is told', async () => {
  const protocol = spec()
  let state = 'idle'
  server.network.handle(protocol, (_, { signal }) => {
    state = 'running'
    signal.addEventListener('abort', () => {
      state = 'told'
    })
    return new Promise(() => undefined)
  })
  const controller = new AbortController()
  const reason = new OwmError('aborted', 'changed my mind')
  const asked = failure(ask(protocol, 'x', controller.signal))
  await until(() => state === 'running')
  controller.abort(reason)
  assert.is(await asked, reason)
  await until(() => state === 'told')
  assert.is(await failure(ask(protocol, 'x', AbortSignal.abort(reason))), reason)
})

test('who asks too often is told so, and others are not', async () => {
  const protocol = spec({ rate: { perSecond: 0.001, burst: 3 } })
  server.network.handle(protocol, echo)
  const codes: string[] = []
  for (let i = 0; i < 5; i++) codes.push(await ask(protocol, 'x').then(() => 'ok', errorCode))
  assert.equal(codes, ['ok', 'ok', 'ok', 'rate_limited', 'rate_limited'])
  const other = await startPeer({ bootstrap: [addressOf(server)] })
  await other.network.connect(server.network.self).catch(() => undefined)
  await until(() => other.network.isConnected(server.network.self))
  assert.equal(await other.network.request(server.network.self, protocol, { text: 'x' }), { text: 'x' })
  await other.network.stop()
})

test('of one peer so many requests are answered at once', async () => {
  const protocol = spec()
  let release: () => void = () => undefined
  const held = new Promise<void>((resolve) => {
    release = resolve
  })
  let running = 0
  server.network.handle(protocol, async (request) => {
    running++
    await held
    return request
  })
  const first = Array.from({ length: maxConcurrentPerPeer }, () => ask(protocol, 'x'))
  await until(() => running === maxConcurrentPerPeer)
  assert.is((await failure(ask(protocol, 'x'))).code, 'capacity_exceeded')
  release()
  await Promise.all(first)
  assert.equal(await ask(protocol, 'y'), { text: 'y' })
})

test('what one peer sends at once takes no more than its share of memory, and is told to come again', async () => {
  const megabyte = 1024 * 1024
  const protocol = spec({ maxRequestBytes: 16 * megabyte, timeoutMs: 60_000 })
  const gate = Promise.withResolvers<void>()
  let running = 0
  server.network.handle(protocol, async ({ text }) => {
    running += text.length
    await gate.promise
    return { text: 'done' }
  })
  const text = 'x'.repeat(12 * megabyte)
  const codes: string[] = []
  const asked = Array.from({ length: 6 }, () =>
    ask(protocol, text).then(
      () => codes.push('ok'),
      (error) => codes.push(errorCode(error)),
    ),
  )
  // A quarter of 128 MiB is room for two of them.
  await until(() => codes.length === 4 && running === 2 * text.length)
  assert.equal(codes, Array(4).fill('capacity_exceeded'))
  gate.resolve()
  await Promise.all(asked)
  assert.equal(codes.slice(4), ['ok', 'ok'])
  assert.is((await ask(protocol, text)).text, 'done')
})

test('malformed frames are refused by their code and cost standing', async () => {
  const protocol = spec()
  server.network.handle(protocol, echo)
  const scoreBefore = scoreOfClient()
  assert.is(codeIn(await rawExchange(protocol, framed(new Uint8Array([0xff])))), 'malformed')
  assert.is(codeIn(await rawExchange(protocol, framed(encode({ text: 1 })))), 'schema_mismatch')
  assert.is(codeIn(await rawExchange(protocol, new Uint8Array([0x80, 0x80, 0x80, 0x80]))), 'malformed')
  const trailing = await rawStream(protocol)
  trailing.send(new Uint8Array([...framed(encode({ text: 'x' })), 1, 2, 3]))
  await until(() => trailing.status !== 'open')
  for (let i = 0; i < 3; i++) await rawExchange(protocol, framed(new Uint8Array([0xff])))
  await until(() => scoreOfClient() < scoreBefore)
  assert.equal(await ask(protocol, 'still'), { text: 'still' })
})

test('a stream that is opened and left is closed in the end, and one that breaks off harms nobody', async () => {
  const protocol = spec({ timeoutMs: 300 })
  server.network.handle(protocol, echo)
  const silent = await rawStream(protocol)
  silent.send(new Uint8Array([200, 1, 0xa1]))
  const broken = await rawStream(protocol)
  broken.send(new Uint8Array([200]))
  broken.abort(new Error('gone'))
  await until(() => silent.status !== 'open')
  assert.equal(await ask(protocol, 'x'), { text: 'x' })
})

test('a frame is the same frame however it is cut in pieces', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.uint8Array({ maxLength: 400 }),
      fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1 }),
      async (body, cuts) => {
        const { stream, push } = fakeStream()
        const received = receiveFrame(stream, { maxBytes: 400, onTrailing: () => assert.unreachable() })
        const bytes = framed(body)
        for (let offset = 0, i = 0; offset < bytes.length; i++) {
          const size = cuts[i % cuts.length] ?? 1
          push(bytes.subarray(offset, offset + size))
          offset += size
        }
        assert.equal(await received, body)
      },
    ),
    { numRuns: 100 },
  )
})

test('a frame that is any bytes at all is taken or refused by a code', async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 64 }), async (bytes) => {
      const { stream, push, end } = fakeStream()
      const received = receiveFrame(stream, { maxBytes: 32, onTrailing: () => undefined })
      push(bytes)
      end()
      await received.then(
        (body) => assert.ok(body.length <= 32),
        (error) => assert.ok(['oversized', 'malformed', 'unreachable'].includes(errorCode(error)), String(error)),
      )
    }),
    { numRuns: 300 },
  )
})

for (const vector of claimVectors('request')) {
  test(`vector ${vector.valid ? 'valid' : 'invalid'}/${vector.name}`, async () => {
    const { kind, value, code } = vector.content
    const maxRequestBytes = Number(vector.content['maxRequestBytes'])
    const maxResponseBytes = Number(vector.content['maxResponseBytes'])
    const outcome = async (): Promise<unknown> => {
      const { stream, push, end } = fakeStream()
      const maxBytes = kind === 'request' ? maxRequestBytes : maxResponseBytes + 2048
      const received = receiveFrame(stream, { maxBytes, onTrailing: () => undefined })
      push(vectorBytes(vector, 'frame'))
      end()
      const body = await received
      return kind === 'request'
        ? decode(body, textSchema, maxRequestBytes)
        : openEnvelope({ name: 'echo', response: textSchema, maxResponseBytes }, body, 'peer')
    }
    if (code === undefined) assert.equal(await outcome(), value)
    else assert.is((await failure(outcome())).code, code)
  })
}

/** As much of a stream as `receiveFrame` looks at. */
function fakeStream(): { stream: Stream; push: (bytes: Uint8Array) => void; end: () => void } {
  const target = new EventTarget()
  const stream = Object.assign(target, { readableEnded: false, status: 'open' }) as unknown as Stream
  return {
    stream,
    push: (data) => void target.dispatchEvent(Object.assign(new Event('message'), { data })),
    end: () => void target.dispatchEvent(new Event('end')),
  }
}

function scoreOfClient(): number {
  const { pubsub } = server.network.libp2p.services as { pubsub: { getScore(peer: string): number } }
  return pubsub.getScore(client.network.self.toString())
}

test.run()
