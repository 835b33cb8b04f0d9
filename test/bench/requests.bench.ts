/** Requests between two peers on loopback: small ones one by one, and large ones by volume. `npm run bench -- requests` */
import { z } from 'zod'
import type { ProtocolSpec } from '../../src/network/index.ts'
import { addressOf, startPeer, stopPeers, until } from '../network/harness.ts'

const smallCount = 1_000
const largeBytes = 8 * 1024 * 1024
const largeCount = 8

export async function run(): Promise<Record<string, number>> {
  const server = await startPeer()
  const client = await startPeer({ bootstrap: [addressOf(server)] })
  await until(() => client.network.isConnected(server.network.self))
  const bytes = z.instanceof(Uint8Array)
  const spec: ProtocolSpec<Uint8Array, Uint8Array> = {
    name: 'bench',
    version: '1.0.0',
    request: bytes,
    response: bytes,
    maxRequestBytes: 16 * 1024 * 1024,
    maxResponseBytes: 16 * 1024 * 1024,
    timeoutMs: 60_000,
    rate: { perSecond: 100_000, burst: 100_000 },
  }
  server.network.handle(spec, async (request) => request)
  const ask = (body: Uint8Array): Promise<Uint8Array> => client.network.request(server.network.self, spec, body)

  const small = new Uint8Array(1024)
  for (let i = 0; i < 100; i++) await ask(small)
  const tookMs: number[] = []
  for (let i = 0; i < smallCount; i++) {
    const startedMs = performance.now()
    await ask(small)
    tookMs.push(performance.now() - startedMs)
  }
  tookMs.sort((a, b) => a - b)

  const large = new Uint8Array(largeBytes).fill(7)
  const startedMs = performance.now()
  for (let i = 0; i < largeCount; i++) await ask(large)
  const seconds = (performance.now() - startedMs) / 1000
  await stopPeers()
  return {
    p50Ms: tookMs[smallCount >> 1] ?? 0,
    p99Ms: tookMs[Math.floor(smallCount * 0.99)] ?? 0,
    megabytesPerSecond: (2 * largeCount * largeBytes) / seconds / 1e6,
  }
}
