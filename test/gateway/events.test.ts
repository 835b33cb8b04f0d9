import { connect } from 'node:net'
import * as assert from 'uvu/assert'
import { manualClock } from '../../src/lib/index.ts'
import { suite } from '../suite.ts'
import { eventsOf, type Json, jsonOf, stage, until } from './harness.ts'
import { cidNumber, makeLink, makeManifest, makeRound, makeRun, peerNumber } from './twins.ts'

const test = suite('gateway: events, versions and the network')

test('events of the federation, the manifests and the connections are streamed as they come', async () => {
  await using peer = await stage()
  const other = await peerNumber(1)
  const events = eventsOf(await fetch(`${peer.url}/v1/events`))
  assert.is((await events.next()).value?.type, 'comment')
  const started = { type: 'round-started', run: 'r', atMs: 1, round: 2, leader: 'l', committee: ['l'] } as const
  peer.federation.emit(started)
  peer.manifests.emit({ type: 'joined', peer: other })
  peer.network.emit({ type: 'disconnected', peer: other })
  const first = (await events.next()).value
  assert.is(first?.type, 'round-started')
  assert.equal(JSON.parse(first?.data ?? ''), started)
  const joined = (await events.next()).value
  assert.is(joined?.type, 'peer-joined')
  assert.is((JSON.parse(joined?.data ?? '') as Json)['peer'], other.toString())
  assert.is((await events.next()).value?.type, 'peer-disconnected')
})

test('a quiet stream is kept open by a comment', async () => {
  const clock = manualClock()
  await using peer = await stage({ limits: { heartbeatMs: 15_000 } }, { clock })
  const events = eventsOf(await fetch(`${peer.url}/v1/events`))
  await events.next()
  clock.advance(15_000)
  assert.equal((await events.next()).value, { type: 'comment', data: ': still here' })
  clock.advance(15_000)
  assert.equal((await events.next()).value, { type: 'comment', data: ': still here' })
})

test('only so many listen at once, and who leaves makes room', async () => {
  await using peer = await stage({ limits: { maxEventClients: 1 } })
  const leaving = new AbortController()
  const first = await fetch(`${peer.url}/v1/events`, { signal: leaving.signal })
  const second = await fetch(`${peer.url}/v1/events`)
  assert.is(second.status, 503)
  assert.is(second.headers.get('retry-after'), '1')
  leaving.abort()
  await first.body?.cancel().catch(() => undefined)
  for (;;) {
    const third = await fetch(`${peer.url}/v1/events`)
    await third.body?.cancel()
    if (third.status === 200) break
  }
  assert.is((await fetch(`${peer.url}/v1/events`, { method: 'HEAD' })).status, 200)
})

test('a listener that does not read is dropped, and the others are not', async () => {
  await using peer = await stage({ limits: { maxEventBacklogBytes: 100_000 } })
  const sleeper = connect(peer.port, '127.0.0.1')
  sleeper.pause()
  sleeper.write('GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n')
  let dropped = false
  sleeper.on('close', () => {
    dropped = true
  })
  sleeper.on('error', () => undefined)
  const awake = await fetch(`${peer.url}/v1/events`)
  let read = 0
  const reading = (async () => {
    for await (const event of eventsOf(awake)) if (event.type === 'run-joined') read++
  })()
  const name = 'x'.repeat(50_000)
  let sent = 0
  const droppedCount = async (): Promise<string> =>
    /owm_gateway_event_clients_dropped_total (\d+)/.exec(await (await fetch(`${peer.url}/metrics`)).text())?.[1] ?? ''
  while ((await droppedCount()) !== '1') {
    peer.federation.emit({ type: 'run-joined', run: 'r', atMs: 0, name })
    sent++
    await until(() => read === sent)
  }
  sleeper.resume()
  await until(() => dropped)
  peer.federation.emit({ type: 'run-joined', run: 'r', atMs: 0, name })
  await until(() => read === sent + 1)
  await peer.gateway.stop()
  await reading
})

test('stop ends every stream of events', async () => {
  const peer = await stage()
  const events = eventsOf(await fetch(`${peer.url}/v1/events`))
  await events.next()
  await peer.gateway.stop()
  assert.is((await events.next()).done, true)
})

test('versions are every certified checkpoint, newest first', async () => {
  await using peer = await stage()
  peer.federation.current = [makeRun({ rounds: [makeRound(1), makeRound(2), makeRound(3, { heldOutLoss: null })] })]
  const all = await jsonOf(fetch(`${peer.url}/v1/model/versions`))
  const versions = all['versions'] as Json[]
  assert.is(all['total'], 3)
  assert.equal(
    versions.map((version) => version['round']),
    [3, 2, 1],
  )
  assert.equal(versions[1], {
    id: cidNumber(2),
    model: 'owm-code',
    run: cidNumber(1000),
    round: 2,
    signatures: 3,
    certified_at: '2023-11-14T22:13:28.000Z',
    loss_unit: 'bits/byte',
    held_out_loss: 6,
    held_out_accuracy: null,
    loaded: false,
    ots_verified: false,
  })
  assert.is(versions[0]?.['loaded'], true)
  const limited = await jsonOf(fetch(`${peer.url}/v1/model/versions?limit=1`))
  assert.is((limited['versions'] as Json[]).length, 1)
  for (const limit of ['0', '-1', '1001', 'x', '1e3']) {
    assert.is((await fetch(`${peer.url}/v1/model/versions?limit=${limit}`)).status, 400, limit)
  }
  const one = await jsonOf(fetch(`${peer.url}/v1/model/versions/${cidNumber(2)}`))
  assert.equal(one['committee'], ['leader', 'other'])
  assert.is(one['certificate'], cidNumber(3002))
  assert.is((await fetch(`${peer.url}/v1/model/versions/none`)).status, 404)
})

test('the network: counts, and nodes without their addresses', async () => {
  await using peer = await stage()
  const [self, other] = [await peerNumber(0), await peerNumber(1)]
  peer.manifests.current = [makeManifest(self), makeManifest(other, { tier: 't2', capabilities: [] })]
  peer.network.current = [makeLink(other)]
  peer.federation.current = [makeRun({ rounds: [makeRound(1)] })]
  const stats = await jsonOf(fetch(`${peer.url}/v1/network/stats`))
  assert.equal(stats['tiers'], { t1: 1, t2: 1, t3: 0 })
  assert.equal(stats['capabilities'], { inference: 1 })
  assert.is(stats['nodes'], 2)
  assert.is(stats['connected'], 1)
  assert.is(stats['sent_bytes'], 1234)
  const reply = await (await fetch(`${peer.url}/v1/network/nodes`)).text()
  const { nodes } = JSON.parse(reply) as { nodes: Json[] }
  assert.equal(
    nodes.map((node) => [node['self'], node['connected'], node['latency_ms']]),
    [
      [true, false, null],
      [false, true, 12],
    ],
  )
  assert.not.match(reply, '192.0.2.7')
})

test.run()
