import { countStored } from './machine-trainer.ts'
import { isMember, trainsIn } from './machine-views.ts'
import type { Draft, Effect, RoundState } from './round-state.ts'
import type { Notice } from './statements.ts'

/**
 * Taking updates in. The law that keeps an accepted update in the certificate (rules 11 to 14 of protocols/rounds): a member
 * that has sent a prepare vote acknowledges nothing more in the round, and sends none for a fresh value that leaves
 * out an update it has acknowledged. An accepted update is acknowledged by a quorum, a value is prepared by a quorum,
 * and the two share a member that does not lie.
 */

/** Between its report and the end of that view a member takes nothing, so that the leader's list stays complete. */
export function isOpen(state: RoundState): boolean {
  return (
    isMember(state) &&
    !state.certified &&
    state.givenUp === null &&
    state.prepared === null &&
    state.lock === null &&
    state.reportedView !== state.view
  )
}

export function onOffered(state: Draft, effects: Effect[], notice: Notice): void {
  const outcome = judge(state, notice)
  if (outcome === null) effects.push({ type: 'store', notice })
  else answer(effects, notice, outcome)
}

export function onStored(state: Draft, effects: Effect[], notice: Notice, code: string | null): void {
  if (code !== null) {
    answer(effects, notice, code)
    effects.push({ type: 'rejected', trainer: notice.trainer, code })
    return
  }
  // It may have closed in the meantime.
  const outcome = judge(state, notice)
  if (outcome === null) {
    state.held = state.held.with(notice.trainer, notice)
    effects.push({ type: 'hold', notice })
  }
  answer(effects, notice, outcome ?? 'stored')
}

/** A member's own update is durable already: it is acknowledged as soon as the intake is open. */
export function takeOwn(state: Draft, effects: Effect[]): void {
  const notice = state.delivery?.notice
  if (notice === undefined || state.delivery?.stored.includes(state.config.self)) return
  if (!state.held.has(notice.trainer)) {
    if (!isOpen(state) || !trainsIn(state, notice.trainer)) return
    state.held = state.held.with(notice.trainer, notice)
    effects.push({ type: 'hold', notice })
  }
  if (isMember(state)) countStored(state, effects, state.config.self)
}

/** Null when it may be stored. */
function judge(state: RoundState, notice: Notice): string | null {
  if (!isMember(state)) return 'not_in_committee'
  if (!trainsIn(state, notice.trainer)) return 'not_in_roster'
  const held = state.held.get(notice.trainer)
  if (held !== undefined) return held.update === notice.update ? 'stored' : 'equivocation'
  return isOpen(state) ? null : 'closed'
}

function answer(effects: Effect[], notice: Notice, outcome: string): void {
  effects.push({ type: 'answer', notice, outcome })
}
