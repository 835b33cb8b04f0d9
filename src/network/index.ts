/**
 * The libp2p host of a peer: transports, encryption, discovery, the DHT, gossip and request/response, assembled from
 * presets; and what separates one mesh from another (its id, its swarm key, its invitations).
 *
 * Everything that comes in passes a size limit, a rate limit and a schema before a room sees it, and leaves a verdict
 * that feeds the sender's score.
 *
 * @example
 * const network = await createNetwork({ identity, mesh, logger, metrics, clock }, { preset: 'private', ... })
 * await network.start()
 * const topic = network.gossip({ name: 'greeting', version: '1.0.0', maxBytes: 1024, rate, validate })
 */
import type { PeerId } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { Libp2p, Libp2pInit } from 'libp2p'
import type { ZodType } from 'zod'
import type { Identity } from '../identity/index.ts'
import type { Clock, Fault, Rate, Startable } from '../lib/index.ts'
import type { Logger, Metrics } from '../observability/index.ts'
import type { Mesh } from './mesh.ts'
import type { Preset } from './presets.ts'

/** One kind of gossip message. The topic is `/owm/<mesh id>/<name>/<version>`. */
export interface TopicSpec<T> {
  readonly name: string
  readonly version: string
  readonly maxBytes: number
  /** Per forwarding peer. What is over is ignored, not rejected. */
  readonly rate: Rate
  /** Judges a message before it is delivered or forwarded. Must not throw; a throw counts as `ignore` and is logged. */
  validate(data: Uint8Array, from: PeerId): Verdict<T> | Promise<Verdict<T>>
}
export type Verdict<T> =
  | { readonly verdict: 'accept'; readonly value: T }
  | { readonly verdict: Fault; readonly code: string }

export interface GossipTopic<T> {
  /** Sends to the mesh. What one publishes oneself is not delivered back. */
  publish(data: Uint8Array): Promise<void>
  onMessage(listener: (value: T, from: PeerId) => void): () => void
}

/** One kind of request. The protocol id is `/owm/<mesh id>/<name>/<version>`; bodies are canonical dag-cbor. */
export interface ProtocolSpec<Request, Response> {
  readonly name: string
  readonly version: string
  readonly request: ZodType<Request>
  readonly response: ZodType<Response>
  readonly maxRequestBytes: number
  readonly maxResponseBytes: number
  readonly timeoutMs: number
  /** Per remote peer; a fixed multiple of it holds for all together. */
  readonly rate: Rate
}
export interface RequestContext {
  readonly from: PeerId
  readonly signal: AbortSignal
}

export interface ConnectedPeer {
  readonly id: PeerId
  readonly address: Multiaddr
  readonly direction: 'inbound' | 'outbound'
  /** True when traffic goes over a relay. */
  readonly relayed: boolean
  readonly latencyMs: number | undefined
  readonly connectedSinceMs: number
}
export type PeerEvent = { readonly type: 'connected' | 'disconnected'; readonly peer: PeerId }

export interface Network extends Startable {
  readonly self: PeerId
  readonly meshId: string
  /** Addresses others can dial, each ending in `/p2p/<self>`. */
  addresses(): Multiaddr[]
  peers(): ConnectedPeer[]
  isConnected(peer: PeerId): boolean
  onPeer(listener: (event: PeerEvent) => void): () => void
  /** Connects to a peer by id (found in the peer store or the DHT) or by address. */
  connect(target: PeerId | Multiaddr, options?: { readonly signal?: AbortSignal }): Promise<PeerId>
  gossip<T>(spec: TopicSpec<T>): GossipTopic<T>
  /** Answers requests. An OwmError thrown by the handler travels as its code and message, anything else as `internal_error`. */
  handle<Request, Response>(
    spec: ProtocolSpec<Request, Response>,
    handler: (request: Request, context: RequestContext) => Promise<Response>,
  ): void
  /** @throws OwmError with the remote's code, or `timeout`, `unreachable`, `unsupported`, `oversized`, `malformed`, `schema_mismatch` */
  request<Request, Response>(
    peer: PeerId,
    spec: ProtocolSpec<Request, Response>,
    request: Request,
    options?: { readonly signal?: AbortSignal },
  ): Promise<Response>
  /** The known peers whose Kademlia keys are closest to the key, self included, nearest first. */
  closestPeers(key: Uint8Array, count: number, options?: { readonly signal?: AbortSignal }): Promise<PeerId[]>
  /** Bytes through all connections since the start. */
  traffic(): { readonly sentBytes: number; readonly receivedBytes: number }
  /** For Helia alone. */
  readonly libp2p: Libp2p
}

export interface NetworkComponents {
  readonly identity: Identity
  readonly mesh: Mesh
  readonly logger: Logger
  readonly metrics: Metrics
  readonly clock: Clock
  /** Where libp2p keeps its peer store and DHT records; memory by default. Known peers are kept in `dataDir` anyway. */
  readonly datastore?: Libp2pInit['datastore']
}

export interface NetworkInit {
  readonly preset: Preset
  /** Multiaddrs. Port 0 takes a free one. */
  readonly listen: readonly string[]
  /** Multiaddrs told to others in addition to those listened on: a public name, a forwarded port. */
  readonly announce: readonly string[]
  /** Multiaddrs, each ending in `/p2p/` and the peer's id; the mesh's own addresses are added to them. */
  readonly bootstrap: readonly string[]
  readonly mdns: boolean
  /** `server`: relays for others. `client`: is reachable through relays, and punches holes. */
  readonly relay: { readonly server: boolean; readonly client: boolean }
  /** A bootstrap peer serves the DHT in any case. */
  readonly role: 'peer' | 'bootstrap'
  readonly maxConnections: number
  /** Known peers are kept below it, so that a peer finds its mesh again after a restart. */
  readonly dataDir?: string
}

export { decodeInvitation, encodeInvitation, invitationQr } from './invitation.ts'
export { createPrivateMesh, type Mesh, type MeshParameters, meshIdOf, meshOf, publicMesh } from './mesh.ts'
export { createMeshStore, type MeshStore, type StoredMesh } from './mesh-store.ts'
export { createNetwork } from './network.ts'
export type { Preset } from './presets.ts'
