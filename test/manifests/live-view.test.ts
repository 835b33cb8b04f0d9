import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { peerIdOf } from '../../src/identity/index.ts'
import { toHex } from '../../src/lib/index.ts'
import { createExpiryQueue } from '../../src/manifests/expiry-queue.ts'
import type { ManifestEvent } from '../../src/manifests/index.ts'
import { createLiveView, type LiveView, type Verified } from '../../src/manifests/live-view.ts'
import { suite } from '../suite.ts'
import { body, nowMs, testAuthor } from './documents.ts'

const test = suite('live view')

const authors = Array.from({ length: 40 }, (_, i) => {
  const { publicKey } = testAuthor(i + 1)
  return { author: toHex(publicKey), peer: peerIdOf(publicKey) }
})
function verified(index: number, sequence: number, issuedMs: number, ttlMs: number): Verified {
  const { author, peer } = authors[index] ?? authors[0]!
  const document = new Uint8Array(4)
  return { author, peer, document, sequence, issuedMs, expiresMs: issuedMs + ttlMs, body: ttlMs === 0 ? null : body }
}
function viewOf(maxPeers: number, isProtected: (index: number) => boolean = () => false) {
  const events: ManifestEvent[] = []
  const view = createLiveView({
    maxPeers,
    isProtected: (peer) => isProtected(authors.findIndex((author) => author.peer.equals(peer))),
    onEvent: (event) => events.push(event),
  })
  return { view, events }
}
const liveAuthors = (view: LiveView, atMs: number): string[] =>
  [...view.entries(atMs)].map((entry) => toHex(entry.view.peer.publicKey?.raw ?? new Uint8Array())).sort()

test('the queue gives the current dates in order, whatever is pushed', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.integer({ min: 0, max: 20 }), fc.integer({ min: 0, max: 50 })), { maxLength: 3000 }),
      (pushes) => {
        const current = new Map<string, number>()
        const queue = createExpiryQueue(
          ({ author, expiresMs }) => current.get(author) === expiresMs,
          () => current.size,
        )
        for (const [author, expiresMs] of pushes) {
          current.set(String(author), expiresMs)
          queue.push(String(author), expiresMs)
        }
        const taken: number[] = []
        for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
          taken.push(next.expiresMs)
          current.delete(next.author)
        }
        assert.equal(
          taken,
          [...taken].sort((a, b) => a - b),
        )
        assert.is(current.size, 0)
      },
    ),
  )
})

test('a random history leaves what a simple model says', () => {
  const step = fc.record({
    index: fc.nat(7),
    sequence: fc.integer({ min: 1, max: 12 }),
    ttlMs: fc.constantFrom(0, 3000, 10_000, 100_000),
    waitMs: fc.constantFrom(0, 0, 1000, 5000),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const { view, events } = viewOf(100)
      const live = new Map<string, { sequence: number; expiresMs: number }>()
      const highest = new Map<string, number>()
      let atMs = nowMs
      for (const { index, sequence, ttlMs, waitMs } of steps) {
        atMs += waitMs
        view.expire(atMs)
        for (const [author, entry] of live) if (entry.expiresMs <= atMs) live.delete(author)
        const manifest = verified(index, sequence, atMs, ttlMs)
        view.admit(manifest, atMs)
        const known = highest.get(manifest.author)
        if (sequence <= (known ?? 0) || (ttlMs === 0 && known === undefined)) continue
        highest.set(manifest.author, sequence)
        if (ttlMs === 0) live.delete(manifest.author)
        else live.set(manifest.author, { sequence, expiresMs: atMs + ttlMs })
      }
      assert.equal(liveAuthors(view, atMs), [...live.keys()].sort())
      const joined = events.filter(({ type }) => type === 'joined').length
      const left = events.filter(({ type }) => type === 'left').length
      assert.is(joined - left, live.size)
    }),
    // The whole history lies within the time for which sequences are remembered, so the model never forgets.
    { numRuns: 200 },
  )
})

test('a departed peer is remembered for as long as its manifests could live, then forgotten', () => {
  const { view } = viewOf(100)
  view.admit(verified(0, 5, nowMs, 60_000), nowMs)
  view.admit(verified(0, 6, nowMs, 0), nowMs)
  assert.is(view.known(authors[0]!.author)?.sequence, 6)
  view.expire(nowMs + 359_999)
  assert.is(view.known(authors[0]!.author)?.sequence, 6)
  view.expire(nowMs + 360_000)
  assert.is(view.known(authors[0]!.author), undefined)
})

test('farewells of strangers leave no trace', () => {
  const { view, events } = viewOf(100)
  assert.is(view.admit(verified(3, 5, nowMs, 0), nowMs), 'unknown')
  assert.is(view.known(authors[3]!.author), undefined)
  assert.is(events.length, 0)
})

test("a full view of protected peers takes no stranger, and a protected newcomer takes a stranger's place", () => {
  const { view, events } = viewOf(4, (index) => index < 3 || index === 30)
  for (let i = 0; i < 3; i++) assert.is(view.admit(verified(i, 1, nowMs, 1000 + i), nowMs), 'joined')
  assert.is(view.admit(verified(10, 1, nowMs, 60_000), nowMs), 'joined')
  assert.is(view.admit(verified(11, 1, nowMs, 59_000), nowMs), 'full')
  assert.is(view.admit(verified(30, 1, nowMs, 500), nowMs), 'joined')
  assert.is(view.admit(verified(12, 1, nowMs, 200_000), nowMs), 'full')
  assert.equal(liveAuthors(view, nowMs), [0, 1, 2, 30].map((i) => authors[i]!.author).sort())
  assert.equal(events.at(-2)?.type === 'left' && events.at(-1)?.type === 'joined', true)
  // Who was pushed out is remembered too.
  assert.is(view.known(authors[10]!.author)?.sequence, 1)
})

test('10,000 authors fit, and are all gone when they expire', () => {
  const { view, events } = viewOf(16_384)
  const { peer } = authors[0]!
  for (let i = 0; i < 10_000; i++) {
    view.admit({ ...verified(0, 1, nowMs, 60_000 + i), author: i.toString(16).padStart(64, '0'), peer }, nowMs)
  }
  assert.is(view.size, 10_000)
  view.expire(nowMs + 64_999)
  assert.is(view.size, 5000)
  view.expire(nowMs + 80_000)
  assert.is(view.size, 0)
  assert.is(events.filter(({ type }) => type === 'left').length, 10_000)
})

test.run()
