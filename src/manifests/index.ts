/**
 * Who is in the mesh and what each can do now: signed, short-lived capability manifests over gossip, and the live view
 * made of them. A manifest says what was measured on the machine, not what an operator hopes: hardware, load, and the
 * bandwidth to other peers are measured here too.
 *
 * Nothing about who is alive is ever stored. A peer that falls silent is gone from every view when its last manifest
 * expires; one that joins asks a neighbour for its view and checks each manifest itself. The wire is described in
 * `protocols/manifests/`.
 *
 * @example
 * const manifests = createManifests(
 *   { network, identity, clock, logger, metrics },
 *   { intervalMs: 60_000, ttlMs: 180_000, dataDir, describe: () => body },
 * )
 * manifests.onChange((event) => log.info({ peer: event.peer.toString() }, event.type))
 * await manifests.start()
 */
import type { PeerId } from '@libp2p/interface'
import type { Startable } from '../lib/index.ts'

export type Tier = 't1' | 't2' | 't3'

export interface Hardware {
  readonly cpuModel: string
  readonly cores: number
  readonly ramBytes: number
  readonly gpus: readonly { readonly name: string; readonly vramBytes: number }[]
}

/** What a peer says of itself. All amounts are integers. */
export interface ManifestBody {
  readonly tier: Tier
  readonly cpuOnly: boolean
  readonly cores: number
  readonly ramBytes: number
  readonly vramBytes: number
  /** Measured, 0 while unknown. */
  readonly upBitsPerSecond: number
  readonly downBitsPerSecond: number
  readonly capabilities: readonly { readonly name: string; readonly version: string; readonly priceMsat: number }[]
  /** 0 idle to 1000 saturated. */
  readonly loadPermille: number
  /** Checkpoint CIDs held, newest first. */
  readonly models: readonly { readonly name: string; readonly checkpoint: string; readonly round: number }[]
  readonly addresses: readonly string[]
  /** HTTP address of a gateway peer, where it serves one. */
  readonly gateway: string | null
  readonly agent: string
}

export interface ManifestView extends ManifestBody {
  readonly peer: PeerId
  readonly sequence: number
  readonly issuedMs: number
  readonly expiresMs: number
}

export type ManifestEvent = { readonly type: 'joined' | 'updated' | 'left'; readonly peer: PeerId }

export interface Manifests extends Startable {
  /** The live peers, self included. */
  view(): ManifestView[]
  get(peer: PeerId): ManifestView | undefined
  /** Gossips at once, and again each interval, what `describe` returns. */
  announce(): Promise<void>
  onChange(listener: (event: ManifestEvent) => void): () => void
}

export { type Bandwidth, measureBandwidth } from './bandwidth.ts'
export { type BandwidthMeter, createBandwidthMeter } from './bandwidth-meter.ts'
export { detectHardware } from './hardware.ts'
export { createLoadMeter, type LoadMeter } from './load.ts'
export { createManifests, type ManifestsComponents, type ManifestsInit } from './manifests.ts'
export { tierOf, vramOf } from './tier.ts'
