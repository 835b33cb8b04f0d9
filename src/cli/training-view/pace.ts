/** So many intervals are looked back on: a change of pace shows within them. */
const remembered = 40
/** A longer interval than this many usual ones counts as so many: a lid that was closed says nothing of what comes. */
const longestInterval = 10

/** How fast steps are made lately, with the pauses that belong to it: measuring, saving. */
export interface Pace {
  /** Tells how far things are. */
  at(step: number, nowMs: number): void
  /** Milliseconds per step, or null while nothing is known. */
  stepMs(): number | null
}

export function createPace(): Pace {
  let last: { readonly step: number; readonly nowMs: number } | null = null
  let intervals: { readonly steps: number; readonly ms: number }[] = []
  return {
    at: (step, nowMs) => {
      if (last !== null && step > last.step) {
        intervals = [...intervals.slice(1 - remembered), { steps: step - last.step, ms: nowMs - last.nowMs }]
      }
      if (last === null || step !== last.step) last = { step, nowMs }
    },
    stepMs: () => {
      const usual = intervals.map(({ steps, ms }) => ms / steps).sort((a, b) => a - b)[intervals.length >> 1]
      if (usual === undefined) return null
      const most = usual * longestInterval
      const steps = intervals.reduce((sum, interval) => sum + interval.steps, 0)
      return intervals.reduce((sum, interval) => sum + Math.min(interval.ms, most * interval.steps), 0) / steps
    },
  }
}
