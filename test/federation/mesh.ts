import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ContentStore, createContentStore } from '../../src/content/index.ts'
import {
  createFederation,
  defaultPlans,
  type Federation,
  type FederationEvent,
  type RunSpecification,
} from '../../src/federation/index.ts'
import { createIdentity, type Identity } from '../../src/identity/index.ts'
import { OwmError, sleep, systemClock } from '../../src/lib/index.ts'
import { createNetwork, meshOf, type Network, type NetworkInit } from '../../src/network/index.ts'
import { type Logger, silentLogger, silentMetrics } from '../../src/observability/index.ts'
import { defaultOptimizer, type Trainer } from '../../src/training/index.ts'

/** Real peers on loopback, each with a federation; the trainer is a cheap one that really learns something small. */
export interface MeshPeer {
  readonly name: string
  readonly identity: Identity
  readonly network: Network
  readonly content: ContentStore
  readonly federation: Federation
  readonly events: FederationEvent[]
  readonly dataDir: string
  /** What it logged as errors. */
  readonly lines: string[]
  /** As from a power cut, as far as one process can: nobody is told, nothing is flushed. */
  stop(): Promise<void>
}

const mesh = meshOf({ v: 1, name: 'rounds-test', createdMs: 1, private: false, faults: 'crash' }, null)
const onLoopback: NetworkInit = {
  preset: 'test',
  listen: ['/ip4/127.0.0.1/tcp/0'],
  announce: [],
  bootstrap: [],
  mdns: false,
  relay: { server: false, client: false },
  role: 'peer',
  maxConnections: 50,
}
const cleanups: (() => Promise<void> | void)[] = []

export async function cleanUp(): Promise<void> {
  for (const clean of cleanups.splice(0).reverse()) await clean()
}

export interface PeerOptions {
  readonly dataDir?: string
  readonly identity?: Identity
  readonly trains?: boolean
  /** Everybody's runs by default. */
  readonly owners?: readonly string[]
  readonly trainMs?: number
  /** 1,000 by default. */
  readonly weights?: number
  /** Times what it has learned: a liar, or one whose training has failed. */
  readonly loud?: number
  /** Called before each local training; may wait. */
  readonly onTrain?: (round: number) => Promise<void> | void
}

export async function startPeer(options: PeerOptions = {}): Promise<MeshPeer> {
  const dataDir = options.dataDir ?? temporaryFolder()
  const identity = options.identity ?? createIdentity()
  const lines: string[] = []
  const logger: Logger = { ...silentLogger, error: (_, message) => void lines.push(message), child: () => logger }
  const components = { identity, logger, metrics: silentMetrics, clock: systemClock }
  const network = await createNetwork({ ...components, mesh }, onLoopback)
  await network.start()
  const content = createContentStore(
    { ...components, network },
    { path: join(dataDir, 'blocks'), maxBytes: 256 * 1024 * 1024 },
  )
  await content.start()
  const federation = createFederation(
    { ...components, network, content, trainerFactory: async ({ seed }) => smallTrainer(seed, options) },
    {
      dataDir,
      data: options.trains === false ? null : { roots: [], extensions: [], maxBytes: 1 },
      join: 'all',
      owners: options.owners ?? 'all',
      evaluate: true,
    },
  )
  const events: FederationEvent[] = []
  federation.onEvent((event) => events.push(event))
  await federation.start()
  let stopped = false
  const stop = async (): Promise<void> => {
    if (stopped) return
    stopped = true
    await network.stop()
    await federation.stop()
    await content.stop()
  }
  cleanups.push(stop)
  return { name: identity.peerId.toString(), identity, network, content, federation, events, dataDir, lines, stop }
}

/** A peer of the mesh that has no federation: what it says is for the test to say. */
export async function startLiar(): Promise<{
  readonly name: string
  readonly identity: Identity
  readonly network: Network
}> {
  const identity = createIdentity()
  const network = await createNetwork(
    { identity, logger: silentLogger, metrics: silentMetrics, clock: systemClock, mesh },
    onLoopback,
  )
  await network.start()
  cleanups.push(() => network.stop())
  return { name: identity.peerId.toString(), identity, network }
}

export function temporaryFolder(): string {
  const path = mkdtempSync(join(tmpdir(), 'owm-rounds-'))
  cleanups.push(() => rmSync(path, { recursive: true, force: true }))
  return path
}

export async function connectAll(peers: readonly MeshPeer[]): Promise<void> {
  for (const [i, peer] of peers.entries()) {
    for (const other of peers.slice(0, i)) {
      const address = other.network.addresses()[0]
      if (address !== undefined) await peer.network.connect(address)
    }
  }
}

export const weightsLength = 1_000

/** Learns to be the sine of the index; each peer sees a disturbed one. The loss is the mean square distance. */
function smallTrainer(seed: number, options: PeerOptions): Trainer {
  const target = (i: number): number => Math.sin(i)
  const lossOf = (weights: Float32Array): number =>
    weights.reduce((sum, weight, i) => sum + (weight - target(i)) ** 2, 0) / weights.length
  let round = 0
  return {
    layout: { length: options.weights ?? weightsLength, entries: [] },
    about: 'a sine',
    train: async ({ parameters, signal, onProgress, runProgress }) => {
      round = Math.round((runProgress?.to ?? 0) * 1000)
      await options.onTrain?.(round)
      await sleep(options.trainMs ?? 60, signal)
      if (signal?.aborted) throw new OwmError('aborted', 'called off')
      onProgress?.({ step: 1, loss: lossOf(parameters), stepsPerSecond: 1 })
      const rate = 0.4 * (options.loud ?? 1)
      const learned = parameters.map((p, i) => p + rate * (target(i) + 0.05 * Math.cos(seed + i) - p))
      return { parameters: learned, steps: 10, samples: 16 + (seed % 16), loss: lossOf(learned) }
    },
    evaluate: async (weights, heldOut) => ({ loss: lossOf(weights), accuracy: null, examples: heldOut.length }),
    stop: async () => undefined,
  }
}

export async function specificationFor(
  owner: Pick<MeshPeer, 'content'>,
  roster: readonly Pick<MeshPeer, 'name'>[],
  change: Partial<RunSpecification> = {},
  weights = weightsLength,
): Promise<RunSpecification> {
  return {
    name: 'sine',
    fields: [{ name: 'windows', type: 'int32', shape: [65], values: 256 }],
    graph: await owner.content.put(new TextEncoder().encode('no graph is needed')),
    initial: await owner.content.put(new Uint8Array(weights * 4)),
    heldOut: await owner.content.put(new TextEncoder().encode('held out')),
    heldOutShare: 26,
    optimizer: defaultOptimizer,
    batch: 16,
    localSteps: 10,
    localMs: 1_000,
    rounds: 5,
    roster: roster.map((peer) => peer.name),
    minimumTrainers: 2,
    committeeSize: 4,
    faults: 'crash',
    ...defaultPlans,
    compression: { ...defaultPlans.compression, results: { kind: 'quantise', bits: 8 } },
    clipNorm: 100,
    createdMs: 1,
    ...change,
  }
}

/** Polls a state: there is no event for all that a test waits for. The test's own time-out bounds it. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await sleep(20)
}

export function certified(peer: MeshPeer): number {
  return peer.federation.runs()[0]?.rounds.length ?? 0
}

export function eventsOf<T extends FederationEvent['type']>(
  peer: MeshPeer,
  type: T,
): Extract<FederationEvent, { type: T }>[] {
  return peer.events.filter((event): event is Extract<FederationEvent, { type: T }> => event.type === type)
}
