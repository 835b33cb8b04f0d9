import type { Hono } from 'hono'
import type { ManifestView } from '../manifests/index.ts'
import type { GatewayComponents } from './index.ts'
import { type Env, limitOf } from './request.ts'

/** `/v1/network/stats` and `/v1/network/nodes`: the mesh as this peer sees it now. */
export function serveNetwork(
  app: Hono<Env>,
  { manifests, network, federation }: Pick<GatewayComponents, 'manifests' | 'network' | 'federation'>,
): void {
  app.get('/v1/network/stats', (c) => {
    const view = manifests?.view() ?? []
    const runs = federation?.runs() ?? []
    const traffic = network?.traffic() ?? { sentBytes: 0, receivedBytes: 0 }
    const tiers = { t1: 0, t2: 0, t3: 0 }
    for (const manifest of view) tiers[manifest.tier]++
    const capabilities = new Map<string, number>()
    for (const { name } of view.flatMap((manifest) => manifest.capabilities)) {
      capabilities.set(name, (capabilities.get(name) ?? 0) + 1)
    }
    return c.json({
      mesh: network?.meshId ?? null,
      self: network?.self.toString() ?? null,
      nodes: view.length,
      connected: network?.peers().length ?? 0,
      tiers,
      cores: view.reduce((sum, manifest) => sum + manifest.cores, 0),
      ram_bytes: view.reduce((sum, manifest) => sum + manifest.ramBytes, 0),
      vram_bytes: view.reduce((sum, manifest) => sum + manifest.vramBytes, 0),
      capabilities: Object.fromEntries([...capabilities].sort(([a], [b]) => (a < b ? -1 : 1))),
      runs: runs.map((run) => ({
        id: run.id,
        model: run.name,
        status: run.status,
        round: run.round,
        total_rounds: run.totalRounds,
        certified_rounds: run.rounds.length,
      })),
      sent_bytes: traffic.sentBytes,
      received_bytes: traffic.receivedBytes,
    })
  })

  app.get('/v1/network/nodes', (c) => {
    const limit = limitOf(c)
    const view = manifests?.view() ?? []
    const connected = new Map((network?.peers() ?? []).map((peer) => [peer.id.toString(), peer]))
    const nodes = view.slice(0, limit).map((manifest) => {
      const id = manifest.peer.toString()
      const link = connected.get(id)
      return {
        ...nodeBody(manifest),
        self: id === network?.self.toString(),
        connected: link !== undefined,
        latency_ms: link?.latencyMs ?? null,
      }
    })
    return c.json({ total: view.length, nodes })
  })
}

/** Without the peer's network addresses: a gateway is read by people outside the mesh, who have no use for them. */
function nodeBody(manifest: ManifestView): Record<string, unknown> {
  return {
    id: manifest.peer.toString(),
    tier: manifest.tier,
    cpu_only: manifest.cpuOnly,
    cores: manifest.cores,
    ram_bytes: manifest.ramBytes,
    vram_bytes: manifest.vramBytes,
    up_bits_per_second: manifest.upBitsPerSecond,
    down_bits_per_second: manifest.downBitsPerSecond,
    load_permille: manifest.loadPermille,
    capabilities: manifest.capabilities.map((each) => ({
      name: each.name,
      version: each.version,
      price_msat: each.priceMsat,
    })),
    models: manifest.models,
    gateway: manifest.gateway,
    agent: manifest.agent,
    issued_at: new Date(manifest.issuedMs).toISOString(),
    expires_at: new Date(manifest.expiresMs).toISOString(),
  }
}
