import { availableParallelism, loadavg } from 'node:os'
import { performance } from 'node:perf_hooks'

export interface LoadMeter {
  /** 0 idle to 1000 saturated, since the last call. */
  permille(): number
}

/**
 * How busy this peer is: the larger of two shares. The machine's run queue (one-minute load average over the cores this
 * process may use) covers training workers, task subprocesses and everything else on the machine; the utilisation of the
 * main thread's event loop covers a peer whose network and rules are the bottleneck on an otherwise idle machine.
 * Windows has no load average and reports the event loop alone.
 */
export function createLoadMeter(): LoadMeter {
  let last = performance.eventLoopUtilization()
  return {
    permille: () => {
      const now = performance.eventLoopUtilization()
      const { utilization } = performance.eventLoopUtilization(now, last)
      last = now
      return loadPermilleOf(loadavg()[0] ?? 0, availableParallelism(), utilization)
    },
  }
}

export function loadPermilleOf(loadAverage: number, cores: number, utilisation: number): number {
  const share = Math.max(loadAverage / Math.max(1, cores), utilisation)
  return Math.round(1000 * Math.min(1, Math.max(0, Number.isFinite(share) ? share : 0)))
}
