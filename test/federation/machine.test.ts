import * as assert from 'uvu/assert'
import type { Value } from '../../src/federation/certificate.ts'
import { begin, step } from '../../src/federation/machine.ts'
import type { Effect, Event, Message, RoundConfig, RoundState } from '../../src/federation/round-state.ts'
import type { Abandon, Notice, Vote, VotePhase } from '../../src/federation/statements.ts'
import { measuredOf, timingOf } from '../../src/federation/timing.ts'
import { suite } from '../suite.ts'

const test = suite('round machine')

/** On a member `b` of the committee a, b, c, d with quorum 3. */
const config: RoundConfig = {
  run: 'run',
  self: 'b',
  round: 1,
  attempt: 0,
  roster: ['a', 'b', 'c', 'd'],
  committee: ['a', 'b', 'c', 'd'],
  quorum: 3,
  rosterQuorum: 3,
  minimumTrainers: 1,
  trains: false,
  timing: { collectMs: 1_000, agreeMs: 1_000 },
}
const noBytes = new Uint8Array()
const notice = (trainer: string, update = `u-${trainer}`): Notice => ({
  trainer,
  run: 'run',
  round: 1,
  attempt: 0,
  base: 'c0',
  update,
  samples: 1,
  steps: 1,
  bytes: 1,
  document: noBytes,
})
const value = (...updates: Notice[]): Value => ({
  id: `v[${updates.map((n) => n.update)}]`,
  bytes: noBytes,
  run: 'run',
  round: 1,
  attempt: 0,
  previous: 'run',
  updates,
  joins: [],
  checkpoint: 'c1',
  roster: [],
})
const vote = (voter: string, phase: VotePhase, of: Value, view = 0): Event => ({
  type: 'message',
  from: voter,
  message: {
    kind: 'vote',
    vote: { voter, run: 'run', round: 1, attempt: 0, view, phase, value: of.id, document: noBytes } satisfies Vote,
  },
})
const from = (peer: string, message: Message): Event => ({ type: 'message', from: peer, message })
const propose = (of: Value, view = 0): Message => ({ kind: 'proposal', view, value: of, justify: null })
const everybody = new Set(['a', 'b', 'c', 'd'])

function play(events: readonly Event[], state: RoundState = begin(config, everybody, 0).state, nowMs = 10) {
  const effects: Effect[] = []
  let now = state
  for (const event of events) {
    const result = step(now, event, nowMs)
    now = result.state
    effects.push(...result.effects)
  }
  return { state: now, effects, types: effects.map((effect) => effect.type) }
}
const votesIn = (effects: readonly Effect[]) =>
  effects.filter((e) => e.type === 'vote').map((e) => `${e.phase} ${e.view} ${e.value}`)

test('an update is acknowledged after it is stored and written down, in this order', () => {
  const offered = play([{ type: 'offered', notice: notice('c') }])
  assert.equal(offered.types, ['store'])
  const stored = play([{ type: 'stored', notice: notice('c'), code: null }], offered.state)
  assert.equal(stored.types, ['hold', 'answer'])
  const again = play([{ type: 'offered', notice: notice('c') }], stored.state)
  assert.equal(again.effects, [{ type: 'answer', notice: notice('c'), outcome: 'stored' }])
  const other = play([{ type: 'offered', notice: notice('c', 'another') }], stored.state)
  assert.is(other.effects[0]?.type === 'answer' && other.effects[0].outcome, 'equivocation')
  const stranger = play([{ type: 'offered', notice: notice('x') }], stored.state)
  assert.is(stranger.effects[0]?.type === 'answer' && stranger.effects[0].outcome, 'not_in_roster')
})

test('a member that has reported takes nothing more in that view, and opens again in the next', () => {
  const closed = play([from('a', { kind: 'close', view: 0 }), { type: 'offered', notice: notice('c') }])
  assert.is(
    closed.effects.at(-1)?.type === 'answer' && (closed.effects.at(-1) as { outcome: string }).outcome,
    'closed',
  )
  const gone = play([{ type: 'disconnected', peer: 'a' }], closed.state, 10)
  const moved = play([{ type: 'tick' }], gone.state, 400)
  assert.is(moved.state.view, 1)
  assert.equal(play([{ type: 'offered', notice: notice('c') }], moved.state).types, ['store'])
})

test('a proposal that leaves out an acknowledged update gets no vote, even if it is stored while recomputing', () => {
  const held = play([
    { type: 'offered', notice: notice('c') },
    { type: 'stored', notice: notice('c'), code: null },
  ])
  const refused = play([from('a', propose(value(notice('d'))))], held.state)
  assert.ok(refused.effects.some((e) => e.type === 'refused' && e.code === 'omits_update'))
  assert.equal(votesIn(refused.effects), [])
  const late = play([
    from('a', propose(value(notice('d')))),
    { type: 'offered', notice: notice('c') },
    { type: 'stored', notice: notice('c'), code: null },
    { type: 'verified', view: 0, value: value(notice('d')).id, code: null },
  ])
  assert.equal(votesIn(late.effects), [])
})

test('a vote is on disk before it leaves, and there is one per view', () => {
  const x = value(notice('c'))
  const y = value(notice('d'))
  const voted = play([from('a', propose(x)), { type: 'verified', view: 0, value: x.id, code: null }])
  assert.equal(voted.types, ['verify', 'persist', 'vote'])
  assert.equal(votesIn(voted.effects), [`prepare 0 ${x.id}`])
  const second = play([from('a', propose(y)), { type: 'verified', view: 0, value: y.id, code: null }], voted.state)
  assert.equal(votesIn(second.effects), [])
  const stranger = play([from('c', propose(x))])
  assert.equal(stranger.types, [])
  // After a restart from what was written, too.
  const record = voted.effects.find((effect) => effect.type === 'persist')
  if (record?.type !== 'persist') throw new Error('nothing was written')
  const restarted = begin(config, everybody, 20, {
    record: record.record,
    held: [],
    own: null,
    joins: [],
    proof: [],
    givenUp: false,
  })
  assert.equal(votesIn(restarted.effects), [`prepare 0 ${x.id}`])
  const after = play([from('a', propose(y)), { type: 'verified', view: 0, value: y.id, code: null }], restarted.state)
  assert.equal(votesIn(after.effects), [])
})

test('a locked member prepares another value only when shown a later quorum for it', () => {
  const x = value(notice('c'))
  const y = value(notice('d'))
  const locked = play([
    from('a', propose(x)),
    { type: 'verified', view: 0, value: x.id, code: null },
    vote('b', 'prepare', x),
    vote('a', 'prepare', x),
    vote('c', 'prepare', x),
  ])
  assert.equal(votesIn(locked.effects), [`prepare 0 ${x.id}`, `commit 0 ${x.id}`])
  assert.is(locked.state.lock?.view, 0)
  const ahead = play([from('c', { kind: 'moved', view: 2 }), from('d', { kind: 'moved', view: 2 })], locked.state)
  assert.is(ahead.state.view, 2)
  const fresh = play([from('c', propose(y, 2))], ahead.state)
  assert.ok(fresh.effects.some((e) => e.type === 'refused' && e.code === 'locked'))
  const shown = (view: number): Message => ({
    kind: 'proposal',
    view: 2,
    value: y,
    justify: { view, value: y.id, votes: [] },
  })
  assert.ok(play([from('c', shown(0))], ahead.state).effects.some((e) => e.type === 'refused' && e.code === 'locked'))
  assert.ok(play([from('c', shown(1))], ahead.state).effects.some((e) => e.type === 'verify'))
})

test('a certificate needs a quorum of commit votes of one view, one per member', () => {
  const x = value(notice('c'))
  const y = value(notice('d'))
  const known = play([from('a', propose(x))]).state
  const two = play([vote('a', 'commit', x), vote('c', 'commit', x), vote('c', 'commit', x)], known)
  assert.not.ok(two.types.includes('certify'))
  const mixed = play([vote('d', 'commit', x, 1)], two.state)
  assert.not.ok(mixed.types.includes('certify'))
  const turned = play([vote('d', 'commit', y), vote('d', 'commit', x)], two.state)
  assert.not.ok(turned.types.includes('certify'), 'the first vote of a member in a view is the one that counts')
  const three = play([vote('d', 'commit', x)], two.state)
  assert.ok(three.types.includes('certify'))
  assert.equal(play([{ type: 'tick' }, vote('b', 'commit', x)], three.state, 99_999).effects, [])
  const unknown = play([vote('a', 'commit', x), vote('c', 'commit', x), vote('d', 'commit', x)])
  assert.equal(unknown.types, ['catch-up'])
})

test('the leader waits for who is connected, until the deadline, and not for who is gone', () => {
  const leader = { ...config, self: 'a' }
  const start = begin(leader, everybody, 0).state
  const some: Event[] = ['b', 'c'].flatMap((peer) => [
    { type: 'offered', notice: notice(peer) } as const,
    { type: 'stored', notice: notice(peer), code: null } as const,
  ])
  const waiting = play(some, start).state
  assert.is(waiting.leading, null)
  assert.is(play([{ type: 'tick' }], waiting, 999).state.leading, null)
  assert.is(play([{ type: 'tick' }], waiting, 1_000).state.leading?.stage, 'closing')
  const alone = play([{ type: 'disconnected', peer: 'd' }], waiting, 20).state
  assert.is(play([{ type: 'tick' }], alone, 500).state.leading, null)
  assert.is(
    play([{ type: 'tick' }], { ...alone, config: { ...leader, roster: ['b', 'c', 'd'] } }, 1_020).state.leading?.stage,
    'closing',
  )
})

test('a member that has lost a quorum stays where it is', () => {
  const start = begin(config, everybody, 0).state
  const lost = play(
    [
      { type: 'disconnected', peer: 'a' },
      { type: 'disconnected', peer: 'c' },
    ],
    start,
    10,
  )
  assert.is(play([{ type: 'tick' }, { type: 'tick' }], lost.state, 50_000).state.view, 0)
})

// --- the next attempt: six peers, a, b, c and d in the committee, four of the roster give an attempt up

const wide: RoundConfig = { ...config, roster: ['a', 'b', 'c', 'd', 'e', 'f'], rosterQuorum: 4 }
const abandon = (peer: string, attempt = 0): Abandon => ({
  peer,
  run: 'run',
  round: 1,
  attempt,
  previous: 'run',
  document: noBytes,
})
const all = new Set(wide.roster)

test('a committee without a quorum is given up once that has lasted, and not by who is alone', () => {
  const lost: Event[] = ['a', 'c'].map((peer) => ({ type: 'disconnected', peer }))
  const waiting = play(lost, begin(wide, all, 0).state, 10)
  assert.not.ok(play([{ type: 'tick' }], waiting.state, 1_000).types.includes('abandon'))
  const given = play([{ type: 'tick' }], waiting.state, 2_100)
  assert.ok(given.types.includes('abandon'))
  const back = play([{ type: 'connected', peer: 'a' }], waiting.state, 1_000)
  assert.not.ok(play([{ type: 'tick' }], back.state, 2_100).types.includes('abandon'))
  const alone = play(
    ['d', 'e', 'f'].map((peer) => ({ type: 'disconnected', peer })),
    waiting.state,
    20,
  )
  assert.not.ok(play([{ type: 'tick' }], alone.state, 2_100).types.includes('abandon'))
  // Every attempt would have the same committee.
  const whole = begin({ ...wide, roster: wide.committee }, all, 0).state
  assert.not.ok(play([...lost, { type: 'tick' }], whole, 99_000).types.includes('abandon'))
})

test('a committee that brings nothing about is given up when each member has had its turn', () => {
  const start = begin({ ...wide, self: 'e' }, all, 0).state
  // 1 s to collect, then 1, 2, 4 and 8 s.
  assert.not.ok(play([{ type: 'tick' }], start, 15_900).types.includes('abandon'))
  assert.ok(play([{ type: 'tick' }], start, 16_000).types.includes('abandon'))
  const training = begin({ ...wide, self: 'e', trains: true }, all, 0).state
  assert.not.ok(play([{ type: 'tick' }], training, 16_000).types.includes('abandon'))
})

test('who has given an attempt up takes, reports, proposes and votes no more, also after a restart', () => {
  const x = value(notice('c'))
  const asked: Event[] = [
    { type: 'offered', notice: notice('c') },
    from('a', { kind: 'close', view: 0 }),
    from('a', propose(x)),
    { type: 'verified', view: 0, value: x.id, code: null },
  ]
  assert.ok(play(asked, begin(wide, all, 0).state).types.includes('store'))
  const given = begin(wide, all, 0, { record: null, held: [], own: null, joins: [], proof: [], givenUp: true }).state
  const { types, effects } = play(asked, given)
  assert.equal(votesIn(effects), [])
  assert.equal(types, ['answer'])
  const lost = play(
    [
      { type: 'disconnected', peer: 'a' },
      { type: 'disconnected', peer: 'c' },
    ],
    begin(wide, all, 0).state,
  )
  const up = play([{ type: 'tick' }], lost.state, 2_100)
  assert.equal(votesIn(play(asked, up.state, 2_200).effects), [])
  // A certificate counts as before.
  const known = play([from('a', propose(x))], begin(wide, all, 0).state)
  const votes = play([vote('a', 'commit', x), vote('c', 'commit', x), vote('d', 'commit', x)], known.state)
  assert.ok(votes.types.includes('certify'))
})

test('the next attempt begins with a quorum of the roster, each peer counted once, and only those on it', () => {
  const start = begin(wide, all, 0).state
  const three = play(
    ['a', 'c', 'c', 'x', 'e'].map((peer) => ({ type: 'abandoned', abandons: [abandon(peer)] })),
    start,
  )
  assert.not.ok(three.types.includes('enter'))
  const mixed = play([{ type: 'abandoned', abandons: [abandon('f', 1)] }], three.state)
  assert.not.ok(mixed.types.includes('enter'))
  const four = play([{ type: 'abandoned', abandons: [abandon('f')] }], mixed.state)
  const entered = four.effects.find((effect) => effect.type === 'enter')
  assert.equal(entered, { type: 'enter', attempt: 1, proof: ['a', 'c', 'e', 'f'].map((peer) => abandon(peer)) })
  assert.equal(play([{ type: 'tick' }, vote('a', 'commit', value(notice('c')))], four.state, 99_999).effects, [])
  const jump = play([{ type: 'abandoned', abandons: ['a', 'c', 'e', 'f'].map((peer) => abandon(peer, 5)) }], start)
  assert.ok(jump.effects.some((effect) => effect.type === 'enter' && effect.attempt === 6))
})

test('who is in an earlier attempt is shown why it is over; to who is in a later one it is said', () => {
  const proof = ['a', 'c', 'd', 'e'].map((peer) => abandon(peer))
  const later = begin({ ...wide, attempt: 1 }, all, 0, {
    record: null,
    held: [],
    own: null,
    joins: [],
    proof,
    givenUp: false,
  })
  assert.equal(later.effects, [{ type: 'show', to: ['a', 'c', 'd'], abandons: proof }])
  const shown = { type: 'show', to: ['f'], abandons: proof }
  assert.equal(play([{ type: 'abandoned', abandons: [abandon('f')] }], later.state).effects, [shown])
  assert.equal(play([{ type: 'astray', from: 'f', attempt: 0 }], later.state).effects, [shown])
  const ahead = play([{ type: 'astray', from: 'f', attempt: 2 }], later.state)
  assert.equal(ahead.effects, [{ type: 'send', to: ['f'], message: { kind: 'moved', view: 0 } }])
})

test('what is held goes along into the next attempt, and is insisted on there', () => {
  const held = [notice('c'), notice('d')]
  const next = begin({ ...wide, attempt: 1 }, all, 0, {
    record: null,
    held,
    own: null,
    joins: [],
    proof: [],
    givenUp: false,
  })
  const without = { ...value(notice('c')), attempt: 1 }
  const refused = play([from('a', propose(without))], next.state)
  assert.ok(refused.effects.some((effect) => effect.type === 'refused' && effect.code === 'omits_update'))
  const own = begin({ ...wide, attempt: 1 }, all, 0, {
    record: null,
    held,
    own: notice('b'),
    joins: [],
    proof: [],
    givenUp: false,
  })
  assert.ok(own.effects.some((effect) => effect.type === 'push' && effect.notice.update === 'u-b'))
  assert.not.ok(own.effects.some((effect) => effect.type === 'train'))
})

test('time-outs follow what was measured', () => {
  const first = timingOf([], 1_000)
  assert.ok(first.collectMs > 10_000)
  const quick = timingOf([{ collectMs: 2_000, agreeMs: 100 }], 1_000)
  assert.equal(quick, { collectMs: 3_000, agreeMs: 1_500 })
  const slow = timingOf([{ collectMs: 60_000, agreeMs: 2_000 }], 1_000)
  assert.equal(slow, { collectMs: 63_000, agreeMs: 8_000 })
  const odd = [
    { collectMs: 90_000, agreeMs: 9 },
    ...Array.from({ length: 3 }, () => ({ collectMs: 2_000, agreeMs: 9 })),
  ]
  assert.is(timingOf(odd, 1_000).collectMs, 3_000)
  const cutOff = [9, 20_000, 9].map((agreeMs) => ({ collectMs: 2_000, agreeMs }))
  assert.is(timingOf(cutOff, 1_000).agreeMs, 1_500)
  const { state } = begin(config, everybody, 0)
  assert.equal(measuredOf({ ...state, viewSinceMs: 9_000 }, 0, 2_000, 9_500, 1_000), { collectMs: 2_000, agreeMs: 500 })
  assert.equal(measuredOf(state, 0, 0, 5_000, 1_000), { collectMs: 5_000, agreeMs: 0 })
  assert.is(measuredOf({ ...state, config: { ...config, attempt: 1 } }, 0, 0, 5_000, 1_000), null)
})

test.run()
