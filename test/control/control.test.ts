import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { z } from 'zod'
import { createControlClient, createControlServer, socketPathFor, verb } from '../../src/control/index.ts'
import { errorCode, OwmError } from '../../src/lib/index.ts'
import { silentLogger } from '../../src/observability/index.ts'
import { suite } from '../suite.ts'

const test = suite('control')
const folder = await mkdtemp(join(tmpdir(), 'owm-control-'))
const socketPath = socketPathFor(folder)
let streamEnded = false
const server = createControlServer(
  { logger: silentLogger },
  {
    socketPath,
    verbs: {
      add: verb(z.strictObject({ a: z.number(), b: z.number() }), async ({ a, b }) => a + b),
      fail: verb(z.strictObject({}), async () => {
        throw new OwmError('no_such_mesh', 'There is no such mesh.')
      }),
      count: verb(z.strictObject({ to: z.number() }), async function* ({ to }) {
        for (let i = 1; i <= to; i++) yield i
      }),
      forever: verb(z.strictObject({}), async function* (_, signal) {
        try {
          yield 'first'
          await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
        } finally {
          streamEnded = true
        }
      }),
    },
  },
)
test.before(async () => {
  await writeFile(socketPath, 'left behind by a dead peer')
  await server.start()
})
test.after(async () => {
  await server.stop()
  await rm(folder, { recursive: true })
})
const client = createControlClient(socketPath)
const codeOf = async (promise: Promise<unknown>): Promise<string> => promise.then(() => 'no error', errorCode)

test('a verb answers, and only its owner may open the socket', async () => {
  assert.is(await client.call('add', { a: 2, b: 3 }), 5)
  assert.is((await stat(socketPath)).mode & 0o777, 0o600)
})

test('errors carry their code', async () => {
  assert.is(await codeOf(client.call('fail')), 'no_such_mesh')
  assert.is(await codeOf(client.call('add', { a: 1 })), 'bad_request')
  assert.is(await codeOf(client.call('toString')), 'not_found')
  assert.is(await codeOf(client.call('add', { a: 1, b: 'x'.repeat(3_000_000) })), 'oversized')
  assert.is(await codeOf(createControlClient(join(folder, 'none.sock')).call('add')), 'not_running')
})

test('a stream delivers, and ends when the client leaves', async () => {
  const seen: number[] = []
  for await (const value of client.stream<number>('count', { to: 3 })) seen.push(value)
  assert.equal(seen, [1, 2, 3])
  const leave = new AbortController()
  await codeOf(
    (async () => {
      for await (const value of client.stream('forever', {}, { signal: leave.signal })) {
        assert.is(value, 'first')
        leave.abort()
      }
    })(),
  )
  while (!streamEnded) await new Promise((resolve) => setImmediate(resolve))
})

test('garbage does no harm', async () => {
  const socket = connect(socketPath)
  socket.on('error', () => undefined).resume()
  socket.end('\x00\x01 not http\r\n\r\n')
  await new Promise((resolve) => socket.once('close', resolve))
  assert.is(await client.call('add', { a: 1, b: 1 }), 2)
})

test('a data directory with a long path still has a usable socket', () => {
  assert.ok(Buffer.byteLength(socketPathFor(`/${'x'.repeat(200)}`)) <= 100)
})

test.run()
