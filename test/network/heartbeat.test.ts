import type { PeerId } from '@libp2p/interface'
import * as assert from 'uvu/assert'
import { createIdentity } from '../../src/identity/index.ts'
import { createEmitter, manualClock } from '../../src/lib/index.ts'
import { createHeartbeat } from '../../src/network/heartbeat.ts'
import type { PeerEvent } from '../../src/network/index.ts'
import { silentLogger } from '../../src/observability/index.ts'
import { suite } from '../suite.ts'

const test = suite('heartbeat')
const peer = createIdentity().peerId
const intervalMs = 30_000

/** A heartbeat over a libp2p that answers pings and holds gossip streams as told. */
function fake(answers: { ping: () => Promise<number>; gossips: () => boolean }) {
  const clock = manualClock()
  const events = createEmitter<PeerEvent>()
  const aborted: string[] = []
  const libp2p = {
    services: {
      ping: { ping: answers.ping },
      pubsub: { streamsOutbound: { has: answers.gossips } },
    },
    getConnections: (id: PeerId) => [{ abort: () => aborted.push(id.toString()) }],
  }
  const heartbeat = createHeartbeat(
    { libp2p, membership: { events }, clock, logger: silentLogger } as unknown as Parameters<typeof createHeartbeat>[0],
    { intervalMs, random: () => 0.5 },
  )
  heartbeat.start()
  events.emit({ type: 'connected', peer })
  const beat = async (): Promise<void> => {
    clock.advance(intervalMs)
    // A ping settles within a few turns of the event loop.
    for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve))
  }
  return { heartbeat, aborted, beat, events }
}

test('a peer that answers has a latency and keeps its connection', async () => {
  const { heartbeat, aborted, beat } = fake({ ping: async () => 7, gossips: () => true })
  assert.is(heartbeat.latencyMs(peer), undefined)
  for (let i = 0; i < 10; i++) await beat()
  assert.is(heartbeat.latencyMs(peer), 7)
  assert.equal(aborted, [])
  heartbeat.stop()
})

test('one that misses a few pings is kept, one that misses four in a row is cut off', async () => {
  let missing = 3
  const { heartbeat, aborted, beat } = fake({
    ping: async () => {
      if (missing-- > 0) throw new Error('no answer')
      return 5
    },
    gossips: () => true,
  })
  for (let i = 0; i < 4; i++) await beat()
  assert.equal(aborted, [])
  missing = 4
  for (let i = 0; i < 4; i++) await beat()
  assert.equal(aborted, [peer.toString()])
  heartbeat.stop()
})

test('one that answers pings but lost its gossip stream is cut off too', async () => {
  const { heartbeat, aborted, beat } = fake({ ping: async () => 1, gossips: () => false })
  for (let i = 0; i < 2; i++) await beat()
  assert.equal(aborted, [])
  await beat()
  assert.equal(aborted, [peer.toString()])
  heartbeat.stop()
})

test('a peer that is gone is forgotten', async () => {
  const { heartbeat, beat, events } = fake({ ping: async () => 3, gossips: () => true })
  await beat()
  events.emit({ type: 'disconnected', peer })
  assert.is(heartbeat.latencyMs(peer), undefined)
  heartbeat.stop()
})

test.run()
