/**
 * A gateway over the in-memory twins, fed with lively made-up data: for working on the dashboard, never shipped.
 * `node test/gateway/demo.ts [PORT] [PEERS]`. Nothing it shows was trained.
 */
import { defaultPlans } from '../../src/federation/index.ts'
import { createGateway } from '../../src/gateway/index.ts'
import { sleep, systemClock } from '../../src/lib/index.ts'
import { createLogger, createPrometheus } from '../../src/observability/index.ts'
import {
  cidNumber,
  createAnswererTwin,
  createFederationTwin,
  createManifestsTwin,
  createNetworkTwin,
  makeHealth,
  makeLink,
  makeManifest,
  makeRound,
  makeRun,
  peerNumber,
} from './twins.ts'

const port = Number(process.argv[2] ?? 8099)
const size = Number(process.argv[3] ?? 5)
const peers = await Promise.all(Array.from({ length: size }, (_, i) => peerNumber(i)))
const ids = peers.map(String)
const self = peers[0]!
const federation = createFederationTwin()
const manifests = createManifestsTwin()
const network = createNetworkTwin(self)
const answerer = createAnswererTwin()
const prometheus = createPrometheus()
answerer.current = []
manifests.current = peers.map((peer) => makeManifest(peer))
network.current = peers.slice(1).map((peer, i) => makeLink(peer, { latencyMs: 3 + i * 4 }))
answerer.say = async function* (_prompt, { signal, maxTokens }) {
  const text =
    'createNetwork(options: NetworkOptions): Promise<Network> {\n  const { identity, mesh } = options\n  return new Network(identity, mesh)\n}\n'
  for (const byte of new TextEncoder().encode(text.repeat(4)).subarray(0, maxTokens)) {
    await sleep(8, signal)
    yield new Uint8Array([byte])
  }
}

const gateway = createGateway(
  {
    health: () => makeHealth(),
    metricsText: prometheus.text,
    answerer,
    federation,
    manifests,
    network,
    baselines: () => [
      { name: 'unigram', bitsPerByte: 5.02 },
      { name: 'bigram', bitsPerByte: 4.08 },
    ],
    logger: createLogger({ level: 'info', format: 'text' }),
    metrics: prometheus.metrics,
    clock: systemClock,
  },
  { listen: `127.0.0.1:${port}`, gateway: true, dashboard: true },
)
await gateway.start()
const stopping = new AbortController()
process.once('SIGINT', () => stopping.abort())
process.once('SIGTERM', () => stopping.abort())
await live(stopping.signal).catch(() => undefined)
await gateway.stop()

async function live(signal: AbortSignal): Promise<void> {
  const run = makeRun().id
  const specification = {
    name: 'owm-code',
    model: { architecture: 'gpt', layers: 1, heads: 4, width: 64, context: 64, vocabulary: 256 },
    optimizer: { kind: 'adamw', learningRate: 0.002, beta1: 0.9, beta2: 0.95, batch: 16 },
    graph: cidNumber(1),
    initial: cidNumber(2),
    heldOut: cidNumber(3),
    localMs: 4_000,
    localSteps: 100_000,
    minimumTrainers: 1,
    committeeSize: 4,
    faults: 'crash',
    ...defaultPlans,
    clipNorm: 100,
  }
  federation.current = [makeRun({ totalRounds: 12, owner: ids[0]!, specification })]
  federation.emit({ type: 'run-joined', run, atMs: Date.now(), name: 'owm-code' })
  for (let round = 1; round <= 12; round++) {
    const leader = ids[round % size]!
    const committee = ids.slice(0, Math.min(4, size)).includes(leader)
      ? ids.slice(0, Math.min(4, size))
      : [leader, ...ids.slice(0, 3)]
    const change = (part: Parameters<typeof makeRun>[0]): void => {
      federation.current = federation.current.map((each) => ({ ...each, ...part }))
    }
    const fast = round < 7
    change({ round, leader, committee, roster: ids, phase: 'training' })
    federation.emit({ type: 'round-started', run, atMs: Date.now(), round, leader, committee })
    for (let step = 10; step <= 120; step += 10) {
      for (const trainer of ids) {
        const loss = 2.5 + 5 / (round + step / 120) + Math.random() * 0.1
        federation.emit({
          type: 'train-progress',
          run,
          atMs: Date.now(),
          round,
          step,
          loss,
          stepsPerSecond: 40,
          trainer,
        })
      }
      await sleep(fast ? 5 : 300, signal)
    }
    change({ phase: 'collecting' })
    for (const trainer of ids) {
      federation.emit({ type: 'update-accepted', run, atMs: Date.now(), round, trainer, update: cidNumber(round) })
      await sleep(fast ? 5 : 500, signal)
    }
    change({ phase: 'voting' })
    await sleep(fast ? 5 : 1200, signal)
    const certified = makeRound(round, {
      leader,
      committee,
      trainers: ids,
      signatures: Math.min(3, size),
      certifiedMs: Date.now(),
      seconds: 3.9 + Math.random(),
      updateBytes: 131_000 * ids.length,
      samples: 400 * ids.length + round * 7,
      heldOutLoss: 2.55 + 5.47 * Math.exp(-round / 2.1) + Math.random() * 0.03,
    })
    change({
      phase: 'certified',
      rounds: [...(federation.current[0]?.rounds ?? []), certified],
      observed: [
        ...(federation.current[0]?.observed ?? []),
        {
          round,
          sentBytes: 600_000 + Math.round(Math.random() * 200_000),
          receivedBytes: 500_000 + Math.round(Math.random() * 300_000),
          rejected:
            round % 4 === 3 ? [{ trainer: ids.at(-1)!, code: round % 8 === 3 ? 'over_bound' : 'not_canonical' }] : [],
          passedOver: round === 6 ? [ids[1]!] : [],
        },
      ],
    })
    answerer.current = [
      {
        id: 'owm-code',
        checkpoint: certified.checkpoint,
        run,
        round,
        contextTokens: 64,
        certifiedMs: certified.certifiedMs,
        signatures: 3,
      },
    ]
    federation.emit({ type: 'round-certified', run, atMs: Date.now(), round: certified })
    if (certified.heldOutLoss !== null) {
      federation.emit({
        type: 'evaluated',
        run,
        atMs: Date.now(),
        round,
        checkpoint: certified.checkpoint,
        heldOutLoss: certified.heldOutLoss,
        heldOutAccuracy: null,
      })
    }
    await sleep(fast ? 5 : 1500, signal)
    if (round === 8) {
      const gone = peers.at(-1)!
      manifests.current = manifests.current.slice(0, -1)
      network.current = network.current.slice(0, -1)
      manifests.emit({ type: 'left', peer: gone })
      await sleep(3000, signal)
    }
    if (round === 9) {
      const back = peers.at(-1)!
      manifests.current = [...manifests.current, makeManifest(back)]
      network.current = [...network.current, makeLink(back)]
      manifests.emit({ type: 'joined', peer: back })
    }
  }
  federation.current = federation.current.map((each) => ({ ...each, status: 'finished' as const }))
  federation.emit({ type: 'run-finished', run, atMs: Date.now(), checkpoint: cidNumber(12) })
  await sleep(3_600_000, signal)
}
