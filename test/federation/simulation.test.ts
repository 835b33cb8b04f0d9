import * as assert from 'uvu/assert'
import { PersistentMap } from '../../src/federation/persistent-map.ts'
import { type Link, preferred } from '../../src/federation/preference.ts'
import { Random } from '../../src/federation/simulator/random.ts'
import { type Scenario, scenarioOf } from '../../src/federation/simulator/scenario.ts'
import { simulateSeeds } from '../../src/federation/simulator/seeds.ts'
import { type Outcome, simulate } from '../../src/federation/simulator/simulation.ts'
import { VirtualTime } from '../../src/federation/simulator/virtual-time.ts'
import { suite } from '../suite.ts'
import { mistakes } from './planted.ts'

const test = suite('simulated rounds')

const calm: Scenario = {
  seed: 1,
  peers: 4,
  rounds: 4,
  faults: 'crash',
  committeeSize: 4,
  minimumTrainers: 1,
  lossPermille: 0,
  duplicatePermille: 0,
  maxDelayMs: 60,
  crashes: 0,
  tornPermille: 0,
  departures: 0,
  committeeDeaths: 0,
  lateJoiners: 0,
  slowPeers: 0,
  driftPermille: 0,
  partitions: 0,
  liars: 0,
}
const byzantine = { faults: 'byzantine', liars: 1, minimumTrainers: 2 } as const
const storms: Readonly<Record<string, Partial<Scenario>>> = {
  calm: { peers: 3 },
  'loss, duplicates and reordering': { lossPermille: 150, duplicatePermille: 100, maxDelayMs: 200 },
  'crashes that lose what is not synced': { crashes: 8, tornPermille: 2, lossPermille: 20 },
  'death between two effects': { peers: 3, tornPermille: 15, lossPermille: 50, maxDelayMs: 100 },
  'peers that leave for good and peers that come': { peers: 9, departures: 2, lateJoiners: 3, crashes: 3 },
  'slow peers, clocks of their own': { peers: 6, slowPeers: 2, driftPermille: 50, crashes: 2 },
  'a mesh that parts and meets again': { peers: 8, partitions: 3, maxDelayMs: 200 },
  'committees that die': { peers: 12, committeeDeaths: 3, minimumTrainers: 2 },
  'committees that die in a parted mesh': {
    peers: 12,
    committeeSize: 3,
    committeeDeaths: 2,
    partitions: 3,
    crashes: 6,
  },
  'a liar': { ...byzantine, lossPermille: 20 },
  'liars among crashes': { ...byzantine, peers: 10, liars: 3, crashes: 6, lossPermille: 20, duplicatePermille: 100 },
  'liars in a parted mesh': { ...byzantine, peers: 10, liars: 3, partitions: 2, committeeDeaths: 1 },
}
/** Seeds per storm; the whole takes some seconds. */
const seeds = 40

const told = (outcome: Outcome): string => `seed ${outcome.seed}\n${outcome.story.slice(-40).join('\n')}`

for (const [name, storm] of Object.entries(storms)) {
  test(`bear ${name}`, () => {
    for (let seed = 1; seed <= seeds; seed++) {
      const { violations, stalled } = simulate({ ...calm, ...storm, seed })
      if (violations.length === 0 && !stalled) continue
      assert.unreachable(told(simulate({ ...calm, ...storm, seed }, { trace: true })))
    }
  })
}

test('bear all of it at once', () => {
  for (let seed = 1; seed <= 30; seed++) {
    const { violations, stalled } = simulate(scenarioOf({ kind: 'all', seed, peers: 30, rounds: 4 }))
    assert.equal(violations, [], `seed ${seed}`)
    assert.not.ok(stalled, `seed ${seed}`)
  }
})

for (const [name, { rules, scenario }] of Object.entries(mistakes)) {
  test(`a planted mistake is found: ${name}`, () => {
    for (let seed = 1; seed <= 400; seed++) {
      if (simulate({ ...calm, ...scenario, seed }, { rules, patienceMs: 60_000 }).violations.length > 0) return
    }
    assert.unreachable('no seed shows it')
  })
}

test('a dead committee is replaced, and the same updates count', () => {
  let attempts = 0
  for (let seed = 1; seed <= 20; seed++) {
    const outcome = simulate({ ...calm, peers: 12, committeeDeaths: 2, seed })
    assert.is(outcome.roundsFinal, calm.rounds)
    if (outcome.highestAttempt > 0) attempts++
  }
  assert.ok(attempts > 5)
})

test('where two attempts are certified, the lower one stands and peers go back to it', () => {
  let undone = 0
  const parted = { peers: 12, committeeSize: 3, partitions: 6, maxDelayMs: 200, crashes: 9, duplicatePermille: 90 }
  for (let seed = 1; seed <= 60; seed++) {
    const outcome = simulate({ ...calm, ...parted, seed })
    assert.equal(outcome.violations, [])
    undone += outcome.undone
  }
  assert.ok(undone > 0)
})

test('a seed replays exactly, with and without its story, in a worker too', async () => {
  const init = { kind: 'all', seed: 77, peers: 20, rounds: 3 } as const
  const { story, ...outcome } = simulate(scenarioOf(init), { trace: true })
  const silent = simulate(scenarioOf(init))
  assert.equal({ ...silent, story: [] }, { ...outcome, story: [] })
  assert.ok(story.some((line) => /certifies round 3/.test(line)))
  const outcomes: Outcome[] = []
  const result = await simulateSeeds({
    ...init,
    seeds: [77, 78, 79],
    workers: 2,
    onOutcome: (one) => void outcomes.push(one),
  })
  assert.is(result.seeds, 3)
  assert.is(result.roundsFinal, 9)
  assert.equal(
    outcomes.find((one) => one.seed === 77),
    silent,
  )
})

test('a run that cannot go on is told from one that can', () => {
  // One of three goes for good, and three are needed to train.
  const outcomes = Array.from({ length: 10 }, (_, i) =>
    simulate(
      { ...calm, peers: 3, minimumTrainers: 3, departures: 1, rounds: 12, seed: i + 1 },
      { trace: true, patienceMs: 60_000 },
    ),
  )
  assert.ok(outcomes.some((outcome) => outcome.stalled && outcome.story.at(-1)?.includes('STALLED')))
})

test('of two chains the one with the lower attempt where they part is preferred, whatever is heard first', () => {
  const random = new Random(5)
  const chains: Link[][] = [[]]
  // A tree of chains: each goes on from another with any attempt.
  for (let i = 0; i < 60; i++) {
    const base = random.pick(chains)
    const attempt = random.integer(0, 3)
    const previous = base.at(-1)?.id ?? 'run'
    chains.push([...base, { round: base.length + 1, attempt, previous, id: `${previous}/${attempt}` }])
  }
  const best = chains.reduce((a, b) => [...preferred(a, b)])
  for (let i = 0; i < 50; i++) {
    const order = random.sample(chains, chains.length)
    assert.equal(
      order.reduce((a, b) => [...preferred(a, b)]),
      best,
    )
  }
  for (const a of chains) {
    for (const b of chains) assert.equal(preferred(a, b), preferred(b, a))
  }
  const link = (round: number, attempt: number, previous: string): Link => ({
    round,
    attempt,
    previous,
    id: `${previous}/${attempt}`,
  })
  const long = [link(1, 1, 'run'), link(2, 0, 'run/1'), link(3, 0, 'run/1/0')]
  assert.equal(preferred(long, [link(1, 0, 'run')]), [link(1, 0, 'run')])
})

test('versions of a persistent map stay what they were', () => {
  const random = new Random(9)
  const versions = [{ map: PersistentMap.of<number>([]), plain: new Map<string, number>() }]
  for (let i = 1; i <= 2_000; i++) {
    const { map, plain } = random.permille(900) ? versions.at(-1)! : random.pick(versions)
    const key = `k${random.integer(0, 40)}`
    const copy = new Map(plain)
    if (random.permille(700)) {
      copy.set(key, i)
      versions.push({ map: map.with(key, i), plain: copy })
    } else {
      copy.delete(key)
      versions.push({ map: map.without(key), plain: copy })
    }
    const { map: seen, plain: expected } = random.pick(versions)
    assert.is(seen.size, expected.size)
    assert.equal(seen.keys().sort(), [...expected.keys()].sort())
    assert.is(seen.get(key), expected.get(key))
    assert.is(seen.has(key), expected.has(key))
  }
})

test('virtual time runs what is due in order, and what is due at once in the order it was added', () => {
  const time = new VirtualTime()
  const seen: string[] = []
  time.after(5, () => seen.push('c'))
  time.after(1, () => {
    seen.push('a')
    time.after(0, () => seen.push('b'))
  })
  time.after(5, () => seen.push('d'))
  time.after(2_000_000, () => seen.push('never'))
  while (time.advance(1_000_000));
  assert.equal(seen, ['a', 'b', 'c', 'd'])
  assert.is(time.nowMs, 1_000_000)
  assert.is(time.events, 4)
})

test.run()
