import { leaderOf } from './certificate.ts'
import type { Draft, Effect, MemberRecord, RoundState } from './round-state.ts'

/**
 * Which view this member is in. A view belongs to one leader. A leader that is gone, late or wrong is passed over by
 * moving to the next view; what was prepared or locked moves along.
 */

/** A closed connection may be a blip; longer than this, the leader is taken for dead. */
export const leaderGoneMs = 300
/** The patience with a leader doubles with each view, at most so often. */
export const maxDoublings = 5

export type RoundPhaseName = 'training' | 'collecting' | 'voting' | 'certified'

export function isMember(state: RoundState): boolean {
  return state.config.committee.includes(state.config.self)
}

const rosters = new WeakMap<readonly string[], ReadonlySet<string>>()

/** Whether the peer is on the roster. Asked for each update of a thousand: the list's set is kept as long as the list. */
export function trainsIn(state: RoundState, peer: string): boolean {
  const { roster } = state.config
  let peers = rosters.get(roster)
  if (peers === undefined) {
    peers = new Set(roster)
    rosters.set(roster, peers)
  }
  return peers.has(peer)
}

export function others(state: RoundState): string[] {
  return state.config.committee.filter((peer) => peer !== state.config.self)
}

export function recordOf(state: RoundState): MemberRecord {
  return { view: state.view, prepared: state.prepared, lock: state.lock }
}

export function phaseOf(state: RoundState): RoundPhaseName {
  if (state.certified) return 'certified'
  if (state.proposal !== null || state.prepared !== null || state.lock !== null) return 'voting'
  return state.config.trains && state.delivery === null ? 'training' : 'collecting'
}

export function isGone(state: RoundState, peer: string, forMs: number, nowMs: number): boolean {
  const sinceMs = state.goneSinceMs.get(peer)
  return sinceMs !== undefined && nowMs >= sinceMs + forMs
}

/** Until when the trainers have time. */
export function collectUntilMs(state: RoundState): number {
  return state.startedMs + state.config.timing.collectMs
}

export function passOverIfLate(state: Draft, effects: Effect[], nowMs: number): void {
  if (state.givenUp !== null) return
  // Without a quorum in reach no view can succeed; moving on alone would only lead away from the others.
  if (present(state, nowMs).length < state.config.quorum) return
  const { committee, self, timing } = state.config
  const leader = leaderOf(committee, state.view)
  if (leader !== self && isGone(state, leader, leaderGoneMs, nowMs)) {
    for (let view = state.view + 1; view <= state.view + committee.length; view++) {
      const next = leaderOf(committee, view)
      if (next !== self && isGone(state, next, leaderGoneMs, nowMs)) continue
      moveTo(state, effects, nowMs, view)
      return
    }
  }
  // A leader without enough updates cannot do anything: its time runs only when it could.
  const enough = state.held.size >= state.config.minimumTrainers
  if (!enough && state.prepared === null && state.lock === null) return
  const patienceMs = timing.agreeMs * 2 ** Math.min(state.view, maxDoublings)
  if (nowMs >= Math.max(collectUntilMs(state), state.viewSinceMs) + patienceMs) {
    moveTo(state, effects, nowMs, state.view + 1)
  }
}

/**
 * When too many members are ahead for those left in this view to be a quorum, this one goes along. As long as they are
 * a quorum it stays: those ahead could be liars, or have lost their own connection.
 */
export function moveIfOvertaken(state: Draft, effects: Effect[], nowMs: number): void {
  if (state.givenUp !== null) return
  const { quorum, self } = state.config
  const staying = present(state, nowMs).filter((peer) => peer === self || (state.heard[peer] ?? 0) <= state.view)
  if (staying.length >= quorum) return
  const ahead = Object.values(state.heard)
    .filter((view) => view > state.view)
    .sort((a, b) => b - a)
  // The highest view in which a quorum would be together, or else the nearest one ahead.
  const view = ahead[quorum - 2] ?? ahead.at(-1)
  if (view !== undefined) moveTo(state, effects, nowMs, view)
}

/** The members that can be talked to, self included. */
export function present(state: RoundState, nowMs: number, forMs = leaderGoneMs): string[] {
  return state.config.committee.filter((peer) => !isGone(state, peer, forMs, nowMs))
}

export function moveTo(state: Draft, effects: Effect[], nowMs: number, view: number): void {
  if (view <= state.view) return
  const { committee } = state.config
  const leader = leaderOf(committee, state.view)
  state.view = view
  state.viewSinceMs = nowMs
  state.proposal = null
  state.leading = null
  state.sentMs = nowMs
  effects.push({ type: 'persist', record: recordOf(state) })
  effects.push({ type: 'send', to: others(state), message: { kind: 'moved', view } })
  effects.push({ type: 'passed-over', leader, next: leaderOf(committee, view) })
}
