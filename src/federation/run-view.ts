import { peerIdFromString } from '@libp2p/peer-id'
import { CID } from 'multiformats/cid'
import type { Network } from '../network/index.ts'
import { lossUnit } from '../training/index.ts'
import { leaderOf } from './certificate.ts'
import type { Chain } from './chain.ts'
import { type Control, isOver, lastRoundOf } from './control.ts'
import type { RunStatus, RunView } from './index.ts'
import { phaseOf } from './machine.ts'
import type { RoundDriver } from './round-driver.ts'
import type { RoundNotes } from './round-notes.ts'
import type { Run } from './specification.ts'

export interface Viewed {
  readonly run: Run
  readonly self: string
  readonly chain: Chain
  /** The round under way, if there is one. */
  readonly round: RoundDriver | null
  readonly control: Control | null
  readonly notes: RoundNotes
  readonly parameters: number
  readonly network: Network
  readonly nowMs: number
}

/** A run as it is shown to people and programs. */
export function viewOf(viewed: Viewed): RunView {
  const { run, chain, round, control, notes, parameters } = viewed
  const { specification, id, owner } = run
  const { head } = chain
  const finished = isOver(run, control, head.round)
  const committee = round?.election.committee ?? chain.last()?.committee ?? []
  return {
    id,
    name: specification.name,
    owner,
    status: statusOf(viewed),
    totalRounds: specification.rounds,
    round: finished ? head.round : head.round + 1,
    phase: round === null ? 'certified' : phaseOf(round.state),
    leader: round === null ? null : leaderOf(committee, round.state.view),
    committee,
    roster: head.roster.map((place) => place.peer),
    rounds: chain.rounds(),
    initialLoss: chain.measured(specification.initial.toString()).heldOutLoss,
    unit: lossUnit(specification.fields).unit,
    parameters,
    observed: notes.view(),
    specification: factsOf(run),
    control: control && { action: control.action, last: control.last, sequence: control.sequence },
  }
}

const facts = new WeakMap<Run, Readonly<Record<string, unknown>>>()

/** Views are made several times a second, and a run does not change. */
function factsOf(run: Run): Readonly<Record<string, unknown>> {
  const known = facts.get(run)
  if (known !== undefined) return known
  const { roster: _, ...rest } = run.specification
  const made = Object.fromEntries(
    Object.entries(rest).map(([name, value]) => [name, CID.asCID(value)?.toString() ?? value]),
  )
  facts.set(run, made)
  return made
}

function statusOf({ run, chain, round, control, self, network, nowMs }: Viewed): RunStatus {
  if (isOver(run, control, chain.head.round)) return control?.action === 'cancel' ? 'cancelled' : 'finished'
  if (round === null) return chain.head.round >= lastRoundOf(run, control) ? 'paused' : 'waiting'
  const { committee, quorum } = round.election
  const { timing } = round.state.config
  const up = committee.filter((peer) => peer === self || network.isConnected(peerIdFromString(peer)))
  const late = nowMs - round.startedMs > 2 * (timing.collectMs + timing.agreeMs)
  const alone = committee.includes(self) && up.length < quorum
  if (!late && !alone) return 'training'
  return chain.head.round === 0 ? 'waiting' : 'stalled'
}
