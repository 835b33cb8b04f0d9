import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { multiaddr } from '@multiformats/multiaddr'
import * as assert from 'uvu/assert'
import { z } from 'zod'
import { createIdentity } from '../../src/identity/index.ts'
import { compareBytes, type OwmError, sha256Of, xorDistance } from '../../src/lib/index.ts'
import { createPrivateMesh, meshOf, type ProtocolSpec } from '../../src/network/index.ts'
import { suite } from '../suite.ts'
import { addressOf, makePeer, sees, startPeer, stopPeers, type TestPeer, testMesh, until } from './harness.ts'

const test = suite('network')
let folder = ''
test.beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'owm-network-'))
})
test.afterEach(async () => {
  try {
    await stopPeers()
  } catch (e) {
    console.log('HOOK', e)
  }
  await rm(folder, { recursive: true, force: true })
})
const failure = async (promise: Promise<unknown>): Promise<OwmError> => {
  try {
    await promise
  } catch (error) {
    return error as OwmError
  }
  return assert.unreachable('it did not fail') as never
}
const echo: ProtocolSpec<string, string> = {
  name: 'echo',
  version: '1.0.0',
  request: z.string(),
  response: z.string(),
  maxRequestBytes: 1024,
  maxResponseBytes: 1024,
  timeoutMs: 10_000,
  rate: { perSecond: 100, burst: 100 },
}
const portOf = (peer: TestPeer): string => /\/tcp\/(\d+)/.exec(addressOf(peer))?.[1] ?? ''
const said = (peer: TestPeer, code: string): number => peer.lines.filter((line) => line.fields['code'] === code).length

test('two peers by a bootstrap address', async () => {
  const a = await startPeer()
  const b = await startPeer({ bootstrap: [addressOf(a)] })
  const events: string[] = []
  a.network.onPeer(({ type, peer }) => events.push(`${type} ${peer.toString()}`))
  await until(() => sees(a, b) && sees(b, a))
  const [seen] = b.network.peers()
  assert.is(seen?.id.toString(), a.network.self.toString())
  assert.is(seen?.direction, 'outbound')
  assert.is(seen?.relayed, false)
  await until(() => b.network.peers()[0]?.latencyMs !== undefined)
  const { sentBytes, receivedBytes } = b.network.traffic()
  assert.ok(sentBytes > 500 && receivedBytes > 500)
  await b.network.stop()
  await until(() => !sees(a, b))
  assert.equal(events, [`connected ${b.network.self}`, `disconnected ${b.network.self}`])
})

test(
  'eight peers form one mesh, and its DHT agrees on who is closest',
  async () => {
    const first = await startPeer({ role: 'bootstrap' })
    const others = await Promise.all(Array.from({ length: 7 }, () => startPeer({ bootstrap: [addressOf(first)] })))
    const peers = [first, ...others]
    await until(() => peers.every((peer) => peer.network.peers().length === 7))
    const ids = peers.map((peer) => peer.network.self)
    for (const seed of ['a', 'b', 'c', 'd']) {
      const key = new TextEncoder().encode(seed)
      const expected = ids
        .toSorted((a, b) =>
          compareBytes(
            xorDistance(sha256Of(a.toMultihash().bytes), sha256Of(key)),
            xorDistance(sha256Of(b.toMultihash().bytes), sha256Of(key)),
          ),
        )
        .slice(0, 4)
        .map(String)
      const answers = await Promise.all(peers.map((peer) => peer.network.closestPeers(key, 4)))
      for (const answer of answers) assert.equal(answer.map(String), expected)
    }
  },
  { timeoutMs: 60_000 },
)

test('alone, a peer is closest to everything', async () => {
  const peer = await startPeer()
  assert.equal((await peer.network.closestPeers(new Uint8Array(32), 4)).map(String), [peer.network.self.toString()])
})

test('peers find each other again when either restarts, on another port and without a bootstrap list', async () => {
  const a = await startPeer({ dataDir: join(folder, 'a') })
  const identity = createIdentity()
  const dataDir = join(folder, 'b')
  let b = await startPeer({ bootstrap: [addressOf(a)], dataDir }, { identity })
  await until(() => sees(a, b) && sees(b, a))
  await b.network.stop()
  await until(() => !sees(a, b))
  b = await startPeer({ dataDir }, { identity })
  await until(() => sees(a, b) && sees(b, a))

  const port = portOf(a)
  await a.network.stop()
  await until(() => !sees(b, a))
  const again = await startPeer({ listen: [`/ip4/127.0.0.1/tcp/${port}`] }, { identity: a.identity })
  await until(() => sees(again, b) && sees(b, again))
})

test('a connection that breaks is made anew', async () => {
  const a = await startPeer()
  const b = await startPeer({ bootstrap: [addressOf(a)] })
  await until(() => sees(a, b))
  let lost = false
  b.network.onPeer(({ type }) => {
    lost ||= type === 'disconnected'
  })
  for (const connection of a.network.libp2p.getConnections()) connection.abort(new Error('cut'))
  await until(() => lost)
  await until(() => sees(a, b) && sees(b, a))
})

test('an unreachable bootstrap peer is no error: it is said once, and found when it comes', async () => {
  const late = await makePeer()
  const free = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => free.once('listening', resolve))
  const { port } = free.address() as { port: number }
  await new Promise((resolve) => free.close(resolve))
  const b = await startPeer({ bootstrap: [`/ip4/127.0.0.1/tcp/${port}/p2p/${late.network.self}`] })
  await until(() => said(b, 'bootstrap_unreachable') > 0)
  await until(() => b.lines.filter((line) => line.message === 'no answer').length >= 3)
  assert.is(said(b, 'bootstrap_unreachable'), 1)
  const there = await startPeer({ listen: [`/ip4/127.0.0.1/tcp/${port}`] }, { identity: late.identity })
  await until(() => sees(b, there))
})

test('a damaged list of known peers is no reason not to start', async () => {
  const dataDir = join(folder, 'a')
  const a = await startPeer()
  const b = await startPeer({ bootstrap: [addressOf(a)], dataDir })
  await until(() => sees(a, b))
  await b.network.stop()
  const path = join(dataDir, 'peers', `${testMesh.id}.json`)
  const file = JSON.parse(await readFile(path, 'utf8')) as { peers: { id: string; addresses: string[] }[] }
  assert.equal(
    file.peers.map(({ id, addresses }) => `${addresses[0]}/p2p/${id}`),
    [addressOf(a)],
  )
  await writeFile(path, '{"v":1,"peers":[{"id":"nobody","addresses":["/nowhere"],"lastSeenMs":1}]}')
  await (await startPeer({ dataDir })).network.stop()
  await writeFile(path, '{"v":1,')
  const c = await startPeer({ dataDir })
  assert.ok(c.lines.some((line) => line.level === 'warn' && line.message.includes('damaged')))
})

test('a wrong swarm key is refused at once and said on both sides', async () => {
  const mesh = createPrivateMesh({ name: 'home', createdMs: 1 })
  const other = meshOf(mesh.parameters, new Uint8Array(32))
  const a = await startPeer({}, { mesh })
  const right = await startPeer({ bootstrap: [addressOf(a)] }, { mesh })
  await until(() => sees(a, right) && sees(right, a))
  const wrong = await startPeer({}, { mesh: other })
  const error = await failure(wrong.network.connect(multiaddr(addressOf(a))))
  assert.is(error.code, 'wrong_swarm_key')
  assert.match(error.message, /another swarm key/)
  await until(() => said(a, 'wrong_swarm_key') > 0 && said(wrong, 'wrong_swarm_key') > 0)
  for (const peer of [a, wrong]) {
    const line = peer.lines.find(({ fields }) => fields['code'] === 'wrong_swarm_key')
    assert.is(line?.level, 'warn')
    assert.match(line?.message ?? '', /another swarm key/)
    assert.match(String(line?.fields['address']), /^\/ip4\/127\.0\.0\.1\/tcp\//)
  }
  for (let i = 0; i < 3; i++) await failure(wrong.network.connect(multiaddr(addressOf(a))))
  assert.is(said(a, 'wrong_swarm_key'), 1, 'one line per address and minute')
  assert.not(sees(a, wrong))
})

test('a peer without a swarm key and one with it do not meet, and the private one says why', async () => {
  const mesh = createPrivateMesh({ name: 'home', createdMs: 1 })
  const a = await startPeer({}, { mesh })
  const open = await startPeer()
  await failure(open.network.connect(multiaddr(addressOf(a)), { signal: AbortSignal.timeout(7_000) }))
  await until(() => said(a, 'wrong_swarm_key') > 0)
  assert.not(sees(a, open))
})

test('peers of another mesh are hung up on, and never listed', async () => {
  const elsewhere = meshOf({ ...testMesh.parameters, name: 'elsewhere' }, null)
  const a = await startPeer()
  const stranger = await startPeer({}, { mesh: elsewhere })
  let seen = 0
  a.network.onPeer(() => seen++)
  const error = await failure(stranger.network.connect(multiaddr(addressOf(a))))
  assert.is(error.code, 'wrong_mesh')
  await until(() => a.network.libp2p.getConnections().length === 0)
  assert.is(seen, 0)
  assert.equal(stranger.network.peers(), [])
  assert.is(said(stranger, 'wrong_mesh'), 1)
})

test('connect finds a peer by its id alone, through the DHT', async () => {
  const first = await startPeer()
  const a = await startPeer({ bootstrap: [addressOf(first)] })
  const b = await startPeer({ bootstrap: [addressOf(first)] })
  await until(() => sees(a, first) && sees(b, first))
  assert.is((await a.network.connect(b.network.self)).toString(), b.network.self.toString())
  assert.ok(sees(a, b))
})

test('two peers of a private mesh that listen nowhere reach each other through a relay', async () => {
  const mesh = createPrivateMesh({ name: 'home', createdMs: 1 })
  const relay = await startPeer({ relay: { server: true, client: false }, role: 'bootstrap' }, { mesh })
  const hidden = { listen: [], bootstrap: [addressOf(relay)], relay: { server: false, client: true } }
  const a = await startPeer(hidden, { mesh })
  const b = await startPeer(hidden, { mesh })
  b.network.handle(echo, async (text) => `${text}!`)
  await until(() => b.network.addresses().some((address) => address.toString().includes('/p2p-circuit')))
  await a.network.connect(multiaddr(addressOf(b)))
  assert.is(await a.network.request(b.network.self, echo, 'through the relay'), 'through the relay!')
  const seen = a.network.peers().find((peer) => peer.id.equals(b.network.self))
  assert.is(seen?.relayed, true)
})

test('two peers over WebSockets', async () => {
  const a = await startPeer({ listen: ['/ip4/127.0.0.1/tcp/0/ws'] })
  const b = await startPeer({ listen: [], bootstrap: [addressOf(a)] })
  await until(() => sees(a, b) && sees(b, a))
})

test('bad addresses and taken ports are one clear sentence each', async () => {
  assert.is((await failure(makePeer({ bootstrap: ['nonsense'] }))).code, 'bad_address')
  assert.is((await failure(makePeer({ bootstrap: ['/ip4/127.0.0.1/tcp/1'] }))).code, 'bad_address')
  const a = await startPeer()
  const error = await failure(startPeer({ listen: [`/ip4/127.0.0.1/tcp/${portOf(a)}`] }))
  assert.is(error.code, 'port_in_use')
  assert.match(error.message, new RegExp(`^Port ${portOf(a)} on 127.0.0.1 is taken`))
  assert.is((await failure(startPeer({ listen: ['/ip4/192.0.2.1/tcp/0'] }))).code, 'listen_failed')
})

test('start and stop are idempotent; a stopped network stays stopped', async () => {
  const { network } = await makePeer()
  await Promise.all([network.start(), network.start()])
  await Promise.all([network.stop(), network.stop()])
  assert.is((await failure(network.start())).code, 'stopped')
  assert.is((await failure(network.request(createIdentity().peerId, echo, 'x'))).code, 'stopped')
  await (await makePeer()).network.stop()
})

test.run()
