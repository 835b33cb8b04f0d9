import { mkdir, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import type { PeerStatus } from '../../control/index.ts'
import { loadOrCreateIdentity } from '../../identity/index.ts'
import { OwmError, sleep } from '../../lib/index.ts'
import { createMeshStore, createPrivateMesh } from '../../network/index.ts'
import { codeExtensions, type TextFolder } from './packages.ts'
import { type PeerProcess, startPeerProcess } from './peer-process.ts'

export interface Ports {
  readonly p2p: number
  readonly http: number
}

/** A private mesh of its own, an identity and a configuration for each peer, and the processes. */
export async function startPeers(
  folder: string,
  shares: readonly (readonly TextFolder[])[],
  ports: readonly Ports[],
  maxDataBytes: number,
): Promise<PeerProcess[]> {
  const mesh = createPrivateMesh({ name: 'devnet', createdMs: Date.now() })
  const identities = await Promise.all(
    shares.map(async (_, i) => {
      const dataDir = join(folder, `peer-${i + 1}`)
      await mkdir(dataDir, { mode: 0o700 })
      await createMeshStore(dataDir).add(mesh)
      const { identity } = await loadOrCreateIdentity(join(dataDir, 'identity.key'))
      return { dataDir, id: identity.peerId.toString() }
    }),
  )
  const addresses = identities.map(({ id }, i) => `/ip4/127.0.0.1/tcp/${ports[i]?.p2p}/p2p/${id}`)
  return Promise.all(
    identities.map(async ({ dataDir, id }, i) => {
      const others = addresses.filter((_, other) => other !== i).slice(0, 3)
      const config = join(dataDir, 'owm.toml')
      await writeFile(config, devnetConfig(ports[i] ?? { p2p: 0, http: 0 }, others, shares[i] ?? [], maxDataBytes))
      return startPeerProcess({ id, dataDir, args: ['--config', config] })
    }),
  )
}

/** TOML and JSON write strings and lists alike. */
function devnetConfig(
  ports: Ports,
  bootstrap: readonly string[],
  share: readonly TextFolder[],
  maxDataBytes: number,
): string {
  return `[network]
listen = ["/ip4/127.0.0.1/tcp/${ports.p2p}"]
bootstrap = ${JSON.stringify(bootstrap)}
mdns = false

[http]
listen = "127.0.0.1:${ports.http}"

[gateway]
enabled = true

[manifest]
measure_bandwidth = false

[training]
data = ${JSON.stringify(share.map((part) => part.path))}
extensions = ${JSON.stringify(codeExtensions)}
max_data_bytes = ${maxDataBytes}

[log]
format = "json"
`
}

/** Resolves when every peer is connected with every other. */
export async function allConnected(peers: readonly PeerProcess[], signal: AbortSignal): Promise<void> {
  for (const peer of peers) {
    for (;;) {
      const status = await peer.control.call<PeerStatus>('status', {}, { signal })
      if (status.peers >= peers.length - 1) break
      await sleep(50, signal)
    }
  }
}

export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  if (address === null || typeof address === 'string')
    throw new OwmError('port_in_use', 'The system gave no free port.')
  return address.port
}
