import * as assert from 'uvu/assert'
import type { Value } from '../../src/federation/certificate.ts'
import { begin, step } from '../../src/federation/machine.ts'
import type { Effect, Event, Message, RoundConfig, RoundState } from '../../src/federation/round-state.ts'
import type { Notice, Vote, VotePhase } from '../../src/federation/statements.ts'
import { timingOf } from '../../src/federation/timing.ts'
import { suite } from '../suite.ts'
import { type Scenario, simulate } from './simulator.ts'

const test = suite('round machine')

const calm: Scenario = {
  seed: 1,
  peers: 3,
  rounds: 4,
  faults: 'crash',
  minimumTrainers: 1,
  committeeSize: 4,
  lossPermille: 0,
  duplicatePermille: 0,
  maxDelayMs: 20,
  crashes: 0,
  tornPermille: 0,
  deaths: 0,
  slowPeer: false,
  liar: false,
}
const storms: Readonly<Record<string, Partial<Scenario>>> = {
  calm: {},
  'loss, duplicates and reordering': { lossPermille: 150, duplicatePermille: 100, maxDelayMs: 200 },
  'crashes that lose what is not durable': { crashes: 8, tornPermille: 2, lossPermille: 20 },
  'death between two effects': { tornPermille: 15, lossPermille: 50, maxDelayMs: 100 },
  'four peers, crashes and loss': { peers: 4, crashes: 8, lossPermille: 50, duplicatePermille: 50, minimumTrainers: 2 },
  'a death for good': { deaths: 1, crashes: 3 },
  'a leader that is slow, not dead': { peers: 4, slowPeer: true, crashes: 2 },
  'five peers, a committee of four': { peers: 5, crashes: 10, lossPermille: 100, minimumTrainers: 2 },
  'a leader that proposes two values': {
    peers: 4,
    faults: 'byzantine',
    liar: true,
    minimumTrainers: 2,
    lossPermille: 20,
  },
  'a liar among crashes': {
    peers: 4,
    faults: 'byzantine',
    liar: true,
    crashes: 5,
    minimumTrainers: 2,
    lossPermille: 20,
    duplicatePermille: 100,
  },
}
/** Seeds per storm; the whole takes a few seconds. */
const seeds = 150

for (const [name, storm] of Object.entries(storms)) {
  test(`simulated: ${name}`, () => {
    for (let seed = 1; seed <= seeds; seed++) {
      const outcome = simulate({ ...calm, ...storm, seed })
      assert.equal(outcome.violations, [], `${outcome.violations.join('; ')}\n${outcome.trace.slice(-40).join('\n')}`)
      assert.ok(outcome.finished, `seed ${seed} stalls in round ${outcome.certified + 1}`)
    }
  })
}

test('a seed replays exactly', () => {
  const scenario = { ...calm, ...storms['four peers, crashes and loss'], seed: 77 }
  assert.equal(simulate(scenario), simulate(scenario))
})

test('the simulator sees planted bugs', () => {
  const bugs: readonly Partial<Scenario>[] = [
    { peers: 4, crashes: 8, lossPermille: 100, bug: 'no-quorum' },
    { peers: 4, crashes: 8, lossPermille: 150, slowPeer: true, bug: 'acknowledges-closed' },
    { tornPermille: 20, lossPermille: 200, maxDelayMs: 400, bug: 'forgets-votes' },
  ]
  for (const bug of bugs) {
    let seen = false
    for (let seed = 1; seed <= 1_500 && !seen; seed++) seen = simulate({ ...calm, ...bug, seed }).violations.length > 0
    assert.ok(seen, bug.bug)
  }
})

// --- single rules, on a member `b` of the committee a, b, c, d with quorum 3

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
})

test.run()
