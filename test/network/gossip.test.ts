import type { GossipSub } from '@libp2p/gossipsub'
import { multiaddr } from '@multiformats/multiaddr'
import * as assert from 'uvu/assert'
import type { OwmError } from '../../src/lib/index.ts'
import type { TopicSpec, Verdict } from '../../src/network/index.ts'
import { suite } from '../suite.ts'
import { addressOf, startPeer, stopPeers, type TestPeer, testMesh, until } from './harness.ts'

const test = suite('gossip')
let names = 0
let alice: TestPeer
let bob: TestPeer
test.before(async () => {
  alice = await startPeer()
  bob = await startPeer({ bootstrap: [addressOf(alice)] })
})
test.after(stopPeers)

const text = (data: Uint8Array): string => new TextDecoder().decode(data)
const bytes = (value: string): Uint8Array => new TextEncoder().encode(value)
const spec = (changes: Partial<TopicSpec<string>> = {}): TopicSpec<string> => ({
  name: `topic-${names++}`,
  version: '1.0.0',
  maxBytes: 64,
  rate: { perSecond: 1_000, burst: 1_000 },
  validate: (data) => ({ verdict: 'accept', value: text(data) }),
  ...changes,
})
const pubsubOf = (peer: TestPeer): GossipSub & { getScore(peer: string): number } =>
  (peer.network.libp2p.services as { pubsub: GossipSub & { getScore(peer: string): number } }).pubsub
const topicOf = (topic: TopicSpec<string>): string => `/owm/${testMesh.id}/${topic.name}/${topic.version}`
/** Alice listens; what bob sends is sent past his own limits. Resolves once both know of each other's subscription. */
const listen = async (topic: TopicSpec<string>) => {
  const received: { value: string; from: string }[] = []
  const heard = alice.network.gossip(topic)
  heard.onMessage((value, from) => received.push({ value, from: from.toString() }))
  const honest = bob.network.gossip({ ...topic, validate: (data) => ({ verdict: 'accept', value: text(data) }) })
  await until(() => pubsubOf(bob).getSubscribers(topicOf(topic)).length === 1)
  return { received, honest, send: (value: string) => pubsubOf(bob).publish(topicOf(topic), bytes(value)) }
}
const scoreOfBob = (): number => pubsubOf(alice).getScore(bob.network.self.toString())

test('what is accepted is delivered once, with its author', async () => {
  const { received, honest } = await listen(spec())
  await honest.publish(bytes('hello'))
  await until(() => received.length > 0)
  assert.equal(received, [{ value: 'hello', from: bob.network.self.toString() }])
})

test('a sender is held to the limits of its topic', async () => {
  const { honest } = await listen(spec())
  try {
    await honest.publish(new Uint8Array(65))
    assert.unreachable()
  } catch (error) {
    assert.is((error as OwmError).code, 'oversized')
  }
})

test('a message over the limit is not validated, and costs its sender', async () => {
  const seen: string[] = []
  const { received, send } = await listen(
    spec({
      validate: (data): Verdict<string> => {
        seen.push(text(data))
        return { verdict: 'accept', value: text(data) }
      },
    }),
  )
  const before = scoreOfBob()
  await send('x'.repeat(65))
  await send('fits')
  await until(() => received.length > 0)
  assert.equal(seen, ['fits'])
  await until(() => scoreOfBob() < before)
})

test('what is over the rate is ignored and costs nothing', async () => {
  const { received, send } = await listen(spec({ rate: { perSecond: 0.001, burst: 3 } }))
  const marker = await listen(spec())
  const before = scoreOfBob()
  for (let i = 0; i < 6; i++) await send(`message ${i}`)
  await marker.send('after them all')
  await until(() => marker.received.length > 0)
  assert.equal(
    received.map(({ value }) => value),
    ['message 0', 'message 1', 'message 2'],
  )
  assert.ok(scoreOfBob() >= before)
})

test('a validator that throws ignores the message, says so once, and the next one is judged', async () => {
  const { received, send } = await listen(
    spec({
      validate: (data) => {
        if (text(data).startsWith('bad')) throw new Error('a bug')
        return { verdict: 'accept', value: text(data) }
      },
    }),
  )
  await send('bad 1')
  await send('bad 2')
  await send('good')
  await until(() => received.length > 0)
  assert.equal(
    received.map(({ value }) => value),
    ['good'],
  )
  const said = alice.lines.filter((line) => line.level === 'error' && line.fields['error'] === 'a bug')
  assert.is(said.length, 1)
})

test('a listener that throws harms neither the others nor the topic', async () => {
  const topic = spec()
  const heard = alice.network.gossip(topic)
  const received: string[] = []
  heard.onMessage(() => {
    throw new Error('a bug in a listener')
  })
  const stop = heard.onMessage((value) => received.push(value))
  await until(() => pubsubOf(bob).getSubscribers(topicOf(topic)).length === 1)
  await pubsubOf(bob).publish(topicOf(topic), bytes('one'))
  await until(() => received.length === 1)
  stop()
  await pubsubOf(bob).publish(topicOf(topic), bytes('two'))
  await until(() => alice.lines.filter((line) => line.fields['error'] === 'a bug in a listener').length === 2)
  assert.equal(received, ['one'])
})

test('one topic has one owner, and a limit that gossip can carry', async () => {
  const topic = spec()
  alice.network.gossip(topic)
  assert.throws(
    () => alice.network.gossip(topic),
    (error: OwmError) => error.code === 'topic_taken',
  )
  assert.throws(
    () => alice.network.gossip(spec({ maxBytes: 1024 * 1024 })),
    (error: OwmError) => error.code === 'oversized',
  )
})

test('a message travels on through a peer that accepted it, and no further than one that did not', async () => {
  const [first, middle, last] = [await startPeer(), await startPeer(), await startPeer()]
  await middle.network.connect(multiaddr(addressOf(first)))
  await last.network.connect(multiaddr(addressOf(middle)))
  const topic = spec()
  const open = first.network.gossip(topic)
  const strict = async (data: Uint8Array): Promise<Verdict<string>> =>
    text(data) === 'bad' ? { verdict: 'ignore', code: 'bad_request' } : { verdict: 'accept', value: text(data) }
  middle.network.gossip({ ...topic, validate: strict })
  const heard: string[] = []
  last.network.gossip(topic).onMessage((value) => heard.push(value))
  // The DHT introduces the two ends to each other; what they say to each other is not what is asked here.
  await first.network.libp2p.hangUp(last.network.self)
  const mesh = (peer: TestPeer): string[] =>
    (pubsubOf(peer) as unknown as { getMeshPeers(topic: string): string[] }).getMeshPeers(topicOf(topic))
  await until(() => mesh(middle).length === 2)
  await open.publish(bytes('bad'))
  await open.publish(bytes('good'))
  await until(() => heard.length > 0)
  assert.equal(heard, ['good'])
  await Promise.all([first, middle, last].map((peer) => peer.network.stop()))
})

test('rejected messages bring their sender below the graylist', async () => {
  const { send } = await listen(spec({ validate: () => ({ verdict: 'reject', code: 'bad_request' }) }))
  for (let i = 0; i < 4; i++) await send(`reject ${i}`)
  await until(() => scoreOfBob() < -80)
})

test.run()
