import * as assert from 'uvu/assert'
import { RandomWords } from '../../src/federation/privacy/keystream.ts'
import { isOpening, type Opening } from '../../src/federation/privacy/opening.ts'
import { mayTakePart, type ParticipantRecord } from '../../src/federation/privacy/participant.ts'
import { isPeerSet, peerSetOf, placesOf } from '../../src/federation/privacy/peer-set.ts'
import { defaultThreshold, directoryOf, toleratedColluders } from '../../src/federation/privacy/session.ts'
import { secretBytes } from '../../src/federation/privacy/shamir.ts'
import {
  type Keys,
  openStatement,
  type Reveal,
  type StatementKind,
  signStatement,
} from '../../src/federation/privacy/statements.ts'
import { RejectedError } from '../../src/lib/index.ts'
import { suite } from '../suite.ts'
import { type Outcome, type Plan, plainSum, runCid, secureSum } from './privacy-mesh.ts'

const test = suite('secure sum')

const calm: Plan = { seed: 1, peers: 7, members: 2, threshold: 5, parameters: 50 }

/** Every member that came to a sum came to this one, and one did. */
function assertExact(outcome: Outcome, survivors: number): void {
  assert.equal(outcome.failures, [])
  assert.is(outcome.survivors.length, survivors)
  const sums = Object.values(outcome.sums)
  assert.ok(sums.length > 0, 'nobody came to a sum')
  for (const sum of sums) assert.equal(sum, plainSum(outcome))
}
function assertFails(outcome: Outcome, code: string): void {
  assert.equal(outcome.sums, {})
  assert.ok(outcome.failures.length > 0, 'nobody noticed')
  for (const failure of outcome.failures) assert.is(failure.code, code)
}
const first = (count: number, kind: StatementKind | 'mask') =>
  Object.fromEntries(Array.from({ length: count }, (_, place) => [place, kind]))

test('the sum is that of the plain contributions, at every member of the committee', () => {
  const outcome = secureSum(calm)
  assertExact(outcome, 7)
  assert.is(Object.keys(outcome.sums).length, 2)
  assert.equal(outcome.accused, [])
})

test('of 32 peers 10 vanish after they have masked: the sum of the 22 others is exact', () => {
  const plan = { ...calm, peers: 32, threshold: 22, members: 1, parameters: 300 }
  assertExact(secureSum({ ...plan, vanish: first(10, 'mask') }), 22)
  // Had they sent their inputs, these are in the sum; nobody needs the peers any more.
  assertExact(secureSum({ ...plan, vanish: first(10, 'input') }), 32)
})

test('peers that vanish at any time cost nothing but themselves', () => {
  for (const kind of ['keys', 'shares', 'mask', 'input', 'consent', 'reveal'] as const) {
    const survivors = kind === 'keys' || kind === 'shares' || kind === 'mask' ? 5 : 7
    assertExact(secureSum({ ...calm, vanish: { 2: kind, 6: kind } }), survivors)
  }
  assertExact(secureSum({ ...calm, vanish: { 0: 'mask', 3: 'input' } }), 6)
})

test('fewer than the threshold come to a failure, in every phase', () => {
  for (const kind of ['keys', 'shares', 'mask'] as const) {
    assertFails(secureSum({ ...calm, vanish: first(3, kind) }), 'too_few_peers')
  }
  assertFails(secureSum({ ...calm, vanish: first(3, 'input') }), 'too_few_consents')
  assertFails(secureSum({ ...calm, vanish: first(3, 'consent') }), 'too_few_shares')
})

test('loss, duplicates and reordering change nothing', () => {
  for (let seed = 1; seed <= 12; seed++) {
    const storm = { seed, lossPermille: 200, duplicatePermille: 200, maxDelayMs: 150 }
    const outcome = secureSum({ ...calm, parameters: 5, ...storm })
    // Who is late is left out; whoever is in is counted.
    assert.equal(outcome.failures, [], `seed ${seed}`)
    assertExact(outcome, outcome.survivors.length)
    assert.ok(outcome.survivors.length >= 5)
    assert.equal(outcome.accused, [])
  }
})

test('a peer that restarts with what it has written down says the same again', () => {
  for (const kind of ['keys', 'shares', 'input', 'consent', 'reveal'] as const) {
    const outcome = secureSum({ ...calm, threshold: 7, restart: { 3: kind } })
    assertExact(outcome, 7)
    assert.equal(outcome.accused, [], kind)
  }
})

test('when the member that leads dies, the next one goes on', () => {
  for (const phase of ['inputs', 'consents', 'reveals', 'unmasking'] as const) {
    const outcome = secureSum({ ...calm, leaderDies: phase })
    assertExact(outcome, 7)
    assert.equal(outcome.accused, [])
  }
  // A storm on top: whatever the members know, they never come to two sums.
  for (let seed = 1; seed <= 6; seed++) {
    const outcome = secureSum({ ...calm, seed, leaderDies: 'reveals', lossPermille: 100, maxDelayMs: 100 })
    for (const sum of Object.values(outcome.sums)) assert.equal(sum, plainSum(outcome))
  }
})

test('no peer reveals both secrets of a peer, whatever it is asked', () => {
  const outcome = secureSum({ ...calm, vanish: { 1: 'mask' }, lossPermille: 100, duplicatePermille: 300, seed: 5 })
  const lists = new Map<string, Set<string>>()
  for (const statement of outcome.said) {
    if (statement.kind !== 'reveal') continue
    const known = lists.get(statement.peer) ?? new Set()
    lists.set(statement.peer, known.add(Buffer.from(statement.survivors).toString('hex')))
  }
  assert.ok(lists.size >= 5)
  for (const [peer, revealed] of lists) assert.is(revealed.size, 1, peer)
})

test('who gives an attempt up for the next one reveals nothing in it; who has revealed cannot', () => {
  const outcome = secureSum({ ...calm, threshold: 6, renounce: { 1: 'consent' } })
  // Six others consent and reveal: the sum is opened without it, and its input counts.
  assertExact(outcome, 7)
  const [one = '', other = ''] = outcome.peers.slice(1)
  assert.not.ok(outcome.said.some(({ kind, peer }) => kind === 'reveal' && peer === one))
  assert.ok(mayTakePart([outcome.records[one] as ParticipantRecord]))
  assert.not.ok(mayTakePart([outcome.records[other] as ParticipantRecord]))
  assert.ok(mayTakePart([]))
  // Too few are left to open it: then the next attempt has enough.
  assertFails(secureSum({ ...calm, renounce: { 1: 'consent', 2: 'consent', 3: 'input' } }), 'too_few_shares')
  const late = secureSum({ ...calm, renounce: { 1: 'reveal' } })
  assertExact(late, 7)
  assert.not.ok(mayTakePart([late.records[late.peers[1] ?? ''] as ParticipantRecord]))
})

test('survivor lists that differ from peer to peer open nothing', () => {
  // The leader tells some that peer 0 is gone, to get the shares of its mask key, and others that it is not.
  const outcome = secureSum({
    ...calm,
    tell: (message, to) => {
      if (message.kind !== 'survivors' || to.charCodeAt(to.length - 1) % 2 === 0) return message
      return { ...message, survivors: peerSetOf([1, 2, 3, 4, 5, 6], 7) }
    },
  })
  const revealed = outcome.said.filter((statement): statement is Reveal => statement.kind === 'reveal')
  assert.ok(new Set(revealed.map(({ survivors }) => Buffer.from(survivors).toString('hex'))).size <= 1)
  if (revealed.length === 0) assertFails(outcome, 'too_few_consents')
  else assertExact(outcome, outcome.survivors.length)
})

test('asked for a second list after the first, a peer repeats its first consent and nothing else', () => {
  let asked = 0
  const outcome = secureSum({
    ...calm,
    tell: (message, to) => {
      if (message.kind !== 'consents' || asked++ > 6) return message
      // All have consented to all seven: now the first is said to be gone.
      const [one] = message.consents
      if (one === undefined) throw new Error(`no consents for ${to}`)
      const { directory, dealers } = one
      return { kind: 'survivors', directory, dealers, survivors: peerSetOf([1, 2, 3, 4, 5, 6], 7) }
    },
  })
  assertExact(outcome, 7)
  assert.ok(outcome.refused.includes('other_survivors'))
  const lists = outcome.said.flatMap((one) => (one.kind === 'consent' ? [placesOf(one.survivors).length] : []))
  assert.equal(new Set(lists), new Set([7]))
})

test('consents that are forged, repeated, too few, or of a list with strangers reveal nothing', () => {
  const tampered: readonly [string, (consents: readonly { peer: string }[]) => readonly { peer: string }[]][] = [
    ['too_few_consents', (consents) => consents.slice(1)],
    ['too_few_consents', ([one]) => (one === undefined ? [] : Array.from({ length: 7 }, () => one))],
    ['too_few_consents', () => []],
  ]
  for (const [code, change] of tampered) {
    const outcome = secureSum({
      ...calm,
      members: 1,
      tell: (message) =>
        message.kind === 'consents' ? ({ ...message, consents: change(message.consents) } as typeof message) : message,
    })
    assertFails(outcome, 'too_few_shares')
    assert.ok(outcome.refused.includes(code), code)
    assert.not.ok(outcome.said.some(({ kind }) => kind === 'reveal'))
  }
})

test('two directories have no secret in common, and nobody follows a second one', () => {
  const outcome = secureSum({
    ...calm,
    members: 1,
    tell: (message, to) => {
      if (message.kind !== 'directory') return message
      const without = message.keys.filter(({ peer }, i) => i !== 0 || peer === to)
      return to.charCodeAt(to.length - 1) % 2 === 0 ? message : { ...message, keys: without }
    },
  })
  for (const sum of Object.values(outcome.sums)) assert.equal(sum, plainSum(outcome))
  assert.equal(outcome.accused, [])
})

test('a delivery that the leader has changed is not taken for the dealers lie', () => {
  const outcome = secureSum({
    ...calm,
    members: 1,
    tell: (message) => {
      if (message.kind !== 'delivery') return message
      const sealed = message.sealed.slice()
      // All of dealer 0's shares are spoilt on the way: its secrets cannot be opened.
      sealed[3] = sealed[3]! ^ 1
      return { ...message, sealed }
    },
  })
  assertFails(outcome, 'too_few_shares')
  assert.is(outcome.failures[0]?.peers[0], outcome.peers[0])
  assert.equal(outcome.accused, [])
})

test('a wrong share convicts who reveals it, and is never part of an opening', () => {
  const plan: Plan = {
    ...calm,
    lie: (statement, identity, place) => {
      if (statement.kind !== 'reveal' || place !== 4) return statement
      const shares = statement.shares.slice()
      shares[5] = shares[5]! ^ 1
      const { peer: _, document: __, ...body } = statement
      return signStatement(identity, { ...body, shares })
    },
  }
  const outcome = secureSum(plan)
  assertExact(outcome, 7)
  for (const accusation of outcome.accused) assert.is(accusation, '4:wrong_share')
  // Where all shares are needed there is no sum.
  const needed = secureSum({ ...plan, members: 1, threshold: 7 })
  assertFails(needed, 'too_few_shares')
  assert.equal(needed.accused, ['4:wrong_share'])
})

test('who was left out cannot end the attempt by revealing all the same', () => {
  const outcome = secureSum({
    ...calm,
    members: 1,
    vanish: { 0: 'mask' },
    lie: (statement, identity, place) => {
      // Place 6 says no input, and reveals at once what it has no list for.
      if (statement.kind !== 'shares' || place !== 6) return statement
      const { run, round, attempt, directory } = statement
      const none = peerSetOf([], 7)
      const shares = new Uint8Array(0)
      return signStatement(identity, {
        ...{ kind: 'reveal', run, round, attempt },
        ...{ directory, survivors: none, held: none, shares },
      })
    },
  })
  assertExact(outcome, 5)
})

test('no bytes that a liar may send make a peer throw, or reveal', () => {
  const outcome = secureSum({ ...calm, members: 1, vanish: { 0: 'mask' } })
  const documents = outcome.said.slice(0, 20)
  const random = new RandomWords(new Uint8Array(32).fill(8))
  for (const { kind, document } of documents) {
    for (let i = 0; i < 10; i++) {
      const changed = document.slice()
      const at = random.below(changed.length)
      changed[at] = changed[at]! ^ (1 + random.below(255))
      assert.throws(
        () => openStatement(kind, changed),
        (error: unknown) => error instanceof RejectedError,
      )
    }
  }
  const bytes = (most: number): Uint8Array => Uint8Array.from({ length: random.below(most) }, () => random.below(256))
  const hostile = secureSum({
    ...calm,
    members: 1,
    tell: (message) => {
      const directory = 'directory' in message && random.below(4) > 0 ? message.directory : bytes(33)
      if (message.kind === 'delivery' && random.below(2) === 0) {
        return { ...message, directory, dealers: bytes(3), sealed: bytes(600), commitments: bytes(300) }
      }
      if (message.kind !== 'survivors') return message
      return { ...message, directory, dealers: random.below(2) === 0 ? message.dealers : bytes(3), survivors: bytes(3) }
    },
  })
  assert.equal(hostile.sums, {})
  assert.not.ok(hostile.said.some(({ kind }) => kind === 'reveal'))
  assert.equal(hostile.accused, [])
})

test('a dealer whose shares are not those of its published secret is named, and there is no sum', () => {
  const other = secureSum({ ...calm, parameters: 1 })
  const keys = other.said.find((statement): statement is Keys => statement.kind === 'keys')
  const outcome = secureSum({
    ...calm,
    members: 1,
    lie: (statement, identity, place) => {
      if (statement.kind !== 'keys' || place !== 2) return statement
      const { peer: _, document: __, ...body } = statement
      return signStatement(identity, { ...body, seed: keys?.seed ?? body.seed })
    },
  })
  assertFails(outcome, 'wrong_secret')
  assert.equal(outcome.accused, ['2:wrong_secret'])
})

test('two statements of one kind convict their author; the first one counts', () => {
  let lies = 0
  const outcome = secureSum({
    ...calm,
    lossPermille: 300,
    seed: 3,
    lie: (statement, identity, place) => {
      if (statement.kind !== 'keys' || place !== 1) return statement
      lies++
      const { peer: _, document: __, ...body } = statement
      return lies === 1 ? statement : signStatement(identity, { ...body, seed: new Uint8Array(32).fill(lies) })
    },
  })
  for (const sum of Object.values(outcome.sums)) assert.equal(sum, plainSum(outcome))
  for (const accusation of outcome.accused) assert.is(accusation, '1:equivocation')
})

test('a statement of another attempt does not count in this one', () => {
  const outcome = secureSum({
    ...calm,
    lie: (statement, identity, place) => {
      if (statement.kind !== 'shares' || place !== 0) return statement
      const { peer: _, document: __, ...body } = statement
      return signStatement(identity, { ...body, attempt: 1 })
    },
  })
  assertExact(outcome, 6)
  assert.ok(outcome.refused.includes('wrong_session'))
})

test('a contribution that breaks the rules of the sum spoils it with a failure, not with a wrong sum', () => {
  const outcome = secureSum({
    ...calm,
    members: 1,
    spoil: (elements, place) => {
      if (place === 3) elements[elements.length - 1] = 1
    },
  })
  assertFails(outcome, 'wrong_sum')
})

test('an auditor tells a true opening from another', () => {
  const outcome = secureSum({ ...calm, vanish: { 5: 'mask' } })
  const keys = outcome.said.filter((statement): statement is Keys => statement.kind === 'keys')
  const byPeer = [...new Map(keys.map((one) => [one.peer, one])).values()].sort((a, b) => (a.peer < b.peer ? -1 : 1))
  const directory = directoryOf({ run: runCid, round: 3, attempt: 0 }, byPeer)
  const opening = outcome.opening as Opening
  assert.ok(isOpening(directory, opening))
  for (let i = 0; i < opening.secrets.length; i += secretBytes) {
    const secrets = opening.secrets.slice()
    secrets[i + 7] = secrets[i + 7]! ^ 1
    assert.not.ok(isOpening(directory, { ...opening, secrets }))
  }
  assert.not.ok(isOpening(directory, { ...opening, survivors: opening.dealers }))
})

test('thresholds bear what they promise', () => {
  assert.is(defaultThreshold(32), 22)
  assert.is(toleratedColluders(32, 22), 11)
  for (let peers = 3; peers <= 100; peers++) {
    const threshold = defaultThreshold(peers)
    assert.ok(threshold <= peers && 2 * threshold > peers)
    const colluders = toleratedColluders(peers, threshold)
    // The honest cannot be split into two quorums, and at least two of them are in every sum.
    assert.ok(peers - colluders + 2 * colluders < 2 * threshold)
    assert.ok(threshold - colluders >= 2)
  }
})

test('peer sets have one encoding', () => {
  assert.equal(placesOf(peerSetOf([0, 8, 9], 10)), [0, 8, 9])
  assert.ok(isPeerSet(peerSetOf([9], 10), 10))
  assert.not.ok(isPeerSet(peerSetOf([10], 11), 10))
  assert.not.ok(isPeerSet(new Uint8Array(3), 10))
})

test.run()
