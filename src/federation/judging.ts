import type { PeerId } from '@libp2p/interface'
import { decode, errorCode } from '../lib/index.ts'
import type { Verdict } from '../network/index.ts'
import { checkControl, openControl } from './control.ts'
import { openRun } from './specification.ts'
import { type Beacon, beaconSchema, maxBeaconBytes } from './wire.ts'

/** What gossip is judged by before it is delivered or passed on. */

/** A beacon is of the peer that it names, carries the run that it names, and of its owner's words one on this run. */
export function judgeBeacon(data: Uint8Array, author: PeerId): Verdict<Beacon> {
  try {
    const beacon = decode(data, beaconSchema, maxBeaconBytes)
    if (beacon.peer !== author.toString()) return { verdict: 'reject', code: 'wrong_author' }
    const id = beacon.run.toString()
    const run = beacon.document === null ? null : openRun(beacon.document)
    if (run !== null && run.id !== id) return { verdict: 'reject', code: 'wrong_cid' }
    if (beacon.control !== null) {
      const control = openControl(beacon.control)
      // Without the run's document its owner is not known here: whoever follows the run judges that.
      checkControl(run ?? { id, owner: control.owner }, control)
    }
    return { verdict: 'accept', value: beacon }
  } catch (error) {
    return { verdict: 'reject', code: errorCode(error) }
  }
}

/** A signed statement that opens is well formed. Whether its author has a part in the run is for those to judge who know the run. */
export function judgeBy<T>(open: (document: Uint8Array) => T): (data: Uint8Array) => Verdict<T> {
  return (data) => {
    try {
      return { verdict: 'accept', value: open(data) }
    } catch (error) {
      return { verdict: 'reject', code: errorCode(error) }
    }
  }
}
