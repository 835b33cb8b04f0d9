import { once } from 'node:events'
import { connect } from 'node:net'
import * as assert from 'uvu/assert'
import { createGateway } from '../../src/gateway/index.ts'
import { type OwmError, systemClock } from '../../src/lib/index.ts'
import { silentLogger, silentMetrics } from '../../src/observability/index.ts'
import { suite } from '../suite.ts'
import { jsonOf, rawRequest, stage } from './harness.ts'
import { makeHealth } from './twins.ts'

const test = suite('gateway: health and the server')

test('health tells readiness, peers, disk and the last round', async () => {
  await using peer = await stage({ gateway: false, dashboard: false })
  const reply = await fetch(`${peer.url}/health`)
  const body = await jsonOf(reply)
  assert.is(reply.status, 200)
  assert.is(body['status'], 'ready')
  assert.is(body['peers'], 2)
  assert.is(body['disk_free_bytes'], 10_000_000_000)
  assert.equal(body['last_round'], {
    run: peer.health.lastRound?.run,
    round: 5,
    certified_at: '2023-11-14T22:13:40.000Z',
  })
})

test('a peer that is not ready answers 503 with the reasons, and is still live', async () => {
  await using peer = await stage()
  peer.health = makeHealth({ ready: false, reasons: ['The disk is full.'], lastRound: null, diskFreeBytes: null })
  const reply = await fetch(`${peer.url}/health`)
  const body = await jsonOf(reply)
  assert.is(reply.status, 503)
  assert.is(body['ready'], false)
  assert.is(body['live'], true)
  assert.equal(body['reasons'], ['The disk is full.'])
  assert.is(body['last_round'], null)
  assert.is((await fetch(`${peer.url}/health/live`)).status, 200)
})

test('metrics are Prometheus text and count requests by route, not by path', async () => {
  await using peer = await stage()
  await fetch(`${peer.url}/v1/models/one`)
  await fetch(`${peer.url}/v1/models/two`)
  await fetch(`${peer.url}/nowhere/at/all`)
  const reply = await fetch(`${peer.url}/metrics`)
  const text = await reply.text()
  assert.match(reply.headers.get('content-type') ?? '', 'text/plain; version=0.0.4')
  assert.match(text, /owm_gateway_requests_total\{route="\/v1\/models\/:id",method="GET",status="404"\} 2/)
  assert.match(text, /owm_gateway_requests_total\{route="none",method="GET",status="404"\} 1/)
})

test('a peer that is no gateway serves health and metrics alone', async () => {
  await using peer = await stage({ gateway: false, dashboard: false })
  assert.is((await fetch(`${peer.url}/metrics`)).status, 200)
  for (const path of ['/', '/v1/models', '/v1/events', '/v1/network/stats', '/fragments']) {
    assert.is((await fetch(peer.url + path)).status, 404, path)
  }
})

test('a port in use is one clear error, and the first server goes on', async () => {
  await using peer = await stage()
  const second = createGateway(
    {
      health: () => makeHealth(),
      metricsText: async () => '',
      logger: silentLogger,
      metrics: silentMetrics,
      clock: systemClock,
    },
    { listen: `127.0.0.1:${peer.port}`, gateway: true, dashboard: true },
  )
  const error = await second.start().then(
    () => undefined,
    (thrown: OwmError) => thrown,
  )
  assert.is(error?.code, 'port_in_use')
  assert.is(error?.message, `Port ${peer.port} on 127.0.0.1 is taken; set [http] listen to another.`)
  assert.is((await fetch(`${peer.url}/health`)).status, 200)
  await second.stop()
})

test('an address that is none is refused before anything listens', () => {
  for (const listen of ['8080', 'localhost', '127.0.0.1:99999', '[localhost]:80', ':8080', '::1:8080']) {
    assert.throws(
      () =>
        createGateway(
          {
            health: () => makeHealth(),
            metricsText: async () => '',
            logger: silentLogger,
            metrics: silentMetrics,
            clock: systemClock,
          },
          { listen, gateway: false, dashboard: false },
        ),
      (error: OwmError) => error.code === 'bad_listen',
      listen,
    )
  }
})

test('over loopback, only names of this machine are answered', async () => {
  await using peer = await stage({ hosts: ['Owm.Example'] })
  const statusOf = async (host: string): Promise<number> => (await rawRequest(peer.port, '/health', { host })).status
  for (const host of [
    'localhost',
    'LOCALHOST:8080',
    '127.0.0.1',
    '127.9.9.9:1',
    '[::1]:8080',
    'a.localhost',
    'owm.example:80',
  ]) {
    assert.is(await statusOf(host), 200, host)
  }
  for (const host of ['evil.example', '192.0.2.1', 'localhost.evil.example', '127.0.0.1.evil.example', '[::2]']) {
    assert.is(await statusOf(host), 421, host)
  }
  const refused = await rawRequest(peer.port, '/health', { host: 'evil.example' })
  assert.is((JSON.parse(refused.body) as { code: string }).code, 'foreign_host')
  assert.is((await rawRequest(peer.port, '/health', { host: 'a b\\c' })).status >= 400, true)
})

/** What comes back until the server closes the connection. */
function sendRaw(port: number, text: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    let received = ''
    socket.on('data', (data) => {
      received += data
    })
    socket.on('error', () => undefined)
    socket.on('close', () => resolve(received))
    socket.write(text)
  })
}

test('a request that trickles in is cut off', async () => {
  await using peer = await stage({ limits: { headersTimeoutMs: 50, requestTimeoutMs: 50 } })
  assert.match(await sendRaw(peer.port, 'GET /health HTTP/1.1\r\nHost: localhost\r\nX-Slow'), '408')
  const head = 'POST /v1/query HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 99'
  assert.match(await sendRaw(peer.port, `${head}\r\n\r\n{`), '408')
  assert.is(peer.answerer.calls.length, 0)
})

test('a connection on which nothing moves any more is cut', async () => {
  await using peer = await stage({ limits: { idleTimeoutMs: 100 } })
  const received = await sendRaw(peer.port, 'GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n')
  assert.match(received, 'what happens from now on')
})

test('connections beyond the limit are closed unanswered, and there is room again when others leave', async () => {
  await using peer = await stage({ limits: { maxConnections: 2 } })
  const ask = 'GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n'
  const silent = await Promise.all(
    [1, 2].map(async () => {
      const socket = connect(peer.port, '127.0.0.1')
      await once(socket, 'connect')
      // A whole exchange, so that the server is known to have counted this connection.
      socket.write(ask.replace('Connection: close\r\n', ''))
      await once(socket, 'data')
      return socket
    }),
  )
  assert.is(await sendRaw(peer.port, ask), '')
  for (const socket of silent) socket.destroy()
  while (!(await sendRaw(peer.port, ask)).includes('200 OK'));
})

test('every reply carries a request id: the given one when it is harmless', async () => {
  await using peer = await stage()
  const idFor = async (given: string): Promise<string | null> =>
    (await fetch(`${peer.url}/health`, { headers: { 'X-Request-Id': given } })).headers.get('x-request-id')
  assert.is(await idFor('trace-1.a'), 'trace-1.a')
  assert.match((await idFor('<script>')) ?? '', /^[0-9a-f-]{36}$/)
  const headers = (await fetch(`${peer.url}/health`)).headers
  assert.is(headers.get('x-content-type-options'), 'nosniff')
  assert.is(headers.get('access-control-allow-origin'), null)
})

test('unknown paths, wrong methods and unbuilt parts have their own answers', async () => {
  await using peer = await stage()
  const none = await fetch(`${peer.url}/v1/nothing`)
  assert.is(none.status, 404)
  assert.is(none.headers.get('content-type'), 'application/problem+json')
  const { type, status, code, instance } = await jsonOf(none)
  assert.equal(
    { type, status, code, instance },
    {
      type: 'urn:owm:problem:not_found',
      status: 404,
      code: 'not_found',
      instance: '/v1/nothing',
    },
  )
  const wrong = await fetch(`${peer.url}/v1/query`)
  assert.is(wrong.status, 405)
  assert.is(wrong.headers.get('allow'), 'POST')
  for (const path of [
    '/v1/payments/history',
    '/v1/stake/x',
    '/v1/model/versions/x/ots',
    '/v1/nodes/x',
    '/v1/governance/proposals',
    '/v1/network/slashing-log',
  ]) {
    const reply = await fetch(peer.url + path)
    assert.is(reply.status, 501, path)
    assert.is((await jsonOf(reply))['code'], 'not_implemented')
  }
  const embeddings = (await jsonOf(fetch(`${peer.url}/v1/embeddings`, { method: 'POST' })))['error'] as { code: string }
  assert.is(embeddings.code, 'not_implemented')
})

test('an error inside says nothing of the inside', async () => {
  await using peer = await stage()
  peer.answerer.models = () => {
    throw new Error('secret path /home/x')
  }
  const reply = await fetch(`${peer.url}/v1/models`)
  const text = await reply.text()
  assert.is(reply.status, 500)
  assert.not.match(text, 'secret')
  assert.not.match(text, 'at ')
})

test('stop is idempotent, refuses what comes later, and frees the port', async () => {
  const peer = await stage()
  await Promise.all([peer.gateway.stop(), peer.gateway.stop()])
  const error = await fetch(`${peer.url}/health`).then(
    () => undefined,
    (thrown: Error) => thrown,
  )
  assert.ok(error)
  await using again = await stage({ listen: `127.0.0.1:${peer.port}` })
  assert.is(again.port, peer.port)
})

test.run()
