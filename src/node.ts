/**
 * The composition root: one peer, made of rooms. This is the only place that knows them all; each is handed what it
 * needs of the others; they are started from the ground up and stopped in reverse.
 *
 * @example
 * const peer = await createPeer(config, { role: 'peer', logger })
 * await peer.start()
 * await peer.stopRequested
 * await peer.stop()
 */
import { statfs } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { type Config, openDataDir } from './config/index.ts'
import { createContentStore } from './content/index.ts'
import {
  createControlServer,
  operatorVerbs,
  type PeerFacts,
  type RunBaselines,
  socketPathFor,
} from './control/index.ts'
import { type CheckpointView, createFederation } from './federation/index.ts'
import { createGateway, type Gateway, type HealthReport } from './gateway/index.ts'
import { loadOrCreateIdentity } from './identity/index.ts'
import { createCheckpointAnswerer } from './inference/index.ts'
import { systemClock as clock, errorCode, type Startable, startInOrder } from './lib/index.ts'
import {
  createBandwidthMeter,
  createLoadMeter,
  createManifests,
  detectHardware,
  type ManifestBody,
  tierOf,
  vramOf,
} from './manifests/index.ts'
import { createMeshStore, createNetwork, type Mesh, publicMesh } from './network/index.ts'
import { createPrometheus, type Logger } from './observability/index.ts'
import { createTrainer, type OfferedData } from './training/index.ts'

export const version = '0.1.0'

/** With less room than this a checkpoint may not fit: the peer says in `/health` that it is not ready. */
const minimumFreeBytes = 256 * 1024 * 1024
const diskCheckMs = 15_000
/** `nvidia-smi` takes seconds on a cold driver; a peer does not wait longer for it. */
const hardwareTimeoutMs = 5_000
const maxGraphBytes = 16 * 1024 * 1024
/** How many checkpoints a manifest names: the newest of each model. */
const maxModelsInManifest = 8

export interface Peer extends Startable {
  readonly facts: PeerFacts
  readonly id: string
  /** Whether this start made the identity. */
  readonly createdIdentity: boolean
  addresses(): string[]
  /** `host:port` of the HTTP listener. */
  httpAddress(): string
  /** Resolves when the operator asked for a stop over the control socket. */
  readonly stopRequested: Promise<void>
}

export interface PeerInit {
  /** A bootstrap peer seeds the DHT and relays; it trains nothing and answers nothing. */
  readonly role: 'peer' | 'bootstrap'
  readonly logger: Logger
}

/** Opens and locks the data directory, loads the identity, and makes the rooms. Nothing is listening before `start`. */
export async function createPeer(config: Config, { role, logger }: PeerInit): Promise<Peer> {
  const startedMs = clock.now()
  const dataDir = await openDataDir(config.peer.dataDir, { controlSocket: socketPathFor(config.peer.dataDir) })
  try {
    return await assemble()
  } catch (error) {
    await dataDir.close()
    throw error
  }

  async function assemble(): Promise<Peer> {
    const room = (name: string): Logger => logger.child({ room: name })
    const { metrics, text: metricsText } = createPrometheus()
    const { identity, created } = await loadOrCreateIdentity(join(dataDir.path, 'identity.key'))
    const mesh = await chosenMesh(config, dataDir.path)
    const hardware = await detectHardware(AbortSignal.timeout(hardwareTimeoutMs))
    const data: OfferedData | null =
      role === 'bootstrap' || !config.training.enabled || config.training.data.length === 0
        ? null
        : {
            roots: config.training.data,
            extensions: config.training.extensions,
            maxBytes: config.training.maxDataBytes,
            heldOutShare: 0,
            shards: config.training.shards,
            ...(config.training.target === '' ? {} : { target: config.training.target }),
          }
    const gatewayOn = role === 'peer' && config.gateway.enabled
    const facts: PeerFacts = {
      mesh,
      version,
      role,
      dataDir: dataDir.path,
      startedMs,
      gateway: gatewayOn,
      hardware,
      trains: data !== null,
    }

    const network = await createNetwork(
      { identity, mesh, logger: room('network'), metrics, clock },
      {
        preset:
          config.network.preset === 'auto' ? (mesh.parameters.private ? 'private' : 'public') : config.network.preset,
        listen: await freeOfDefaults(config),
        announce: config.network.announce,
        bootstrap: config.network.bootstrap,
        mdns: config.network.mdns,
        relay: { server: role === 'bootstrap' || config.network.relayServer, client: config.network.relayClient },
        role,
        maxConnections: config.network.maxConnections,
        dataDir: dataDir.path,
      },
    )
    const load = createLoadMeter()
    const bandwidth = createBandwidthMeter(
      { network, clock, logger: room('manifests') },
      { loadPermille: load.permille, onMeasured: () => void manifests.announce().catch(report) },
    )
    const { tierOverride } = config.peer
    const tier = () => tierOf(hardware, bandwidth.estimate(), tierOverride === 'auto' ? undefined : tierOverride)
    const content = createContentStore(
      { network, logger: room('content'), metrics },
      { path: join(dataDir.path, 'blocks'), maxBytes: config.content.maxBytes },
    )
    const manifests = createManifests(
      { network, identity, clock, logger: room('manifests'), metrics },
      { intervalMs: config.manifest.intervalMs, ttlMs: config.manifest.ttlMs, describe, dataDir: dataDir.path },
    )
    const federation = createFederation(
      {
        network,
        identity,
        content,
        clock,
        logger: room('federation'),
        metrics,
        trainerFactory: (init) =>
          createTrainer({ logger: room('training') }, { ...init, threads: config.training.threads }),
      },
      {
        dataDir: dataDir.path,
        data,
        join: config.training.join,
        owners: trustedOwners(config, mesh),
        evaluate: true,
      },
    )
    const answerer = createCheckpointAnswerer<LanguageCheckpoint>({
      source: {
        checkpoints: () => federation.checkpoints().filter(isAnswerable),
        graph: (checkpoint, signal) =>
          content.get(checkpoint.graph, { maxBytes: maxGraphBytes, ...(signal && { signal }) }),
        weights: (checkpoint, signal) => federation.weights(checkpoint, signal),
      },
      logger: room('inference'),
    })
    /** Of the last run that somebody measured them for: the operator's, over the control socket. */
    let baselines: RunBaselines | undefined
    const disk = diskWatch(dataDir.path)
    let started = false
    const health = (): HealthReport => {
      const lastRound = federation
        .checkpoints()
        .reduce<CheckpointView | null>(
          (last, next) => (last === null || next.certifiedMs > last.certifiedMs ? next : last),
          null,
        )
      const free = disk.freeBytes()
      const reasons = [
        ...(started ? [] : ['The peer is starting.']),
        ...(free !== null && free < minimumFreeBytes
          ? [`Only ${Math.floor(free / 1e6)} MB are free on the data directory's disk.`]
          : []),
      ]
      return {
        ready: reasons.length === 0,
        reasons,
        peer: network.self.toString(),
        mesh: mesh.id,
        version,
        startedMs,
        peers: network.peers().length,
        diskFreeBytes: free,
        lastRound: lastRound && { run: lastRound.run, round: lastRound.round, certifiedMs: lastRound.certifiedMs },
      }
    }
    const http = createHttp(config, (listen) =>
      createGateway(
        {
          health,
          metricsText,
          answerer,
          federation,
          manifests,
          network,
          baselines: (run) => (baselines?.run === run ? baselines.values : []),
          logger: room('gateway'),
          metrics,
          clock,
        },
        { listen, gateway: gatewayOn, dashboard: gatewayOn && config.dashboard.enabled },
      ),
    )
    const stopRequest = Promise.withResolvers<void>()
    const control = createControlServer(
      { logger: room('control') },
      {
        socketPath: socketPathFor(dataDir.path),
        verbs: operatorVerbs(facts, {
          network,
          manifests,
          federation,
          content,
          answerer,
          data,
          health,
          tier,
          httpAddress: http.address,
          requestStop: stopRequest.resolve,
          keepBaselines: (values) => {
            baselines = values
          },
          now: () => clock.now(),
        }),
      },
    )
    /** A new checkpoint, or a run joined, is news for the mesh. */
    const news: Startable = listening(() => [
      federation.onEvent((event) => {
        if (event.type === 'round-certified' || event.type === 'run-joined') manifests.announce().catch(report)
      }),
    ])

    function describe(): ManifestBody {
      const checkpoints = federation.checkpoints().slice(0, maxModelsInManifest)
      return {
        ...tier(),
        cores: hardware.cores,
        ramBytes: hardware.ramBytes,
        vramBytes: vramOf(hardware),
        ...bandwidth.estimate(),
        capabilities: [
          ...(data === null ? [] : [{ name: 'fl_round', version: '1.0', priceMsat: 0 }]),
          ...(role === 'peer' && checkpoints.length > 0 ? [{ name: 'inference', version: '1.0', priceMsat: 0 }] : []),
          ...(role === 'bootstrap' || config.network.relayServer
            ? [{ name: 'relay', version: '1.0', priceMsat: 0 }]
            : []),
        ],
        loadPermille: load.permille(),
        models: checkpoints.map(({ name, checkpoint, round }) => ({ name, checkpoint, round })),
        addresses: network.addresses().map(String),
        gateway: gatewayOn ? `http://${http.address()}` : null,
        agent: `owm/${version}`,
      }
    }
    const report = (error: unknown): void =>
      logger.error({ code: errorCode(error), error: String(error) }, 'a part failed')

    const parts = [
      disk,
      network,
      content,
      manifests,
      ...(config.manifest.measureBandwidth ? [bandwidth] : []),
      federation,
      news,
      http,
      control,
    ]
    let stopAll: (() => Promise<void>) | undefined
    return {
      facts,
      id: identity.peerId.toString(),
      createdIdentity: created,
      addresses: () => network.addresses().map(String),
      httpAddress: http.address,
      stopRequested: stopRequest.promise,
      start: async (signal) => {
        if (stopAll !== undefined) return
        stopAll = await startInOrder(parts, report, signal)
        started = true
      },
      stop: async () => {
        started = false
        await stopAll?.()
        stopAll = undefined
        await answerer.stop().catch(report)
        await dataDir.close()
      },
    }
  }
}

/** A checkpoint that can go on with a text. */
type LanguageCheckpoint = CheckpointView & { readonly model: NonNullable<CheckpointView['model']> }

function isAnswerable(checkpoint: CheckpointView): checkpoint is LanguageCheckpoint {
  return checkpoint.model?.vocabulary === 256
}

/** The mesh that the settings name, else the data directory's default, else the public one. */
async function chosenMesh(config: Config, dataDir: string): Promise<Mesh> {
  const store = createMeshStore(dataDir)
  if (config.peer.mesh === 'public') return publicMesh()
  if (config.peer.mesh !== '') return store.get(config.peer.mesh)
  return (await store.getDefault()) ?? publicMesh()
}

/** Who has the key of a private mesh is trusted with training; a stranger of the public mesh only where the operator says so. */
function trustedOwners(config: Config, mesh: Mesh): 'all' | readonly string[] {
  return config.training.owners.length === 0 && mesh.parameters.private ? 'all' : config.training.owners
}

/**
 * The addresses to listen on. A port that is merely our default and is taken (a second peer on this machine) gives way to
 * a free one; a port that the operator chose does not, and its being taken is an error.
 */
async function freeOfDefaults(config: Config): Promise<string[]> {
  if (config.sources['network.listen'].from !== 'default') return [...config.network.listen]
  return Promise.all(
    config.network.listen.map(async (address) => {
      const port = /\/tcp\/(\d+)/.exec(address)?.[1]
      return port === undefined || (await isFree(Number(port))) ? address : address.replace(`/tcp/${port}`, '/tcp/0')
    }),
  )
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer()
    probe.once('error', () => resolve(false))
    probe.listen(port, '0.0.0.0', () => probe.close(() => resolve(true)))
  })
}

/** The HTTP listener, which moves to a free port where its own is merely our default and taken. */
function createHttp(config: Config, make: (listen: string) => Gateway): Startable & { address(): string } {
  let gateway = make(config.http.listen)
  return {
    address: () => {
      const { host, port } = gateway.address()
      return `${host.includes(':') ? `[${host}]` : host}:${port}`
    },
    start: async (signal) => {
      try {
        await gateway.start(signal)
      } catch (error) {
        if (errorCode(error) !== 'port_in_use' || config.sources['http.listen'].from !== 'default') throw error
        gateway = make(config.http.listen.replace(/:\d+$/, ':0'))
        await gateway.start(signal)
      }
    },
    stop: () => gateway.stop(),
  }
}

/** Free space, looked at now and then: `/health` must be cheap. */
function diskWatch(path: string): Startable & { freeBytes(): number | null } {
  let free: number | null = null
  let callOff = (): void => undefined
  const look = async (): Promise<void> => {
    free = await statfs(path).then(
      ({ bavail, bsize }) => bavail * bsize,
      () => null,
    )
    callOff = clock.after(diskCheckMs, look)
  }
  return { start: look, stop: async () => callOff(), freeBytes: () => free }
}

function listening(subscribe: () => (() => void)[]): Startable {
  let offs: (() => void)[] = []
  return {
    start: async () => {
      offs = subscribe()
    },
    stop: async () => {
      for (const off of offs.splice(0)) off()
    },
  }
}
