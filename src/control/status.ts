import type { Federation } from '../federation/index.ts'
import type { Hardware, Manifests, Tier } from '../manifests/index.ts'
import type { Mesh, Network } from '../network/index.ts'

/** What `owm peer status` tells. */
export interface PeerStatus {
  readonly peer: string
  readonly mesh: string
  readonly meshName: string
  readonly private: boolean
  readonly version: string
  readonly role: 'peer' | 'bootstrap'
  readonly pid: number
  readonly dataDir: string
  readonly uptimeSeconds: number
  readonly ready: boolean
  readonly reasons: readonly string[]
  readonly addresses: readonly string[]
  /** `host:port` of the HTTP listener. */
  readonly http: string
  readonly gateway: boolean
  /** Connected now. */
  readonly peers: number
  readonly tier: string
  readonly cpuOnly: boolean
  readonly hardware: Hardware
  readonly traffic: { readonly sentBytes: number; readonly receivedBytes: number }
  readonly rssBytes: number
  /** Whether it has text to train on. */
  readonly trains: boolean
  readonly runs: readonly {
    readonly id: string
    readonly name: string
    readonly status: string
    readonly round: number
    readonly totalRounds: number
  }[]
  readonly models: readonly { readonly name: string; readonly round: number; readonly checkpoint: string }[]
}

/** What does not change while a peer runs. */
export interface PeerFacts {
  readonly mesh: Mesh
  readonly version: string
  readonly role: 'peer' | 'bootstrap'
  readonly dataDir: string
  readonly startedMs: number
  readonly gateway: boolean
  readonly hardware: Hardware
  readonly trains: boolean
}

export interface Watched {
  readonly network: Network
  readonly manifests: Manifests
  readonly federation: Federation
  httpAddress(): string
  /** By hardware and what was measured of the bandwidth until now. */
  tier(): { readonly tier: Tier; readonly cpuOnly: boolean }
  health(): { readonly ready: boolean; readonly reasons: readonly string[] }
}

export function peerStatus(
  facts: PeerFacts,
  { network, federation, httpAddress, tier, health }: Watched,
  nowMs: number,
): PeerStatus {
  const { ready, reasons } = health()
  return {
    peer: network.self.toString(),
    mesh: facts.mesh.id,
    meshName: facts.mesh.parameters.name,
    private: facts.mesh.parameters.private,
    version: facts.version,
    role: facts.role,
    pid: process.pid,
    dataDir: facts.dataDir,
    uptimeSeconds: Math.floor((nowMs - facts.startedMs) / 1000),
    ready,
    reasons,
    addresses: network.addresses().map(String),
    http: httpAddress(),
    gateway: facts.gateway,
    peers: network.peers().length,
    ...tier(),
    hardware: facts.hardware,
    traffic: network.traffic(),
    rssBytes: process.memoryUsage.rss(),
    trains: facts.trains,
    runs: federation
      .runs()
      .map(({ id, name, status, round, totalRounds }) => ({ id, name, status, round, totalRounds })),
    models: federation.checkpoints().map(({ name, round, checkpoint }) => ({ name, round, checkpoint })),
  }
}

/** One line of `owm peer peers`: a peer that is connected, or whose manifest is live, or both. */
export interface PeerRow {
  readonly peer: string
  readonly connected: boolean
  readonly address: string | null
  readonly direction: 'inbound' | 'outbound' | null
  readonly relayed: boolean
  readonly latencyMs: number | null
  /** From the peer's manifest, null before it came. */
  readonly tier: string | null
  readonly capabilities: readonly string[]
  readonly agent: string | null
}

export function peerRows({ network, manifests }: Pick<Watched, 'network' | 'manifests'>): PeerRow[] {
  const self = network.self.toString()
  const live = new Map(manifests.view().map((manifest) => [manifest.peer.toString(), manifest]))
  const connected = new Map(network.peers().map((peer) => [peer.id.toString(), peer]))
  return [...new Set([...connected.keys(), ...live.keys()])]
    .filter((peer) => peer !== self)
    .sort()
    .map((peer) => {
      const connection = connected.get(peer)
      const manifest = live.get(peer)
      return {
        peer,
        connected: connection !== undefined,
        address: connection?.address.toString() ?? null,
        direction: connection?.direction ?? null,
        relayed: connection?.relayed ?? false,
        latencyMs: connection?.latencyMs ?? null,
        tier: manifest?.tier ?? null,
        capabilities: manifest?.capabilities.map(({ name, version }) => `${name}@${version}`) ?? [],
        agent: manifest?.agent ?? null,
      }
    })
}
