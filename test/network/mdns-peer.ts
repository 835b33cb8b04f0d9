/** A peer for `mdns.test.ts`, run within a network namespace: finds others by mDNS alone and prints whom it sees. */
import { createIdentity } from '../../src/identity/index.ts'
import { systemClock } from '../../src/lib/index.ts'
import { createNetwork, meshOf } from '../../src/network/index.ts'
import { silentLogger, silentMetrics } from '../../src/observability/index.ts'

const [name = 'test'] = process.argv.slice(2)
const mesh = meshOf({ v: 1, name, createdMs: 1, private: false, faults: 'crash' }, null)
const network = await createNetwork(
  { identity: createIdentity(), mesh, logger: silentLogger, metrics: silentMetrics, clock: systemClock },
  {
    preset: 'test',
    listen: ['/ip4/0.0.0.0/tcp/0'],
    announce: [],
    bootstrap: [],
    mdns: true,
    relay: { server: false, client: false },
    role: 'peer',
    maxConnections: 10,
  },
)
network.onPeer(({ type, peer }) => console.log(`${type} ${peer.toString()}`))
await network.start()
console.log(`self ${network.self.toString()}`)
// Ends with its parent, whose pipe this is.
process.stdin.resume()
process.stdin.on('end', () => process.exit())
