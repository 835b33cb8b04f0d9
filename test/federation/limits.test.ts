import type { Multiaddr } from '@multiformats/multiaddr'
import * as assert from 'uvu/assert'
import { openJournal } from '../../src/federation/journal.ts'
import { Offers } from '../../src/federation/offers.ts'
import type { Results } from '../../src/federation/results.ts'
import { keptUpdatesRounds, keptWeightsRounds } from '../../src/federation/retention.ts'
import { type KnownRun, maxRuns, maxRunsPerOwner, placeFor, silentMs } from '../../src/federation/run-table.ts'
import { signRun } from '../../src/federation/specification.ts'
import type { Notice } from '../../src/federation/statements.ts'
import { signNotice } from '../../src/federation/statements.ts'
import { steadyClock } from '../../src/federation/steady-clock.ts'
import { runsTopic } from '../../src/federation/wire.ts'
import { createIdentity, type Identity } from '../../src/identity/index.ts'
import { type Clock, cidOf, encode, manualClock, sleep } from '../../src/lib/index.ts'
import { silentLogger } from '../../src/observability/index.ts'
import { suite } from '../suite.ts'
import { certified, cleanUp, connectAll, type MeshPeer, specificationFor, startLiar, startPeer, until } from './mesh.ts'

const test = suite('federation, its limits')
test.afterEach(cleanUp)

const nowMs = 1_000_000_000
const stranger = { owner: 'new', own: false, finished: false }
const runOf = (i: number, change: Partial<KnownRun> = {}): KnownRun => ({
  id: `run${String(i).padStart(2, '0')}`,
  owner: `owner${i}`,
  own: false,
  finished: false,
  heardMs: nowMs,
  ...change,
})
const full = (change: (i: number) => Partial<KnownRun> = () => ({})): KnownRun[] =>
  Array.from({ length: maxRuns }, (_, i) => runOf(i, change(i)))

test('a table of live runs has no place for one more; finished and silent ones of others make room', () => {
  assert.equal(placeFor(stranger, full().slice(1), nowMs), { taken: true, evict: null })
  assert.equal(placeFor(stranger, full(), nowMs), { taken: false })
  const finished = full((i) => ({ finished: i === 7 || i === 9, heardMs: nowMs - i }))
  assert.equal(placeFor(stranger, finished, nowMs), { taken: true, evict: 'run09' })
  const silent = full((i) => ({ heardMs: i === 3 ? nowMs - silentMs - 1 : nowMs }))
  assert.equal(placeFor(stranger, silent, nowMs), { taken: true, evict: 'run03' })
  const both = full((i) => ({ heardMs: i === 3 ? 0 : nowMs, finished: i === 5 }))
  assert.equal(placeFor(stranger, both, nowMs), { taken: true, evict: 'run05' })
  assert.equal(placeFor({ ...stranger, finished: true }, both, nowMs), { taken: false })
})

test('a run with a stake of this peer is never pushed out, and comes in before those of others', () => {
  const own = full(() => ({ own: true, finished: true, heardMs: 0 }))
  assert.equal(placeFor(stranger, own, nowMs), { taken: false })
  assert.equal(placeFor({ ...stranger, own: true }, own, nowMs), { taken: false })
  assert.equal(placeFor({ ...stranger, own: true }, full(), nowMs), { taken: true, evict: 'run00' })
})

test('one owner fills no more than its share, and then only replaces its own', () => {
  const greedy = (change: Partial<KnownRun> = {}): KnownRun[] =>
    Array.from({ length: maxRunsPerOwner }, (_, i) => runOf(i, { owner: 'greedy', ...(i === 2 ? change : {}) }))
  const newcomer = { ...stranger, owner: 'greedy' }
  assert.equal(placeFor(newcomer, greedy().slice(1), nowMs), { taken: true, evict: null })
  const other = runOf(40, { finished: true })
  assert.equal(placeFor(newcomer, [...greedy(), other], nowMs), { taken: false })
  assert.equal(placeFor(newcomer, [...greedy({ finished: true }), other], nowMs), { taken: true, evict: 'run02' })
  assert.equal(placeFor({ ...newcomer, own: true }, greedy(), nowMs), { taken: true, evict: null })
})

test('a clock that is set back does not stretch a round', () => {
  const machine = manualClock(nowMs)
  let shiftMs = 0
  const shifted: Clock = { now: () => machine.now() + shiftMs, after: machine.after }
  const steady = steadyClock(shifted)
  machine.advance(100)
  assert.is(steady.now(), nowMs + 100)
  shiftMs = -3_600_000
  assert.is(steady.now(), nowMs + 100)
  machine.advance(50)
  assert.is(steady.now(), nowMs + 150)
  shiftMs = 0
  assert.is(steady.now(), nowMs + 150 + 3_600_000)
})

test('a trainer that signs many updates has one of them stored', async () => {
  const identity = createIdentity()
  const trainer = identity.peerId.toString()
  const taken: string[] = []
  const fed: Notice[] = []
  const results = { take: (notice: Notice) => void taken.push(notice.update) } as unknown as Results
  const offers = new Offers(
    { results, logger: silentLogger },
    {
      over: new AbortController().signal,
      trainers: [trainer],
      isHeld: () => false,
      weights: async () => new Float32Array(1),
      feed: (event) => {
        if (event.type !== 'offered') return
        fed.push(event.notice)
        offers.answer(event.notice.update, 'closed')
      },
    },
  )
  const noticeOf = (i: number): Notice => {
    const cid = cidOf(new Uint8Array([i])).toString()
    return signNotice(identity, {
      run: cid,
      round: 1,
      attempt: 0,
      base: cid,
      update: cid,
      samples: 1,
      steps: 1,
      bytes: 1,
    })
  }
  const outcomes: string[] = []
  for (let i = 0; i < 20; i++) {
    const from = identity.peerId
    outcomes.push(await offers.take(from, noticeOf(i % 10), new Uint8Array(1), new AbortController().signal))
  }
  assert.equal(
    outcomes,
    [...Array(20).keys()].map((i) => (i % 10 === 0 ? 'closed' : 'equivocation')),
  )
  assert.equal([...new Set(taken)], [noticeOf(0).update])
  assert.is(fed.length, 2)
})

test('a stranger with many runs takes its share of the table, and what is pushed out leaves nothing behind', async () => {
  const peer = await startPeer({ trains: false })
  const liar = await startLiar()
  await liar.network.connect(peer.network.addresses()[0] as Multiaddr)
  const topic = liar.network.gossip({ ...runsTopic, validate: () => ({ verdict: 'accept', value: null }) })
  const announce = async (owner: Identity, name: string): Promise<void> => {
    const run = signRun(owner, await specificationFor(peer, [liar], { minimumTrainers: 1, name }))
    const { cid, document } = run
    const beacon = { v: 1, run: cid, document, round: 0, value: cid, peer: liar.name, control: null }
    await topic.publish(encode(beacon)).catch(() => undefined)
  }
  const count = (): number => peer.federation.runs().length
  for (let i = 0; count() < maxRunsPerOwner; i++) {
    await announce(liar.identity, `many-${i}`)
    await sleep(20)
  }
  for (let i = 0; i < 20; i++) await announce(liar.identity, `more-${i}`)
  for (let i = 0; count() < maxRuns; i++) {
    await announce(createIdentity(), `sybil-${i}`)
    await sleep(20)
  }
  assert.is(peer.federation.runs().filter((run) => run.owner === liar.name).length, maxRunsPerOwner)
  // The operator's own run has a place nevertheless.
  const before = new Set(peer.federation.runs().map((run) => run.id))
  const id = await peer.federation.createRun(await specificationFor(peer, [peer], { minimumTrainers: 1, name: 'own' }))
  const now = new Set(peer.federation.runs().map((run) => run.id))
  assert.ok(now.has(id))
  assert.is(now.size, maxRuns)
  const pushedOut = [...before].find((run) => !now.has(run))
  await peer.stop()
  const journal = openJournal(peer.dataDir)
  assert.equal(
    journal
      .runs()
      .map((run) => run.id)
      .sort(),
    [...now].sort(),
  )
  assert.equal(journal.certificates(pushedOut ?? '', 0, 1), [])
  journal.close()
})

test(
  'the disk use of a long run is bounded, and what late comers need stays',
  async () => {
    const weights = 20_000
    const peers = [await startPeer({ weights, trainMs: 1 }), await startPeer({ weights, trainMs: 1 })]
    const [owner] = peers as [MeshPeer]
    await connectAll(peers)
    const change = { rounds: 40, localMs: 10, committeeSize: 2 }
    await owner.federation.createRun(await specificationFor(owner, peers, change, weights))
    const most = { bytes: 0 }
    const watching = setInterval(() => {
      void owner.content.stat().then(({ bytes }) => {
        most.bytes = Math.max(most.bytes, bytes)
      })
    }, 20)
    await until(() => peers.every((peer) => certified(peer) === 40))
    clearInterval(watching)
    await until(() => peers.every((peer) => peer.federation.checkpoints()[0]?.round === 40))
    // The newest, and two rounds on their way in and out.
    // Weights and what compression withheld of them, and a step of a byte for each.
    const roundBytes = { weights: weights * 9 + 4_000, updates: 2 * (weights + 2_000) }
    const bound = (keptWeightsRounds + 3) * roundBytes.weights + (keptUpdatesRounds + 3) * roundBytes.updates
    assert.ok(40 * (roundBytes.weights + roundBytes.updates) > 2 * bound, 'the test could not fail')
    assert.ok(most.bytes < bound, `${most.bytes} bytes, over ${bound}`)
    const late = await startPeer({ weights, trains: false })
    await connectAll([owner, late])
    await until(() => late.federation.checkpoints()[0]?.round === 40)
    const run = owner.federation.runs()[0]
    assert.is(run?.rounds.length, 40)
  },
  { timeoutMs: 60_000 },
)

test.run()
