/**
 * A mesh of simulated peers, in virtual time and from a seed: the same machine and the same rules as in production, with a
 * network that delays, loses, doubles and parts, disks that lose what is not synced, clocks that run at their own
 * rates, peers that come, die and leave, and peers that lie. What must always hold is watched at each event, and a
 * seed that breaks it is a bug report that replays exactly.
 *
 * @example
 * const scenario = scenarioOf({ kind: 'all', seed: 7, peers: 100, rounds: 5 })
 * const { violations, story } = simulate(scenario, { trace: true })
 */
export { productionRules, type Rules } from './rules.ts'
export { type FaultKind, faultKinds, type Scenario, type ScenarioInit, scenarioOf } from './scenario.ts'
export { type SeedsInit, type SeedsResult, simulateSeeds } from './seeds.ts'
export { type Outcome, type SimulateInit, simulate } from './simulation.ts'
