import type { Faults } from '../committee.ts'
import { Random } from './random.ts'

/** Which kinds of fault a simulated mesh has to bear. */
export type FaultKind = 'none' | 'crash' | 'byzantine' | 'all'
export const faultKinds: readonly FaultKind[] = ['none', 'crash', 'byzantine', 'all']

/** A simulated run and what befalls it. All of it follows from the seed. */
export interface Scenario {
  readonly seed: number
  /** On the first roster; `lateJoiners` come on top. */
  readonly peers: number
  readonly rounds: number
  /** What the run is made to bear: whether its quorums allow for liars. */
  readonly faults: Faults
  readonly committeeSize: number
  readonly minimumTrainers: number
  readonly lossPermille: number
  readonly duplicatePermille: number
  readonly maxDelayMs: number
  /** Crashes of single peers, each of which comes back. */
  readonly crashes: number
  /** The chance to die between two effects of one step of a committee's member. */
  readonly tornPermille: number
  /** Peers that leave for good. */
  readonly departures: number
  /** Times that a quorum of the committee under way dies at once; its members come back late, or never. */
  readonly committeeDeaths: number
  readonly lateJoiners: number
  /** Peers that train slowly and whose messages take seconds. */
  readonly slowPeers: number
  /** Clocks run at rates up to so far from true. */
  readonly driftPermille: number
  readonly partitions: number
  /** Peers that lie; never more in one committee than the run must bear. */
  readonly liars: number
}

const calm = {
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

export interface ScenarioInit {
  readonly kind: FaultKind
  readonly seed: number
  readonly peers: number
  readonly rounds: number
}

/** Of each kind of fault some seeds have much, some little, and some none: what goes wrong together is tried in many ways. */
export function scenarioOf({ kind, seed, peers, rounds }: ScenarioInit): Scenario {
  const random = new Random(seed)
  const lying = kind === 'byzantine' || (kind === 'all' && random.permille(700))
  const faults: Faults = lying && peers >= 4 ? 'byzantine' : 'crash'
  const committeeSize = faults === 'byzantine' ? (peers >= 7 && random.permille(300) ? 7 : 4) : random.pick([3, 4, 5])
  const base = {
    ...calm,
    seed,
    peers,
    rounds,
    faults,
    committeeSize,
    minimumTrainers: Math.max(1, Math.floor(peers / 4)),
  }
  if (kind === 'none') return base
  const some = (chance: number, most: number): number => (random.permille(chance) ? random.integer(1, most + 1) : 0)
  // A third of the peers may be away for good and the rest still be a quorum of the roster.
  const few = Math.max(1, Math.floor(peers / 10))
  const weather = {
    lossPermille: some(500, 100),
    duplicatePermille: some(500, 100),
    maxDelayMs: random.pick([20, 60, 200, 800]),
    driftPermille: some(300, 50),
    slowPeers: some(300, few),
    lateJoiners: some(300, Math.min(few, 20)),
  }
  const failures = {
    crashes: some(700, Math.min(peers, 60)),
    tornPermille: some(300, 6),
    departures: peers > 4 ? some(400, few) : 0,
    // Half of four peers are a quorum of their committee and more than the run can do without.
    committeeDeaths: peers > 2 * committeeSize ? some(400, 2) : 0,
    partitions: some(400, 2),
  }
  const lies = { liars: faults === 'byzantine' ? some(900, Math.max(1, Math.min(Math.floor((peers - 1) / 5), 40))) : 0 }
  if (kind === 'crash') return { ...base, ...weather, ...failures }
  if (kind === 'byzantine') return { ...base, ...weather, ...lies }
  return { ...base, ...weather, ...failures, ...lies }
}
