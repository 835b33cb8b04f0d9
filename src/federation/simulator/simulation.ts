import { Invariants } from './invariants.ts'
import { Liar, type Lie, lies } from './liar.ts'
import { SimNetwork } from './network.ts'
import { SimPeer } from './peer.ts'
import { productionRules, type Rules } from './rules.ts'
import type { Scenario } from './scenario.ts'
import { Story } from './story.ts'
import { Weather } from './weather.ts'
import { World } from './world.ts'

/** After the weather has cleared, a run that can end has ended after so long: an attempt at the first round may take minutes, and its
 * committee may be one that cannot agree once more. */
const patience = { onceMs: 7_200_000, perRoundMs: 240_000 }

export interface Outcome {
  readonly seed: number
  readonly violations: readonly string[]
  /** Not all peers had the whole chain in time. */
  readonly stalled: boolean
  readonly roundsFinal: number
  /** In the rounds, times a leader was passed over; and rounds that a peer undid to follow a lower attempt. */
  readonly passedOver: number
  readonly undone: number
  readonly highestAttempt: number
  readonly acceptedUpdates: number
  readonly virtualMs: number
  readonly events: number
  readonly story: readonly string[]
}

export interface SimulateInit {
  /** What peers go by, if not production's rules: a test's planted mistakes. */
  readonly rules?: Rules
  /** Tell the story. */
  readonly trace?: boolean
  /** How long after the last fault a run may take to end, beside its rounds. */
  readonly patienceMs?: number
}

/**
 * A run of several rounds among peers that exist in memory alone, in virtual time, from a seed: the machine and the rules
 * that production runs, with the network, the disks, the clocks and some of the peers against them. What must always
 * hold is watched at each event. Equal scenarios give equal outcomes.
 */
export function simulate(
  scenario: Scenario,
  { rules = productionRules, trace = false, patienceMs = patience.onceMs }: SimulateInit = {},
): Outcome {
  const story = new Story(trace)
  const world = new World(scenario, rules, story)
  const network = new SimNetwork(world)
  const invariants = new Invariants(world)
  const peers = new Map<string, SimPeer>()
  const peer = (name: string): SimPeer => peers.get(name) as SimPeer
  for (const name of world.names) {
    const rate = 1 + ((world.random.next() * 2 - 1) * scenario.driftPermille) / 1000
    const liar = world.liars.has(name)
      ? new Liar(world, world.random.sample<Lie>(lies, world.random.integer(1, 5)))
      : null
    if (liar !== null) world.tell(() => `${world.short(name)} is a liar: ${liar.kinds.join(', ')}`)
    peers.set(name, new SimPeer(name, { world, network, invariants, peer, liar, rate }))
  }
  // All are there before the first looks round.
  for (const name of world.names.slice(0, scenario.peers)) network.setUp(name, true)
  for (const name of world.names.slice(0, scenario.peers)) peer(name).start()
  const weather = new Weather(world, network, peers)
  weather.begin()

  const honest = [...peers.values()].filter(({ name }) => !world.liars.has(name))
  const endMs = weather.clearMs + patienceMs + patience.perRoundMs * scenario.rounds
  const { time } = world
  const lastOf = (one: SimPeer): string | undefined => one.disk.chain[scenario.rounds - 1]?.value.id
  const expected = (): SimPeer[] => honest.filter((one) => weather.isExpected(one.name))
  const haveEnded = (): boolean => expected().every((one) => one.isUp && lastOf(one) !== undefined)
  const agree = (): boolean => new Set(expected().map(lastOf)).size === 1
  let finished = false
  let checkedMs = 0
  while (invariants.violations.length === 0 && !finished && time.advance(endMs)) {
    if (time.nowMs - checkedMs < 250) continue
    checkedMs = time.nowMs
    // Late lies may come after the last round; bad weather too.
    finished = invariants.certifiedRounds >= scenario.rounds && haveEnded() && agree()
  }
  if (finished || haveEnded()) invariants.onEnd(expected().map((one) => one.disk.chain))
  else if (invariants.violations.length === 0) world.tell(() => 'STALLED')
  const all = [...peers.values()]
  return {
    seed: scenario.seed,
    violations: invariants.violations,
    stalled: !finished && invariants.violations.length === 0,
    roundsFinal: Math.min(...expected().map((one) => one.disk.chain.length)),
    passedOver: all.reduce((sum, one) => sum + one.passedOver, 0),
    undone: all.reduce((sum, one) => sum + one.undone, 0),
    highestAttempt: invariants.highestAttempt,
    acceptedUpdates: invariants.acceptedUpdates,
    virtualMs: time.nowMs,
    events: time.events,
    story: story.lines,
  }
}
