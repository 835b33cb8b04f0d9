import { type Clock, errorCode, OwmError, type Startable } from '../lib/index.ts'
import type { Network } from '../network/index.ts'
import type { Logger } from '../observability/index.ts'
import { type Bandwidth, measureBandwidth, serveBandwidth } from './bandwidth.ts'

const defaultIntervalMs = 600_000
/** The first seconds of a peer belong to joining, not to measuring. */
const defaultFirstAfterMs = 10_000
/** While no direct neighbour is there or all are busy, the first figure is tried for again so often. */
const retryMs = 30_000
const keptSamples = 5
/** Above this load a measurement would disturb, and measure the load. */
const maxLoadPermille = 900

/** Keeps the figure that the manifest states. */
export interface BandwidthMeter extends Startable {
  /** The median of the last five measurements, each direction by itself; 0 while unknown. */
  estimate(): Bandwidth
}

/**
 * Measures to a random direct neighbour soon after the start and then every ten minutes, and lets neighbours measure.
 * A median, not the best: a peer that claims to have received what it has not can spoil one sample, not the figure.
 */
export function createBandwidthMeter(
  { network, clock, logger }: { readonly network: Network; readonly clock: Clock; readonly logger: Logger },
  init: {
    readonly intervalMs?: number
    readonly firstAfterMs?: number
    /** The peer's own load; nothing is measured above 900. */
    readonly loadPermille?: () => number
    readonly onMeasured?: (estimate: Bandwidth) => void
  } = {},
): BandwidthMeter {
  const intervalMs = init.intervalMs ?? defaultIntervalMs
  let samples: readonly Bandwidth[] = []
  let closing = new AbortController()
  let running = false
  let handled = false
  let callOff = (): void => undefined
  let underWay: Promise<void> = Promise.resolve()

  const estimate = (): Bandwidth => ({
    upBitsPerSecond: median(samples.map((sample) => sample.upBitsPerSecond)),
    downBitsPerSecond: median(samples.map((sample) => sample.downBitsPerSecond)),
  })
  const schedule = (delayMs: number): void => {
    if (!running) return
    callOff = clock.after(delayMs, () => {
      underWay = measure(closing.signal).then((measured) =>
        schedule(measured || samples.length > 0 ? intervalMs : Math.min(retryMs, intervalMs)),
      )
    })
  }
  /** False when there was nothing to measure to. */
  const measure = async (signal: AbortSignal): Promise<boolean> => {
    const direct = network.peers().filter((peer) => !peer.relayed)
    const target = direct[Math.floor(Math.random() * direct.length)]
    if (target === undefined || (init.loadPermille?.() ?? 0) > maxLoadPermille) return false
    try {
      const sample = await measureBandwidth(network, target.id, signal)
      if (sample.upBitsPerSecond === 0 || sample.downBitsPerSecond === 0) return false
      samples = [...samples, sample].slice(-keptSamples)
      logger.debug({ peer: target.id.toString(), ...sample }, 'bandwidth measured')
      init.onMeasured?.(estimate())
      return true
    } catch (error) {
      logger.debug({ peer: target.id.toString(), code: errorCode(error) }, 'bandwidth could not be measured')
      return false
    }
  }

  return {
    estimate,
    start: async () => {
      if (running) return
      running = true
      closing = new AbortController()
      if (!handled) serveBandwidth(network, clock)
      handled = true
      schedule(init.firstAfterMs ?? defaultFirstAfterMs)
    },
    stop: async () => {
      if (!running) return
      running = false
      callOff()
      closing.abort(new OwmError('stopping', 'The peer is stopping.'))
      await underWay
    },
  }
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[sorted.length >> 1] ?? 0
}
