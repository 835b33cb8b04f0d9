import type { Clock } from '../lib/index.ts'

/**
 * The clock, but never set back: a round's deadlines count from its start, and an hour that comes twice (NTP, an
 * operator) would have a dead leader waited for all of it. Forward jumps count, as a machine that slept was away.
 */
export function steadyClock(clock: Clock): Clock {
  let lastMs = clock.now()
  let offsetMs = 0
  return {
    now: () => {
      const rawMs = clock.now() + offsetMs
      if (rawMs < lastMs) offsetMs += lastMs - rawMs
      lastMs = Math.max(lastMs, rawMs)
      return lastMs
    },
    after: (ms, run) => clock.after(ms, run),
  }
}
