import type { Identity } from '../../../src/identity/index.ts'
import { systemClock } from '../../../src/lib/index.ts'
import { createNetwork, meshOf, type Network } from '../../../src/network/index.ts'
import { type Metrics, silentLogger } from '../../../src/observability/index.ts'

const mesh = meshOf({ v: 1, name: 'bench', createdMs: 1, private: false, faults: 'crash' }, null)
export const meshId = mesh.id

export function startNetwork(identity: Identity, metrics: Metrics): Promise<Network> {
  return createNetwork(
    { identity, mesh, logger: silentLogger, metrics, clock: systemClock },
    {
      preset: 'test',
      listen: ['/ip4/127.0.0.1/tcp/0'],
      announce: [],
      bootstrap: [],
      mdns: false,
      relay: { server: false, client: false },
      role: 'peer',
      maxConnections: 10,
    },
  ).then(async (network) => {
    await network.start()
    return network
  })
}

/** From the benchmark to the sender. */
export interface SenderOrder {
  readonly address: string
  readonly count: number
  /** 0: as fast as it can. */
  readonly perSecond: number
  /** So many are sent once more at the end. */
  readonly replays: number
}
export type SenderNews =
  /** Public keys in hex, in the order of sending. */
  | { readonly type: 'ready'; readonly authors: readonly string[] }
  /** When each was published, in milliseconds since the epoch. */
  | { readonly type: 'sent'; readonly sentMs: readonly number[] }
