import { createIdentity, type Identity } from '../../src/identity/index.ts'
import { systemClock } from '../../src/lib/index.ts'
import { createNetwork, type Mesh, meshOf, type Network, type NetworkInit } from '../../src/network/index.ts'
import { type Logger, silentMetrics } from '../../src/observability/index.ts'

export const testMesh = meshOf({ v: 1, name: 'test', createdMs: 1, private: false, faults: 'crash' }, null)

export interface LogLine {
  readonly level: 'debug' | 'info' | 'warn' | 'error'
  readonly fields: Readonly<Record<string, unknown>>
  readonly message: string
}

/** A logger that keeps its lines. */
export function recordingLogger(lines: LogLine[]): Logger {
  const at = (level: LogLine['level']) => (fields: Readonly<Record<string, unknown>>, message: string) =>
    void lines.push({ level, fields, message })
  const logger: Logger = {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    child: () => logger,
  }
  return logger
}

export interface TestPeer {
  readonly network: Network
  readonly identity: Identity
  readonly lines: LogLine[]
}

const running = new Set<Network>()

export async function makePeer(
  init: Partial<NetworkInit> = {},
  options: { readonly mesh?: Mesh; readonly identity?: Identity } = {},
): Promise<TestPeer> {
  const { mesh = testMesh, identity = createIdentity() } = options
  const lines: LogLine[] = []
  const logger = recordingLogger(lines)
  const network = await createNetwork(
    { identity, mesh, logger, metrics: silentMetrics, clock: systemClock },
    {
      preset: 'test',
      listen: ['/ip4/127.0.0.1/tcp/0'],
      announce: [],
      bootstrap: [],
      mdns: false,
      relay: { server: false, client: false },
      role: 'peer',
      maxConnections: 100,
      ...init,
    },
  )
  running.add(network)
  return { network, identity, lines }
}

export async function startPeer(...parameters: Parameters<typeof makePeer>): Promise<TestPeer> {
  const peer = await makePeer(...parameters)
  await peer.network.start()
  return peer
}

export async function stopPeers(): Promise<void> {
  const all = [...running]
  running.clear()
  await Promise.all(
    all.map((network) =>
      network.stop().catch((e) => {
        console.log('STOP', e)
        throw e
      }),
    ),
  )
}

export function addressOf(peer: TestPeer): string {
  const address = peer.network.addresses()[0]
  if (address === undefined) throw new Error('the peer listens nowhere')
  return address.toString()
}

/** Polls a state: there is no event for most of what a test waits for. The test's own time-out bounds it. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 20))
}

export function sees(peer: TestPeer, other: TestPeer): boolean {
  return peer.network.isConnected(other.network.self)
}
