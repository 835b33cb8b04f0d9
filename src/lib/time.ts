/** Time as a dependency, so that machines, expiry and limits can be tested without waiting. */
export interface Clock {
  /** Milliseconds since the Unix epoch. */
  now(): number
  /** Calls `run` once after `ms`; returns the way to call it off. */
  after(ms: number, run: () => void): () => void
}

/** The machine's own clock. Timers do not keep the process alive. */
export const systemClock: Clock = {
  now: () => Date.now(),
  after: (ms, run) => {
    const timer = setTimeout(run, ms)
    timer.unref()
    return () => clearTimeout(timer)
  },
}

/** A clock that stands still until told to move: for tests and simulation. */
export interface ManualClock extends Clock {
  /** Moves time on by `ms`, running what falls due on the way, in order. */
  advance(ms: number): void
}

export function manualClock(startMs = 1_700_000_000_000): ManualClock {
  let nowMs = startMs
  let serial = 0
  const timers = new Map<number, { readonly atMs: number; readonly run: () => void }>()
  return {
    now: () => nowMs,
    after: (ms, run) => {
      const id = serial++
      timers.set(id, { atMs: nowMs + Math.max(0, ms), run })
      return () => void timers.delete(id)
    },
    advance: (ms) => {
      const untilMs = nowMs + ms
      for (;;) {
        const due = [...timers]
          .filter(([, t]) => t.atMs <= untilMs)
          .sort((a, b) => a[1].atMs - b[1].atMs || a[0] - b[0])[0]
        if (due === undefined) break
        timers.delete(due[0])
        nowMs = Math.max(nowMs, due[1].atMs)
        due[1].run()
      }
      nowMs = untilMs
    },
  }
}
