import type { Draft, Effect, Event } from './round-state.ts'
import type { Notice } from './statements.ts'

/**
 * Bringing the own update to the whole committee. It is pushed until every member has it or will never take it: any of
 * them may be the one that lives. Once a quorum has it, it is accepted.
 */

const firstRetryMs = 500
const maxRetryMs = 3_000
/** These may change; any other outcome is the member's last word. */
const retried: ReadonlySet<string> = new Set(['closed', 'behind', 'unreachable', 'timeout', 'busy', 'internal_error'])

export function onTrained(state: Draft, effects: Effect[], nowMs: number, notice: Notice): void {
  if (state.delivery !== null) return
  state.delivery = {
    notice,
    stored: [],
    underWay: [],
    refused: [],
    accepted: false,
    attempts: 0,
    nextMs: nowMs,
  }
  deliver(state, effects, nowMs)
}

export function deliver(state: Draft, effects: Effect[], nowMs: number): void {
  const { delivery } = state
  if (delivery === null || nowMs < delivery.nextMs) return
  const done = new Set([...delivery.stored, ...delivery.underWay, ...delivery.refused, state.config.self])
  const to = state.config.committee.filter((member) => !done.has(member))
  if (to.length === 0) return
  state.delivery = {
    ...delivery,
    underWay: [...delivery.underWay, ...to],
    attempts: delivery.attempts + 1,
    nextMs: nowMs + Math.min(maxRetryMs, firstRetryMs * 2 ** Math.min(delivery.attempts, 8)),
  }
  effects.push({ type: 'push', to, notice: delivery.notice })
}

export function onPushed(state: Draft, effects: Effect[], event: Extract<Event, { type: 'pushed' }>): void {
  const { delivery } = state
  if (delivery === null || delivery.notice.update !== event.update) return
  const { member, outcome } = event
  const underWay = delivery.underWay.filter((peer) => peer !== member)
  if (outcome === 'stored') {
    state.delivery = { ...delivery, underWay }
    countStored(state, effects, member)
  } else if (retried.has(outcome)) {
    state.delivery = { ...delivery, underWay }
  } else {
    // `late` comes with a certificate; anything else is a verdict on the update.
    if (outcome !== 'late') effects.push({ type: 'rejected', trainer: delivery.notice.trainer, code: outcome })
    state.delivery = { ...delivery, underWay, refused: [...new Set([...delivery.refused, member])] }
  }
}

/** The member holds the own update durably. */
export function countStored(state: Draft, effects: Effect[], member: string): void {
  const { delivery } = state
  if (delivery === null || delivery.stored.includes(member)) return
  const stored = [...delivery.stored, member]
  const accepted = stored.length >= state.config.quorum
  state.delivery = { ...delivery, stored, accepted }
  if (accepted && !delivery.accepted) effects.push({ type: 'accepted', notice: delivery.notice })
}
