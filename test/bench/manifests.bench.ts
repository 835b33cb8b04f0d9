/**
 * One peer takes in manifests from a second process over real gossip: 10,000 identities at 10,000 a minute, then as
 * fast as both go. All figures are the receiver's.
 *
 * `npm run bench -- manifests [--seconds N]`: N seconds at 10,000 a minute (60 by default, all identities).
 */
import { type ChildProcess, fork } from 'node:child_process'
import { createIdentity } from '../../src/identity/index.ts'
import { type Rate, systemClock, toHex } from '../../src/lib/index.ts'
import { createManifests } from '../../src/manifests/index.ts'
import { type Metrics, silentLogger } from '../../src/observability/index.ts'
import { body } from '../manifests/documents.ts'
import { type SenderNews, type SenderOrder, startNetwork } from './manifests/mesh.ts'

/** A little over, so that the figure from first to last is no less than 10,000 a minute. */
const perMinute = 10_100
const identities = 10_000
const replays = 100
const drainTimeoutMs = 30_000

interface Measured {
  readonly count: number
  readonly rejected: number
  readonly perSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly cpuFraction: number
  readonly rssBytes: number
  readonly idleRssBytes: number
}

export async function run(args: readonly string[]): Promise<Readonly<Record<string, unknown>>> {
  const at = args.indexOf('--seconds')
  const seconds = at < 0 ? 60 : Math.max(1, Number(args[at + 1]))
  const count = Math.min(identities, Math.round((perMinute / 60) * seconds))
  const paced = await measure({ count, perSecond: perMinute / 60, replays })
  const free = await measure({ count: identities, perSecond: 0, replays: 0 }, { perSecond: 1e6, burst: 1e6 })
  return {
    perSecond: paced.perSecond,
    p50Ms: paced.p50Ms,
    p99Ms: paced.p99Ms,
    cpuFraction: paced.cpuFraction,
    rssBytes: paced.rssBytes,
    idleRssBytes: paced.idleRssBytes,
    count: paced.count,
    rejected: paced.rejected,
    maxPerSecond: free.perSecond,
    maxCount: free.count,
    maxCpuFraction: free.cpuFraction,
    maxP99Ms: free.p99Ms,
  }
}

async function measure(order: Omit<SenderOrder, 'address'>, forwarderRate?: Rate): Promise<Measured> {
  let rejected = 0
  const metrics: Metrics = {
    counter: (name) => ({
      add: (amount = 1) => {
        if (name === 'owm_manifests_refused_total') rejected += amount
      },
    }),
    gauge: () => ({ set: () => undefined }),
    histogram: () => ({ observe: () => undefined }),
  }
  const identity = createIdentity()
  const network = await startNetwork(identity, metrics)
  const manifests = createManifests(
    { network, identity, clock: systemClock, logger: silentLogger, metrics },
    { intervalMs: 60_000, ttlMs: 150_000, describe: () => body, ...(forwarderRate && { forwarderRate }) },
  )
  const arrivedMs = new Map<string, number>()
  const self = toHex(identity.publicKey)
  manifests.onChange(({ peer }) => {
    const author = toHex(peer.publicKey?.raw ?? new Uint8Array())
    if (author !== self) arrivedMs.set(author, performance.timeOrigin + performance.now())
  })
  await manifests.start()
  const address = network.addresses().map(String)[0] ?? ''
  const sender = fork('test/bench/manifests/sender.ts', { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  try {
    const ready = nextNews(sender, 'ready')
    const sent = nextNews(sender, 'sent')
    sender.send({ ...order, address } satisfies SenderOrder)
    const { authors } = await ready
    const idleRssBytes = process.memoryUsage().rss
    const cpuBefore = process.cpuUsage()
    const startedMs = performance.now()
    let rssBytes = 0
    const sampling = setInterval(() => {
      rssBytes = Math.max(rssBytes, process.memoryUsage().rss)
    }, 100)
    const { sentMs } = await sent
    const endsMs = performance.now() + drainTimeoutMs
    while ((arrivedMs.size < order.count || rejected < order.replays) && performance.now() < endsMs) {
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    clearInterval(sampling)
    const tookMs = performance.now() - startedMs
    const cpu = process.cpuUsage(cpuBefore)

    const latencies = authors
      .flatMap((author, i) => {
        const arrived = arrivedMs.get(author)
        return arrived === undefined ? [] : [arrived - (sentMs[i] ?? 0)]
      })
      .sort((a, b) => a - b)
    const last = Math.max(...arrivedMs.values())
    const first = sentMs[0] ?? 0
    return {
      count: arrivedMs.size,
      rejected,
      perSecond: round((arrivedMs.size * 1000) / (last - first)),
      p50Ms: round(latencies[Math.floor(latencies.length * 0.5)] ?? Number.NaN),
      p99Ms: round(latencies[Math.floor(latencies.length * 0.99)] ?? Number.NaN),
      cpuFraction: round((cpu.user + cpu.system) / 1000 / tookMs, 3),
      rssBytes,
      idleRssBytes,
    }
  } finally {
    sender.kill('SIGKILL')
    await manifests.stop()
    await network.stop()
  }
}

function nextNews<T extends SenderNews['type']>(
  sender: ChildProcess,
  type: T,
): Promise<Extract<SenderNews, { type: T }>> {
  return new Promise((resolve, reject) => {
    sender.on('message', (news: SenderNews) => {
      if (news.type === type) resolve(news as Extract<SenderNews, { type: T }>)
    })
    sender.once('exit', (code) => reject(new Error(`the sender ended with ${code}`)))
  })
}

function round(value: number, digits = 1): number {
  return Number(value.toFixed(digits))
}
