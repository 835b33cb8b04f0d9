import * as assert from 'uvu/assert'
import { createIdentity } from '../../src/identity/index.ts'
import { systemClock } from '../../src/lib/index.ts'
import { serveBandwidth } from '../../src/manifests/bandwidth.ts'
import { createManifests, type ManifestEvent, measureBandwidth } from '../../src/manifests/index.ts'
import { createNetwork, meshOf, type Network } from '../../src/network/index.ts'
import { silentLogger, silentMetrics } from '../../src/observability/index.ts'
import { suite } from '../suite.ts'
import { body } from './documents.ts'
import { until } from './until.ts'

/** Over real libp2p on loopback. */
const test = suite('manifests over the network')
const mesh = meshOf({ v: 1, name: 'manifests', createdMs: 1, private: false, faults: 'crash' }, null)
const stops: (() => Promise<void>)[] = []
test.afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop()
})

async function startPeer(bootstrap: readonly Network[] = []) {
  const identity = createIdentity()
  const shared = { identity, clock: systemClock, logger: silentLogger, metrics: silentMetrics }
  const network = await createNetwork(
    { ...shared, mesh },
    {
      preset: 'test',
      listen: ['/ip4/127.0.0.1/tcp/0'],
      announce: [],
      bootstrap: bootstrap.flatMap((peer) => peer.addresses().map(String)),
      mdns: false,
      relay: { server: false, client: false },
      role: 'peer',
      maxConnections: 50,
    },
  )
  stops.push(() => network.stop())
  await network.start()
  const manifests = createManifests(
    { ...shared, network },
    { intervalMs: 60_000, ttlMs: 150_000, describe: () => body },
  )
  const events: ManifestEvent[] = []
  manifests.onChange((event) => events.push(event))
  stops.push(() => manifests.stop())
  await manifests.start()
  return { identity, network, manifests, events }
}

test('three peers know each other well before the first interval, and a farewell is seen at once', async () => {
  const a = await startPeer()
  const b = await startPeer([a.network])
  const c = await startPeer([a.network])
  await until(() => [a, b, c].every(({ manifests }) => manifests.view().length === 3), 15_000)
  await b.manifests.stop()
  await b.network.stop()
  await until(() => [a, c].every(({ manifests }) => manifests.get(b.identity.peerId) === undefined), 15_000)
  assert.ok(a.events.some(({ type, peer }) => type === 'left' && peer.equals(b.identity.peerId)))
  assert.ok(a.manifests.get(c.identity.peerId))
})

test('bandwidth between two peers is measured', async () => {
  const a = await startPeer()
  const b = await startPeer([a.network])
  serveBandwidth(a.network, systemClock)
  await until(() => b.network.isConnected(a.network.self), 15_000)
  const measured = await measureBandwidth(b.network, a.network.self, AbortSignal.timeout(15_000))
  // Loopback on a busy machine; what is asserted is that it is no zero and no nonsense.
  assert.ok(measured.upBitsPerSecond > 1e6 && measured.upBitsPerSecond <= 100e9, JSON.stringify(measured))
  assert.ok(measured.downBitsPerSecond > 1e6 && measured.downBitsPerSecond <= 100e9, JSON.stringify(measured))
})

test.run()
