import { leaderOf } from './certificate.ts'
import { collectUntilMs, isGone, isMember, maxDoublings, moveTo, others, recordOf } from './machine-views.ts'
import { acceptProposal, reportOf } from './machine-votes.ts'
import type { Draft, Effect, Lock, Message } from './round-state.ts'
import type { Join, Notice } from './statements.ts'

/**
 * The leader of a view: waits for the trainers, asks a quorum what it holds, and proposes either the value that may
 * have been decided before or the union of what they hold.
 */

/** A trainer whose connection has been closed for so long is not waited for: a dead one costs a round this much. */
const trainerGoneMs = 1_000
/**
 * With a quorum's reports in hand, the other members that are connected have so long to add theirs: a part of the agreeing
 * time, doubled with each view. Who is not heard may hold an update, and would vote for no list without it.
 */
const reportPatience = { leastMs: 200, ofAgreeing: 1 / 8 }

/** Takes whatever next step the leader can take. */
export function leadIfReady(state: Draft, effects: Effect[], nowMs: number): void {
  if (
    state.certified ||
    state.givenUp !== null ||
    !isMember(state) ||
    leaderOf(state.config.committee, state.view) !== state.config.self
  )
    return
  if (state.leading === null && state.proposal === null && isTimeToClose(state, nowMs)) close(state, effects, nowMs)
  if (state.leading?.stage === 'closing') propose(state, effects, nowMs)
}

function isTimeToClose(state: Draft, nowMs: number): boolean {
  // Once this member has voted it takes no more updates: waiting brings nothing.
  if (state.prepared !== null || state.lock !== null) return true
  const { roster, minimumTrainers, self } = state.config
  if (state.held.size < minimumTrainers) return false
  if (nowMs >= collectUntilMs(state)) return true
  // Cheaper than to look at each of a thousand.
  if (state.held.size + state.goneSinceMs.size + 1 < roster.length) return false
  return roster.every(
    (peer) =>
      state.held.has(peer) ||
      // A peer that keeps no data of its own in the run will bring nothing.
      (peer === self ? !state.config.trains : isGone(state, peer, trainerGoneMs, nowMs)),
  )
}

function close(state: Draft, effects: Effect[], nowMs: number): void {
  const { view } = state
  state.reportedView = view
  state.leading = { stage: 'closing', sinceMs: nowMs, reports: { [state.config.self]: reportOf(state) } }
  state.sentMs = nowMs
  effects.push({ type: 'send', to: others(state), message: { kind: 'close', view } })
}

export function onReport(
  state: Draft,
  effects: Effect[],
  nowMs: number,
  from: string,
  report: Extract<Message, { kind: 'report' }>,
): void {
  if (state.leading?.stage !== 'closing' || report.view !== state.view) return
  state.leading = { ...state.leading, reports: { ...state.leading.reports, [from]: report } }
  propose(state, effects, nowMs)
}

function propose(state: Draft, effects: Effect[], nowMs: number): void {
  if (state.leading?.stage !== 'closing') return
  const { reports, sinceMs } = state.leading
  const { committee, quorum } = state.config
  if (Object.keys(reports).length < quorum) return
  const awaited = committee.filter((peer) => !(peer in reports) && !isGone(state, peer, 0, nowMs))
  if (awaited.length > 0 && nowMs < sinceMs + reportPatienceMs(state)) return

  const all = Object.values(reports)
  const lock = all.reduce<Lock | null>(
    (best, { lock: next }) => (next !== null && (best === null || next.view > best.view) ? next : best),
    null,
  )
  if (lock !== null) {
    const justify = { view: lock.view, value: lock.value.id, votes: lock.votes }
    state.leading = { stage: 'aggregating' }
    // Others recomputed it before; this member may not have.
    acceptProposal(state, effects, { kind: 'proposal', view: state.view, value: lock.value, justify })
    return
  }
  state.leading = { stage: 'aggregating' }
  const updates = union(all.flatMap((report) => report.held))
  const joins = new Map<string, Join>()
  for (const join of all.flatMap((report) => report.joins)) joins.set(join.peer, join)
  effects.push({ type: 'aggregate', view: state.view, updates, joins: [...joins.values()] })
}

function reportPatienceMs({ config, view }: Draft): number {
  const { leastMs, ofAgreeing } = reportPatience
  return Math.max(leastMs, config.timing.agreeMs * ofAgreeing * 2 ** Math.min(view, maxDoublings))
}

/** One update per trainer. Of two by one trainer, which only a liar makes, the lower CID: everybody picks the same. */
function union(notices: readonly Notice[]): Notice[] {
  const byTrainer = new Map<string, Notice>()
  for (const notice of notices) {
    const known = byTrainer.get(notice.trainer)
    if (known === undefined || notice.update < known.update) byTrainer.set(notice.trainer, notice)
  }
  return [...byTrainer.values()]
}

export function onAggregated(
  state: Draft,
  effects: Effect[],
  nowMs: number,
  view: number,
  value: NonNullable<Draft['proposal']>['value'] | null,
): void {
  if (view !== state.view || state.leading?.stage !== 'aggregating' || state.proposal !== null) return
  // Too few of the updates could be had: another leader may do better.
  if (value === null) {
    moveTo(state, effects, nowMs, view + 1)
    return
  }
  state.values = { ...state.values, [value.id]: value }
  state.proposal = { value, justify: null, status: 'verified' }
  sendProposal(state, effects, nowMs)
}

/** The own prepare vote is on disk before the proposal leaves: after a restart the leader can only repeat it. */
export function sendProposal(state: Draft, effects: Effect[], nowMs: number): void {
  const { proposal, view } = state
  if (proposal === null) return
  const { value, justify } = proposal
  state.prepared = { view, value, justify }
  state.leading = { stage: 'proposed', proposal: { kind: 'proposal', view, value, justify } }
  state.sentMs = nowMs
  effects.push({ type: 'persist', record: recordOf(state) })
  effects.push({ type: 'send', to: others(state), message: state.leading.proposal })
  effects.push({ type: 'vote', phase: 'prepare', view, value: value.id })
}
