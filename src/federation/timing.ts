import type { RoundState, Timing } from './round-state.ts'

/** What a peer measured in a round that it saw through. */
export interface Measured {
  /** From the round's start to the last update that came in; to the certificate, where none comes. */
  readonly collectMs: number
  /** From there, or from the start of the view that it was in at the end, to the certificate. */
  readonly agreeMs: number
}

/**
 * What a round took, or null if it tells nothing of others. Only the last view counts: a leader that had to be passed over
 * says nothing on how long an honest one needs, and would have the next one waited for all the longer.
 *
 * @param lastHeldMs when the last update came in; the round's start where none came, as with all who are not members
 */
export function measuredOf(
  state: RoundState,
  startedMs: number,
  lastHeldMs: number,
  nowMs: number,
  localMs: number,
): Measured | null {
  if (state.config.attempt > 0) return null
  if (lastHeldMs <= startedMs) return { collectMs: Math.max(localMs, nowMs - startedMs), agreeMs: 0 }
  return { collectMs: lastHeldMs - startedMs, agreeMs: Math.max(0, nowMs - Math.max(lastHeldMs, state.viewSinceMs)) }
}

/** The first round makes trainers load the model and the data, on machines that nobody has measured. */
const firstCollectSlackMs = 20_000
/** What stragglers get beyond the slowest of the last rounds: half as much again, but a hung one costs no more than this. */
const slackMs = { least: 1_000, most: 3_000 }
const agreeMs = { first: 5_000, least: 1_500, most: 30_000 }
/** A pause of the machine is not a dead leader. */
const agreeFactor = 4
/** Enough to forget one odd round, few enough to follow a change. */
const remembered = 3

/** The round's time-outs from the durations of the rounds before. No operator tunes them. */
export function timingOf(history: readonly Measured[], localMs: number): Timing {
  const recent = history.slice(-remembered)
  if (recent.length === 0) return { collectMs: localMs * 3 + firstCollectSlackMs, agreeMs: agreeMs.first }
  const collect = Math.max(...recent.map((round) => round.collectMs))
  // The middle one: a committee that was cut off for a while would have the next ones waited for as long.
  const agreed = recent.map((round) => round.agreeMs).sort((a, b) => a - b)
  const agree = agreed[Math.floor(agreed.length / 2)]!
  return {
    collectMs: collect + clamp(collect / 2, slackMs.least, slackMs.most),
    agreeMs: clamp(agree * agreeFactor, agreeMs.least, agreeMs.most),
  }
}

function clamp(value: number, least: number, most: number): number {
  return Math.max(least, Math.min(most, value))
}
