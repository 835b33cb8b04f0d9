/** Publishes manifests of as many identities, signed beforehand, over gossip. Started by `manifests.bench.ts`. */
import { multiaddr } from '@multiformats/multiaddr'
import { createIdentity } from '../../../src/identity/index.ts'
import { toHex } from '../../../src/lib/index.ts'
import { maxDocumentBytes } from '../../../src/manifests/document.ts'
import { silentMetrics } from '../../../src/observability/index.ts'
import { body, manifest, testAuthor } from '../../manifests/documents.ts'
import { meshId, type SenderNews, type SenderOrder, startNetwork } from './mesh.ts'

const tell = (news: SenderNews): void => void process.send?.(news)
const order = await new Promise<SenderOrder>((resolve) =>
  process.once('message', (message) => resolve(message as SenderOrder)),
)
const network = await startNetwork(createIdentity(), silentMetrics)
const topic = network.gossip({
  name: 'manifests',
  version: '1.0.0',
  maxBytes: maxDocumentBytes,
  rate: { perSecond: 10, burst: 100 },
  validate: () => ({ verdict: 'ignore', code: 'unused' }),
})

// A usual body: two models, four addresses.
const checkpoint = `b${'afk2bi'.repeat(10).slice(0, 58)}`
const usual = {
  ...body,
  models: [
    { name: 'owm-code', checkpoint, round: 120 },
    { name: 'owm-text', checkpoint, round: 7 },
  ],
  addresses: ['192.0.2.7', '198.51.100.23'].flatMap((host) => [`/ip4/${host}/tcp/4001`, `/ip4/${host}/tcp/4002/ws`]),
}
const issuedMs = Date.now()
const authors: string[] = []
const documents: Uint8Array[] = []
for (let i = 0; i < order.count; i++) {
  const author = testAuthor(i + 1)
  authors.push(toHex(author.publicKey))
  documents.push(
    manifest(author, { mesh: meshId, sequence: issuedMs, issuedMs, expiresMs: issuedMs + 300_000, body: usual }),
  )
}

const receiver = await network.connect(multiaddr(order.address))
const { pubsub } = network.libp2p.services as unknown as {
  readonly pubsub: { getSubscribers(topic: string): { toString(): string }[] }
}
const name = `/owm/${meshId}/manifests/1.0.0`
const subscribed = (): boolean => pubsub.getSubscribers(name).some((peer) => peer.toString() === receiver.toString())
while (!subscribed()) await new Promise((resolve) => setTimeout(resolve, 10))
tell({ type: 'ready', authors })

const sentMs: number[] = []
const startMs = performance.now()
for (let i = 0; i < documents.length + order.replays; i++) {
  if (order.perSecond > 0) {
    const waitMs = startMs + (i * 1000) / order.perSecond - performance.now()
    if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs))
  } else if (i % 16 === 0) await new Promise((resolve) => setImmediate(resolve))
  sentMs.push(performance.timeOrigin + performance.now())
  await topic.publish(documents[i % documents.length]!)
}
tell({ type: 'sent', sentMs })
