import { leaderOf, type Value } from './certificate.ts'
import { sendProposal } from './machine-leader.ts'
import { moveTo, recordOf } from './machine-views.ts'
import type { Draft, Effect, Event, Message, QuorumProof } from './round-state.ts'
import type { Vote } from './statements.ts'

/**
 * Agreement on one value per round: prepare and commit votes in views, with a lock (Castro and Liskov 1999; the lock
 * rule as in HotStuff, Yin et al. 2019). A member votes to prepare at most once per view and in rising views only; it
 * commits what a quorum has prepared, and from then on prepares nothing else unless shown a later quorum for it.
 */

/** Votes of views further ahead are dropped: a liar must not fill the memory. */
const maxViewsAhead = 32

/** Tells the leader of this view what this member holds, and takes nothing more until the view is over. */
export function report(state: Draft, effects: Effect[], leader: string): void {
  if (state.givenUp !== null) return
  state.reportedView = state.view
  effects.push({ type: 'send', to: [leader], message: reportOf(state) })
}

export function reportOf(state: Draft): Extract<Message, { kind: 'report' }> {
  const { view, held, joins, lock, prepared } = state
  // It has the bytes of all that it has prepared, too.
  const known = new Map((prepared?.value.updates ?? []).map((notice) => [notice.trainer, notice]))
  for (const notice of held.values()) known.set(notice.trainer, notice)
  return { kind: 'report', view, held: [...known.values()], joins: joins.values(), lock }
}

export function onProposal(
  state: Draft,
  effects: Effect[],
  nowMs: number,
  from: string,
  proposal: Extract<Message, { kind: 'proposal' }>,
): void {
  const { view } = proposal
  if (state.givenUp !== null || from !== leaderOf(state.config.committee, view)) return
  if (view < state.view) {
    effects.push({ type: 'send', to: [from], message: { kind: 'moved', view: state.view } })
    return
  }
  // Later views are joined by `moveIfOvertaken` alone; the leader will say it again.
  if (view > state.view || state.proposal !== null) return
  if (state.prepared !== null && state.prepared.view >= view) return
  const code = objection(state, proposal.value, proposal.justify)
  if (code !== null) {
    effects.push({ type: 'refused', leader: from, code })
    moveTo(state, effects, nowMs, view + 1)
    return
  }
  acceptProposal(state, effects, proposal)
}

export function acceptProposal(
  state: Draft,
  effects: Effect[],
  proposal: Extract<Message, { kind: 'proposal' }>,
): void {
  const { value, justify, view } = proposal
  state.values = { ...state.values, [value.id]: value }
  state.proposal = { value, justify, status: 'verifying' }
  effects.push({ type: 'verify', view, value })
}

export function onVerified(
  state: Draft,
  effects: Effect[],
  nowMs: number,
  event: Extract<Event, { type: 'verified' }>,
): void {
  const { proposal, view } = state
  if (
    state.givenUp !== null ||
    event.view !== view ||
    proposal?.value.id !== event.value ||
    proposal.status !== 'verifying'
  )
    return
  // What this member holds may have grown while it recomputed.
  const code = event.code ?? objection(state, proposal.value, proposal.justify)
  if (code !== null) {
    state.proposal = { ...proposal, status: 'refused' }
    effects.push({ type: 'refused', leader: leaderOf(state.config.committee, view), code })
    moveTo(state, effects, nowMs, view + 1)
    return
  }
  state.proposal = { ...proposal, status: 'verified' }
  if (leaderOf(state.config.committee, view) === state.config.self) {
    sendProposal(state, effects, nowMs)
    return
  }
  state.prepared = { view, value: proposal.value, justify: proposal.justify }
  effects.push({ type: 'persist', record: recordOf(state) })
  effects.push({ type: 'vote', phase: 'prepare', view, value: proposal.value.id })
  commitIfPrepared(state, effects)
}

/** Why this member will not prepare the value, or null. */
function objection(state: Draft, value: Value, justify: QuorumProof | null): string | null {
  const { lock } = state
  if (justify === null) {
    if (lock !== null && lock.value.id !== value.id) return 'locked'
    const included = new Map(value.updates.map((notice) => [notice.trainer, notice.update]))
    for (const held of state.held.values()) {
      const update = included.get(held.trainer)
      // A trainer that signed two updates has no claim to either.
      if (update === undefined || update > held.update) return 'omits_update'
    }
    return null
  }
  if (justify.value !== value.id || justify.view >= state.view) return 'wrong_justification'
  return lock !== null && lock.value.id !== value.id && justify.view <= lock.view ? 'locked' : null
}

export function onVote(state: Draft, effects: Effect[], vote: Vote): void {
  if (vote.view > state.view + maxViewsAhead || !state.config.committee.includes(vote.voter)) return
  const key = voteKey(vote.view, vote.phase, vote.value)
  const known = state.votes[key] ?? {}
  if (vote.voter in known) return
  // One vote per member, view and phase: the first one counts, a second one is a lie.
  const prefix = `${vote.view}/${vote.phase}/`
  if (Object.entries(state.votes).some(([other, votes]) => other.startsWith(prefix) && vote.voter in votes)) return
  state.votes = { ...state.votes, [key]: { ...known, [vote.voter]: vote } }
  if (vote.phase === 'prepare') commitIfPrepared(state, effects)
  else certifyIfCommitted(state, effects, vote)
}

function commitIfPrepared(state: Draft, effects: Effect[]): void {
  const { prepared, view, lock, config } = state
  if (state.givenUp !== null || prepared === null || prepared.view !== view || (lock !== null && lock.view >= view))
    return
  const votes = Object.values(state.votes[voteKey(view, 'prepare', prepared.value.id)] ?? {})
  if (votes.length < config.quorum) return
  state.lock = { view, value: prepared.value, votes: byVoter(votes) }
  effects.push({ type: 'persist', record: recordOf(state) })
  effects.push({ type: 'vote', phase: 'commit', view, value: prepared.value.id })
}

function certifyIfCommitted(state: Draft, effects: Effect[], { view, value, voter }: Vote): void {
  const votes = Object.values(state.votes[voteKey(view, 'commit', value)] ?? {})
  if (votes.length < state.config.quorum) return
  const known = state.values[value]
  if (known === undefined) {
    effects.push({ type: 'catch-up', from: voter })
    return
  }
  state.certified = true
  effects.push({ type: 'certify', value: known, view, votes: byVoter(votes) })
}

function voteKey(view: number, phase: Vote['phase'], value: string): string {
  return `${view}/${phase}/${value}`
}

function byVoter(votes: readonly Vote[]): Vote[] {
  return [...votes].sort((a, b) => (a.voter < b.voter ? -1 : 1))
}
