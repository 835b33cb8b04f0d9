import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { createIdentity, type Identity } from '../../src/identity/index.ts'
import { encode, errorCode, type ManualClock, manualClock } from '../../src/lib/index.ts'
import {
  createManifests,
  type ManifestBody,
  type ManifestEvent,
  type Manifests,
  type ManifestsInit,
} from '../../src/manifests/index.ts'
import { snapshotProtocol } from '../../src/manifests/snapshot.ts'
import type { Network } from '../../src/network/index.ts'
import { type Metrics, silentLogger } from '../../src/observability/index.ts'
import { suite } from '../suite.ts'
import { body, fields, manifest, meshId, nowMs, signedDocument, testAuthor } from './documents.ts'
import { createHub, type Hub } from './fake-network.ts'
import { until } from './until.ts'

const test = suite('manifests')

interface TestPeer {
  readonly identity: Identity
  readonly network: Network
  readonly manifests: Manifests
  readonly events: ManifestEvent[]
  /** Counters by name and labels: `owm_manifests_refused_total gossip expired`. */
  readonly counts: Map<string, number>
}
const running: TestPeer[] = []
const folders: string[] = []

test.afterEach(async () => {
  for (const peer of running.splice(0)) await peer.manifests.stop()
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
})

function peerOf(
  hub: Hub,
  clock: ManualClock,
  init: Partial<ManifestsInit> = {},
  identity = createIdentity(),
): TestPeer {
  const network = hub.join(identity)
  const counts = new Map<string, number>()
  const metrics: Metrics = {
    counter: (name) => ({
      add: (amount = 1, labels = {}) => {
        const key = [name, ...Object.values(labels)].join(' ')
        counts.set(key, (counts.get(key) ?? 0) + amount)
      },
    }),
    gauge: (name) => ({ set: (value) => void counts.set(name, value) }),
    histogram: () => ({ observe: () => undefined }),
  }
  const manifests = createManifests(
    { network, identity, clock, logger: silentLogger, metrics },
    { intervalMs: 60_000, ttlMs: 150_000, describe: () => body, ...init },
  )
  const events: ManifestEvent[] = []
  manifests.onChange((event) => events.push(event))
  const peer = { identity, network, manifests, events, counts }
  running.push(peer)
  return peer
}

/** Starts and waits until the peer has announced itself. */
async function startPeer(peer: TestPeer, clock: ManualClock): Promise<TestPeer> {
  await peer.manifests.start()
  clock.advance(50)
  await until(() => peer.manifests.get(peer.identity.peerId) !== undefined)
  return peer
}

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'owm-manifests-'))
  folders.push(folder)
  return folder
}

test('peers see each other join, change and leave', async () => {
  const hub = createHub(meshId)
  const clock = manualClock(nowMs)
  let loadPermille = 1
  const a = await startPeer(peerOf(hub, clock, { describe: async () => ({ ...body, loadPermille }) }), clock)
  const b = await startPeer(peerOf(hub, clock), clock)
  hub.connect(a.network, b.network)
  await until(() => a.manifests.view().length === 2 && b.manifests.view().length === 2)
  assert.is(b.manifests.get(a.identity.peerId)?.loadPermille, 1)
  assert.equal(b.manifests.get(a.identity.peerId)?.peer.toString(), a.identity.peerId.toString())

  loadPermille = 2
  const announced = a.manifests.announce()
  clock.advance(50)
  await announced
  assert.is(b.manifests.get(a.identity.peerId)?.loadPermille, 2)

  await a.manifests.stop()
  assert.is(b.manifests.get(a.identity.peerId), undefined)
  assert.equal(
    b.events.filter(({ peer }) => peer.equals(a.identity.peerId)).map(({ type }) => type),
    ['joined', 'updated', 'left'],
  )
})

test('a peer that falls silent is gone when its manifest expires, and one that goes on stays', async () => {
  const hub = createHub(meshId)
  const clock = manualClock(nowMs)
  const a = await startPeer(peerOf(hub, clock), clock)
  const b = await startPeer(peerOf(hub, clock), clock)
  hub.connect(a.network, b.network)
  await until(() => b.manifests.view().length === 2)
  hub.disconnect(a.network, b.network)
  for (let second = 0; second < 160; second++) {
    clock.advance(1000)
    await until(() => b.manifests.get(b.identity.peerId) !== undefined)
  }
  assert.is(b.manifests.get(a.identity.peerId), undefined)
  assert.equal(
    b.events.filter(({ peer }) => peer.equals(a.identity.peerId)).map(({ type }) => type),
    ['joined', 'left'],
  )
  assert.is(b.manifests.view().length, 1)
})

test('after a farewell, an earlier manifest that has not expired cannot bring the peer back', async () => {
  const hub = createHub(meshId)
  const clock = manualClock(nowMs)
  const b = await startPeer(peerOf(hub, clock), clock)
  const author = testAuthor(1)
  const early = manifest(author, { sequence: 10 })
  const late = manifest(author, { sequence: 11, expiresMs: nowMs, body: null })
  assert.is(await hub.inject(b.network, 'manifests', early), 'accept')
  assert.is(b.manifests.view().length, 2)
  assert.is(await hub.inject(b.network, 'manifests', late), 'accept')
  assert.is(b.manifests.view().length, 1)
  assert.is(await hub.inject(b.network, 'manifests', early), 'stale_sequence')
  clock.advance(100_000)
  assert.is(await hub.inject(b.network, 'manifests', early), 'stale_sequence')
  assert.is(b.manifests.view().length, 1)
})

test('replays, equivocations and wrong documents leave the view as it is and are counted', async () => {
  const hub = createHub(meshId)
  const clock = manualClock(nowMs)
  const b = await startPeer(peerOf(hub, clock), clock)
  const author = testAuthor(1)
  const document = manifest(author, { sequence: 10 })
  await hub.inject(b.network, 'manifests', document)
  const before = b.manifests.view()
  const attempts: [string, Uint8Array][] = [
    ['stale_sequence', document],
    ['stale_sequence', manifest(author, { sequence: 9 })],
    ['equivocation', manifest(author, { sequence: 10, body: { ...body, cores: 3 } })],
    ['wrong_mesh', manifest(author, { sequence: 11, mesh: 'other' })],
    ['expired', manifest(author, { sequence: 11, issuedMs: nowMs - 9, expiresMs: nowMs - 1 })],
    ['oversized', new Uint8Array(5000)],
    ['malformed', encode('hello')],
    ['invalid_signature', signedDocument({ ...testAuthor(2), key: author.key }, encode(fields()))],
  ]
  for (const [code, bytes] of attempts) assert.is(await hub.inject(b.network, 'manifests', bytes), code)
  assert.equal(b.manifests.view(), before)
  assert.is(b.counts.get('owm_manifests_refused_total gossip equivocation'), 1)
  assert.is(b.counts.get('owm_manifests_refused_total gossip stale_sequence'), 2)
  assert.is(b.counts.get('owm_manifests_accepted_total gossip'), 1)
  assert.is(b.counts.get('owm_manifests_live_peers'), 2)
})

test('an author that announces too often is ignored until its rate allows', async () => {
  const hub = createHub(meshId)
  const clock = manualClock(nowMs)
  const b = await startPeer(peerOf(hub, clock), clock)
  const verdicts: string[] = []
  for (let i = 1; i <= 7; i++)
    verdicts.push(await hub.inject(b.network, 'manifests', manifest(testAuthor(1), { sequence: i })))
  assert.equal(verdicts, [...Array(5).fill('accept'), 'author_rate', 'author_rate'])
  clock.advance(2000)
  assert.is(await hub.inject(b.network, 'manifests', manifest(testAuthor(1), { sequence: 8 })), 'accept')
  assert.is(await hub.inject(b.network, 'manifests', manifest(testAuthor(2), { sequence: 1 })), 'accept')
})

test('a full view lets go of who expires first, never of a connected peer', async () => {
  const hub = createHub(meshId)
  const clock = manualClock(nowMs)
  const a = await startPeer(peerOf(hub, clock, { ttlMs: 61_000 }), clock)
  const b = await startPeer(peerOf(hub, clock, { maxPeers: 4, ttlMs: 61_000 }), clock)
  hub.connect(a.network, b.network)
  await until(() => b.manifests.view().length === 2)
  const put = (number: number, ttlMs: number): Promise<string> =>
    hub.inject(b.network, 'manifests', manifest(testAuthor(number), { expiresMs: nowMs + ttlMs }))
  const strangers = (): number[] =>
    b.manifests
      .view()
      .map(({ expiresMs }) => expiresMs - nowMs)
      .filter((ttlMs) => ttlMs % 10_000 === 0)
      .sort((x, y) => x - y)
  await put(1, 70_000)
  await put(2, 80_000)
  assert.equal(strangers(), [70_000, 80_000])
  await put(3, 90_000)
  assert.equal(strangers(), [80_000, 90_000])
  // It would be the first to go itself; it is forwarded all the same.
  assert.is(await put(4, 75_000 - 5000), 'accept')
  assert.equal(strangers(), [80_000, 90_000])
  assert.is(b.counts.get('owm_manifests_refused_total gossip view_full'), 1)
  for (let number = 10; number < 60; number++) await put(number, 200_000)
  assert.is(b.manifests.view().length, 4)
  assert.ok(b.manifests.get(a.identity.peerId))
  assert.ok(b.manifests.get(b.identity.peerId))
})

test('a peer that joins gets the whole view from a neighbour at once', async () => {
  const hub = createHub(meshId)
  const clock = manualClock(nowMs)
  const b = await startPeer(peerOf(hub, clock), clock)
  for (let number = 1; number <= 1500; number++) await hub.inject(b.network, 'manifests', manifest(testAuthor(number)))
  const a = await startPeer(peerOf(hub, clock), clock)
  const late = await startPeer(peerOf(hub, clock), clock)
  hub.connect(a.network, b.network)
  await until(() => a.manifests.view().length === 1502)
  assert.is(a.counts.get('owm_manifests_accepted_total snapshot'), 1501)

  // A third peer is a known neighbour's neighbour: its own manifest is enough.
  hub.connect(late.network, a.network)
  await until(() => late.manifests.view().length === 1503 && a.manifests.get(late.identity.peerId) !== undefined)
})

test('a neighbour that lies about its view changes nothing and is left', async () => {
  const hub = createHub(meshId)
  const clock = manualClock(nowMs)
  const good = manifest(testAuthor(1))
  const key = (byte: number): Uint8Array => new Uint8Array(32).fill(byte)
  const lies: ((call: number) => { documents: Uint8Array[]; next: Uint8Array | null })[] = [
    () => ({ documents: Array(512).fill(new Uint8Array(64)), next: null }),
    () => ({ documents: Array(512).fill(manifest(testAuthor(2), { mesh: 'other' })), next: null }),
    () => ({ documents: [], next: key(1) }),
    () => ({ documents: [good], next: key(1) }),
    (call) => ({ documents: Array(400).fill(good), next: key(call) }),
    () => ({ documents: [good, new Uint8Array(4097)], next: null }),
  ]
  for (const [index, lie] of lies.entries()) {
    const liar = hub.join(createIdentity())
    let calls = 0
    liar.handle(snapshotProtocol, async () => lie(++calls))
    const a = await startPeer(peerOf(hub, clock, { maxPeers: 1000 }), clock)
    hub.connect(a.network, liar)
    await until(() => calls > 0)
    // The retry comes after three seconds, and it is the last.
    clock.advance(3000)
    await a.manifests.stop()
    assert.ok(calls <= 8, `lie ${index}: asked ${calls} times`)
    const strangers = a.manifests.view().filter(({ peer }) => !peer.equals(a.identity.peerId))
    assert.ok(strangers.length <= 1, `lie ${index}`)
    assert.is(a.counts.get('owm_manifests_accepted_total snapshot') ?? 0, strangers.length)
  }
})

test('many changes go out as one manifest, and never too often', async () => {
  const hub = createHub(meshId)
  const clock = manualClock(nowMs)
  const a = await startPeer(peerOf(hub, clock), clock)
  hub.published.length = 0
  const announcements = Array.from({ length: 100 }, () => a.manifests.announce())
  clock.advance(50)
  await Promise.all(announcements)
  assert.is(hub.published.length, 1)
  for (let step = 0; step < 400; step++) {
    a.manifests.announce().catch(() => undefined)
    clock.advance(100)
    await until(() => true)
  }
  // 40 s at one in 4 s, and what is left of the burst of three.
  assert.ok(hub.published.length >= 10 && hub.published.length <= 13, `${hub.published.length} manifests in 40 s`)
})

test('the heartbeat goes on with jitter, also when a description fails', async () => {
  const hub = createHub(meshId)
  const clock = manualClock(nowMs)
  let fails = false
  const describe = (): ManifestBody => {
    if (fails) throw new Error('no GPU today')
    return body
  }
  const a = await startPeer(peerOf(hub, clock, { describe }), clock)
  fails = true
  const failed = a.manifests.announce()
  clock.advance(50)
  try {
    await failed
    assert.unreachable()
  } catch (error) {
    assert.is((error as Error).message, 'no GPU today')
  }
  fails = false
  hub.published.length = 0
  const dates: number[] = []
  for (let second = 0; second < 600; second++) {
    clock.advance(1000)
    await until(() => true)
    if (hub.published.length > dates.length) dates.push(clock.now())
  }
  assert.ok(dates.length >= 9 && dates.length <= 11, `${dates.length} in 600 s`)
  const gaps = new Set(dates.slice(1).map((date, i) => date - (dates[i] ?? 0)))
  assert.ok(gaps.size > 1, 'all gaps are equal')
})

test('sequences rise over a restart with a clock set back by a day', async () => {
  const dataDir = temporaryFolder()
  const identity = createIdentity()
  const sequences: number[] = []
  for (const startMs of [nowMs, nowMs - 86_400_000, nowMs - 86_400_000, nowMs + 1000]) {
    const clock = manualClock(startMs)
    const a = await startPeer(peerOf(createHub(meshId), clock, { dataDir }, identity), clock)
    sequences.push(a.manifests.get(identity.peerId)?.sequence ?? 0)
    await a.manifests.stop()
  }
  assert.equal(sequences, [nowMs + 50, nowMs + 52, nowMs + 54, nowMs + 1050])
})

test('a stored sequence that is garbage, and a folder that cannot be written, do not silence the peer', async () => {
  const dataDir = temporaryFolder()
  writeFileSync(join(dataDir, 'manifest-sequence'), 'not a number')
  const clock = manualClock(nowMs)
  const a = await startPeer(peerOf(createHub(meshId), clock, { dataDir }), clock)
  assert.is(a.manifests.get(a.identity.peerId)?.sequence, nowMs + 50)
  const file = join(dataDir, 'a-file')
  writeFileSync(file, '')
  const b = await startPeer(peerOf(createHub(meshId), clock, { dataDir: file }), clock)
  assert.is(b.manifests.get(b.identity.peerId)?.sequence, clock.now())
})

test('a peer whose sequence was lost goes on above what the mesh holds of it', async () => {
  const clock = manualClock(nowMs)
  const identity = createIdentity()
  const hubOfLater = createHub(meshId)
  const laterClock = manualClock(nowMs + 20_000)
  await startPeer(peerOf(hubOfLater, laterClock, {}, identity), laterClock)
  const ofLater = hubOfLater.published[0]?.data ?? new Uint8Array()

  const hub = createHub(meshId)
  const a = await startPeer(peerOf(hub, clock, {}, identity), clock)
  assert.is(await hub.inject(a.network, 'manifests', ofLater), 'own')
  clock.advance(50)
  await until(() => (a.manifests.get(identity.peerId)?.sequence ?? 0) > nowMs + 20_000)
  assert.is(a.manifests.view().length, 1)
})

test('a stopped peer can start again and is seen again', async () => {
  const hub = createHub(meshId)
  const clock = manualClock(nowMs)
  const a = await startPeer(peerOf(hub, clock), clock)
  const b = await startPeer(peerOf(hub, clock), clock)
  hub.connect(a.network, b.network)
  await until(() => b.manifests.get(a.identity.peerId) !== undefined)
  await a.manifests.stop()
  assert.is(b.manifests.get(a.identity.peerId), undefined)
  await startPeer(a, clock)
  await until(() => b.manifests.get(a.identity.peerId) !== undefined)
})

test('mutated manifests leave the view as it is, and nothing is thrown', async () => {
  const hub = createHub(meshId)
  const clock = manualClock(nowMs)
  const b = await startPeer(peerOf(hub, clock), clock)
  const document = manifest(testAuthor(1))
  const before = b.manifests.view()
  await fc.assert(
    fc.asyncProperty(
      fc.nat(document.length - 1),
      fc.nat(7),
      fc.uint8Array({ maxLength: 8 }),
      async (at, bit, extra) => {
        const flipped = new Uint8Array(document)
        flipped[at]! ^= 1 << bit
        for (const bytes of [
          flipped,
          document.subarray(0, at),
          new Uint8Array([...extra, ...flipped]),
          new Uint8Array([...document.subarray(0, at), ...document]),
          extra,
        ]) {
          if (Buffer.compare(bytes, document) === 0) continue
          assert.is.not(await hub.inject(b.network, 'manifests', bytes), 'accept')
        }
      },
    ),
    { numRuns: 500 },
  )
  assert.equal(b.manifests.view(), before)
  assert.is(b.counts.get('owm_manifests_accepted_total gossip'), undefined)
})

test('wrong options and a stopped peer are errors', async () => {
  const hub = createHub(meshId)
  const clock = manualClock(nowMs)
  const a = await startPeer(peerOf(hub, clock), clock)
  for (const init of [{ ttlMs: 60_000 }, { ttlMs: 300_001 }, { intervalMs: 0 }]) {
    try {
      peerOf(hub, clock, init)
      assert.unreachable()
    } catch (error) {
      assert.is(errorCode(error), 'invalid_options')
    }
  }
  await a.manifests.stop()
  await a.manifests.stop()
  try {
    await a.manifests.announce()
    assert.unreachable()
  } catch (error) {
    assert.is(errorCode(error), 'not_running')
  }
})

test.run()
