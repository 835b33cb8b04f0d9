import { isGone, isMember, maxDoublings, present, trainsIn } from './machine-views.ts'
import { PersistentMap } from './persistent-map.ts'
import type { Draft, Effect, RoundState } from './round-state.ts'
import type { Abandon } from './statements.ts'

/**
 * The next attempt. A committee of which a quorum is gone for good certifies nothing any more, and nobody can tell it from
 * one that is only cut off. So those who train decide: each peer of the roster that has seen no certificate for too
 * long gives the attempt up by its signature, and once a quorum of the roster has, the next attempt's committee takes
 * over, with the same updates. A peer that has given an attempt up never votes in it again. See decision 0008.
 */

/** An attempt's number has an end on the wire. */
export const maxAttempt = 1_000
/** Statements on attempts further ahead are dropped: a liar must not fill the memory. */
const maxAttemptsAhead = 8
/** A committee without a quorum is given up after so many times the agreeing time-out. */
const goneFactor = 2
/**
 * The patience with an attempt doubles with so many: small rosters have few committees, and the next may be no better than
 * the last, whatever time it is given.
 */
const attemptsPerDoubling = 4
/** What was given up is said again so often; each time to the committees of twice as many attempts, up to a limit. */
const repeatMs = 1_000
const maxRepeatDoublings = 5

/** Gives the attempt up when nothing can come of it any more, and says so until the next one begins. */
export function giveUpIfDead(state: Draft, effects: Effect[], nowMs: number): void {
  const { attempt, self } = state.config
  if (!trainsIn(state, self) || attempt >= maxAttempt) return
  if (state.givenUp === null) {
    if (!isHopeless(state, nowMs)) return
    state.givenUp = { sentMs: nowMs, times: 0 }
  } else if (nowMs - state.givenUp.sentMs >= repeatMs) {
    state.givenUp = { sentMs: nowMs, times: state.givenUp.times + 1 }
  } else return
  effects.push({ type: 'abandon', attempt, committees: 2 ** Math.min(state.givenUp.times, maxRepeatDoublings) })
}

function isHopeless(state: RoundState, nowMs: number): boolean {
  const { committee, roster, quorum, self, timing, trains, attempt } = state.config
  // Every attempt would have the same members.
  if (committee.length >= roster.length) return false
  // Nobody hears a lonely peer: it would only leave a committee that it may be missed in.
  if (roster.every((peer) => peer === self || isGone(state, peer, 0, nowMs))) return false
  if (present(state, nowMs, goneFactor * timing.agreeMs).length < quorum) return true
  if (isMember(state) && stillIn(state).length < quorum) return true
  // Every member has had its turn to lead. A peer that has not trained yet is no reason to give up on others.
  if (trains && state.delivery === null) return false
  const turns = committee.reduce((sum, _, view) => sum + 2 ** Math.min(view, maxDoublings), 0)
  const patienceMs = timing.collectMs + timing.agreeMs * turns
  return nowMs >= state.startedMs + patienceMs * 2 ** Math.min(Math.floor(attempt / attemptsPerDoubling), maxDoublings)
}

/** The members that are not known to have given the attempt up. */
function stillIn(state: RoundState): string[] {
  const { attempt, committee } = state.config
  return committee.filter((peer) => state.abandons[attempt]?.has(peer) !== true)
}

/** Counts who has given which attempt up. A quorum of the roster ends it for everybody who hears of it. */
export function onAbandoned(state: Draft, effects: Effect[], abandons: readonly Abandon[]): void {
  const { attempt: current, rosterQuorum } = state.config
  const attempt = abandons[0]?.attempt
  if (attempt === undefined) return
  if (attempt < current) {
    // Who has just said so does not know yet that it is over. Several at once are a proof, of no use here.
    const from = abandons[0]?.peer
    if (abandons.length === 1 && from !== undefined) show(state, effects, from)
    return
  }
  if (attempt > current + maxAttemptsAhead || attempt >= maxAttempt) return
  let known = state.abandons[attempt] ?? PersistentMap.of<Abandon>([])
  for (const abandon of abandons) {
    if (abandon.attempt === attempt && trainsIn(state, abandon.peer)) known = known.with(abandon.peer, abandon)
  }
  state.abandons = { ...state.abandons, [attempt]: known }
  if (known.size < rosterQuorum) return
  state.left = true
  const proof = known.values().sort((a, b) => (a.peer < b.peer ? -1 : 1))
  effects.push({ type: 'enter', attempt: attempt + 1, proof: proof.slice(0, rosterQuorum) })
}

/** Who is behind is shown why; to who is ahead, this peer says where it is, and is shown why in turn. */
export function onAstray(state: Draft, effects: Effect[], from: string, attempt: number): void {
  if (attempt < state.config.attempt) show(state, effects, from)
  else if (attempt > state.config.attempt) {
    effects.push({ type: 'send', to: [from], message: { kind: 'moved', view: state.view } })
  }
}

function show(state: Draft, effects: Effect[], to: string): void {
  if (state.proof.length > 0 && to !== state.config.self) {
    effects.push({ type: 'show', to: [to], abandons: state.proof })
  }
}
