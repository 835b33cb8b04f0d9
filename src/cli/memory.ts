import { performance } from 'node:perf_hooks'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** By then the modules are loaded and the first peers are met. */
const settleMs = 2_000
const lookMs = 60_000
/** Less than this is not worth a pause of some 50 ms. */
const wasteBytes = 32 * 1024 * 1024
/** A collection waits until the event loop has been this idle. */
const idleUtilization = 0.2

/**
 * Gives memory back that V8 holds and does not use. Loading the modules leaves some 70 MB of free heap, and a burst of
 * gossip a little less, which V8 would keep for as long as a peer idles; a collection hands it to the system. Returns the
 * way to stop.
 */
export function giveMemoryBack(): () => void {
  // `gc` is in no scope unless asked for.
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as (options: { readonly type: string; readonly flavor: string }) => void
  let before = performance.eventLoopUtilization()
  const look = (): void => {
    const { utilization } = performance.eventLoopUtilization(before)
    before = performance.eventLoopUtilization()
    const { heapTotal, heapUsed } = process.memoryUsage()
    if (utilization < idleUtilization && heapTotal - heapUsed > wasteBytes)
      collect({ type: 'major', flavor: 'last-resort' })
  }
  const first = setTimeout(() => collect({ type: 'major', flavor: 'last-resort' }), settleMs)
  const later = setInterval(look, lookMs)
  return () => {
    clearTimeout(first)
    clearInterval(later)
  }
}
