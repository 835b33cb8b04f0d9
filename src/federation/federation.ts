import type { PeerId } from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import { CID } from 'multiformats/cid'
import type { ContentStore } from '../content/index.ts'
import type { Identity } from '../identity/index.ts'
import {
  type Clock,
  createEmitter,
  type Emitter,
  encode,
  errorCode,
  errorMessage,
  OwmError,
  RejectedError,
} from '../lib/index.ts'
import type { GossipTopic, Network } from '../network/index.ts'
import type { Counter, Logger, Metrics } from '../observability/index.ts'
import type { OfferedData, Trainer, TrainerInit } from '../training/index.ts'
import { type AuditReport, auditRun, type RoundAudit } from './audit.ts'
import { roundClaimedBy } from './audit-findings.ts'
import { checkControl, isOver, openControl } from './control.ts'
import { type ExportFile, exportRun } from './export.ts'
import type {
  CheckpointView,
  ControlAction,
  Federation,
  FederationEvent,
  RunSpecification,
  RunView,
  WithoutEnvelope,
} from './index.ts'
import { type Journal, openJournal } from './journal.ts'
import { judgeBeacon, judgeBy } from './judging.ts'
import { ProgressGossip } from './progress-gossip.ts'
import { Retention } from './retention.ts'
import { checkRunContent } from './run-content.ts'
import { RunDriver } from './run-driver.ts'
import { maxRuns, placeFor } from './run-table.ts'
import { openRun, type Run, signRun } from './specification.ts'
import { type Evaluation, openEvaluation } from './statements.ts'
import {
  agreeProtocol,
  type Beacon,
  evaluationsTopic,
  maxBeaconBytes,
  runsTopic,
  type SyncResponse,
  syncProtocol,
  updateProtocol,
} from './wire.ts'

/** Participants say so often that a run is there; a newcomer waits no longer than this to hear of it. */
const beaconMs = 2_000
/** Runs that are over are still told of, now and then. */
const finishedBeaconMs = 15_000
/** Specifications that are asked for at the same time: who announces more is not heard. */
const maxAsking = 16
/** A signed specification up to this size travels in the beacon. */
const maxBeaconDocumentBytes = maxBeaconBytes - 1024

export interface FederationComponents {
  readonly network: Network
  readonly identity: Identity
  readonly content: ContentStore
  readonly clock: Clock
  readonly logger: Logger
  readonly metrics: Metrics
  /** `createTrainer` of the training room, or what a test puts in its place. */
  readonly trainerFactory: (init: TrainerInit) => Promise<Trainer>
}

export interface FederationInit {
  /** For the journal of runs, certificates and votes. */
  readonly dataDir: string
  /** What this peer trains on; null when it trains on nothing and only follows runs. */
  readonly data: Omit<OfferedData, 'heldOutShare'> | null
  /** The runs that it trains in: all, none, or those with one of these names or ids. */
  readonly join: 'all' | 'none' | readonly string[]
  /** Whose runs it trains in and answers from, beside its own and those whose id `join` names: anybody can make a run of a known name. */
  readonly owners: 'all' | readonly string[]
  /** Whether it measures checkpoints when it is its turn. */
  readonly evaluate: boolean
}

export function createFederation(components: FederationComponents, init: FederationInit): Federation {
  return new MeshFederation(components, init)
}

class MeshFederation implements Federation {
  readonly #components: FederationComponents
  readonly #init: FederationInit
  readonly #log: Logger
  readonly #self: string
  readonly #drivers = new Map<string, RunDriver>()
  readonly #events: Emitter<FederationEvent>
  readonly #counted: Counter
  #journal: Journal | undefined
  #runsTopic: GossipTopic<Beacon> | undefined
  #evaluationsTopic: GossipTopic<Evaluation> | undefined
  #progress: ProgressGossip | undefined
  #wired = false
  #running = false
  #stops: (() => void)[] = []
  readonly #asking = new Set<string>()
  /** When somebody else last spoke of a run. */
  readonly #heardMs = new Map<string, number>()
  readonly #retention: Retention
  #beats = 0

  constructor(components: FederationComponents, init: FederationInit) {
    this.#components = components
    this.#init = init
    this.#log = components.logger.child({ room: 'federation' })
    this.#self = components.identity.peerId.toString()
    this.#events = createEmitter((error) => this.#log.error({ error: errorMessage(error) }, 'a listener failed'))
    this.#retention = new Retention(components.content, this.#log, async () =>
      (await Promise.all([...this.#drivers.values()].map((driver) => driver.keeps()))).flat(),
    )
    this.#counted = components.metrics.counter('owm_federation_events_total', 'What happened in runs.', ['type'])
  }

  async start(): Promise<void> {
    if (this.#running) return
    this.#running = true
    const { network } = this.#components
    this.#journal = openJournal(this.#init.dataDir)
    this.#wire()
    this.#stops = [
      network.onPeer((event) => {
        for (const driver of this.#drivers.values()) driver.onPeer(event)
      }),
      this.#runsTopic?.onMessage((beacon) => void this.#onBeacon(beacon)) ?? (() => undefined),
      this.#evaluationsTopic?.onMessage((evaluation) => {
        this.#drivers.get(evaluation.run)?.onEvaluation(evaluation.document)
      }) ?? (() => undefined),
    ]
    for (const { id, document } of this.#journal.runs()) {
      try {
        this.#open(openRun(document))
      } catch (error) {
        this.#log.error({ run: id, error: errorMessage(error) }, 'a stored run cannot be opened; it is left alone')
      }
    }
    this.#beat()
  }

  async stop(): Promise<void> {
    if (!this.#running) return
    this.#running = false
    for (const stop of this.#stops.splice(0)) stop()
    await Promise.all([...this.#drivers.values()].map((driver) => driver.stop()))
    this.#drivers.clear()
    this.#journal?.close()
    this.#journal = undefined
  }

  async createRun(specification: RunSpecification): Promise<string> {
    const run = signRun(this.#components.identity, specification)
    await checkRunContent(specification, this.#components.content)
    if (!this.#adopt(run, false, null)) {
      throw new OwmError('too_many_runs', `This peer has a part in ${maxRuns} runs; more are not followed.`)
    }
    return run.id
  }

  async controlRun(id: string, action: ControlAction): Promise<void> {
    this.#driverOf(id).say(action)
    this.#publish(id)
  }

  async takePart(id: string, trains: boolean): Promise<void> {
    const driver = this.#driverOf(id)
    if (trains && driver.finished) throw new OwmError('run_over', 'The run is over; there is nothing left to train.')
    if (trains && this.#init.data === null) {
      throw new OwmError(
        'no_training_data',
        'This peer has nothing to train on: set [training] data, and start it anew.',
      )
    }
    this.#journal?.setPart(id, trains)
    if (driver.trainsHere !== trains) await this.#reopen(driver)
    this.#publish(id)
  }

  audit(
    id: string,
    options: { readonly round?: number | undefined; readonly certificate?: Uint8Array; readonly signal: AbortSignal },
  ): AsyncIterable<RoundAudit | AuditReport> {
    const source = this.#driverOf(id).auditSource()
    const { round, certificate, signal } = options
    if (certificate === undefined) return auditRun(source, { round, signal })
    const at = roundClaimedBy(certificate)
    const replaced = async (wanted: number) => (wanted === at ? certificate : source.certificate(wanted))
    const rounds = Math.max(source.rounds, at)
    return auditRun({ ...source, rounds, certificate: replaced }, { round: at, signal })
  }

  exportRun(id: string, signal: AbortSignal): AsyncIterable<ExportFile> {
    const driver = this.#driverOf(id)
    return exportRun(driver.auditSource(), driver.control?.document ?? null, driver.evaluations(), signal)
  }

  runs(): RunView[] {
    return [...this.#drivers.values()].map((driver) => driver.view())
  }

  /** Of runs whose owner is trusted. */
  checkpoints(): CheckpointView[] {
    const newest = new Map<string, CheckpointView>()
    for (const driver of this.#drivers.values()) {
      const { checkpoint } = driver
      if (checkpoint === null || !this.#trusts(driver.run)) continue
      const other = newest.get(checkpoint.name)
      if (other === undefined || checkpoint.certifiedMs > other.certifiedMs) newest.set(checkpoint.name, checkpoint)
    }
    return [...newest.values()]
  }

  checkpointOf(run: string): CheckpointView | null {
    return this.#driverOf(run).checkpoint
  }

  async weights(checkpoint: CheckpointView, signal?: AbortSignal): Promise<Float32Array> {
    const driver = this.#drivers.get(checkpoint.run)
    if (driver === undefined) throw new OwmError('not_found', `Run ${checkpoint.run} is not known here.`)
    return driver.weightsOf(checkpoint.round, signal)
  }

  onEvent(listener: (event: FederationEvent) => void): () => void {
    return this.#events.on(listener)
  }

  /** Protocols and topics are registered once; a room that is stopped answers that it is. */
  #wire(): void {
    if (this.#wired) return
    this.#wired = true
    const { network } = this.#components
    network.handle(updateProtocol, async (request, { from, signal }) => {
      const driver = this.#driver(request.run)
      try {
        return { outcome: await driver.onUpdate(from, request, signal) }
      } catch (error) {
        // A refusal is an answer: the trainer need not try again.
        if (error instanceof RejectedError) return { outcome: error.code }
        throw error
      }
    })
    network.handle(agreeProtocol, async (request, { from }) => {
      this.#driver(request.run).onAgree(from, request)
      return { ok: true as const }
    })
    network.handle(syncProtocol, async (request): Promise<SyncResponse> => {
      const driver = this.#driver(request.run)
      if (request.kind === 'certificates') return driver.sync(request.after)
      const { run, head, control } = driver
      const none = { certificates: [], evaluations: [] }
      return { document: run.document, ...none, control: control?.document ?? null, round: head.round }
    })
    this.#runsTopic = network.gossip({ ...runsTopic, validate: judgeBeacon })
    this.#evaluationsTopic = network.gossip({ ...evaluationsTopic, validate: judgeBy(openEvaluation) })
    this.#progress = new ProgressGossip({ ...this.#components, logger: this.#log }, (progress) => {
      this.#drivers.get(progress.run)?.onProgress(progress)
    })
  }

  #driver(run: CID): RunDriver {
    return this.#driverOf(run.toString())
  }

  #driverOf(id: string): RunDriver {
    const driver = this.#drivers.get(id)
    if (driver === undefined) throw new OwmError('unknown_run', `Run ${id} is not known here.`)
    return driver
  }

  #trusts({ owner, id }: Run): boolean {
    const { owners } = this.#init
    if (owner === this.#self || owners === 'all' || owners.includes(owner)) return true
    return this.#isNamed(id)
  }

  /** Whether the operator has named this very run: in the settings, or by joining it. */
  #isNamed(id: string): boolean {
    const { join } = this.#init
    return (typeof join !== 'string' && join.includes(id)) || this.#journal?.part(id) === true
  }

  /** Takes a run that is new here, if there is a place for it. Returns whether it is followed now. */
  #adopt(run: Run, finished: boolean, control: Uint8Array | null): boolean {
    if (this.#drivers.has(run.id)) return true
    const journal = this.#journal
    if (journal === undefined) return false
    const nowMs = this.#components.clock.now()
    const known = [...this.#drivers.values()].map((driver) => ({
      id: driver.run.id,
      owner: driver.run.owner,
      own: driver.own || this.#isNamed(driver.run.id),
      finished: driver.finished,
      heardMs: this.#heardMs.get(driver.run.id) ?? nowMs,
    }))
    // Anybody can name this peer on a roster, or give a run a known name.
    const own = run.owner === this.#self || this.#isNamed(run.id)
    const place = placeFor({ owner: run.owner, own, finished }, known, nowMs)
    if (!place.taken) return false
    if (place.evict !== null) this.#drop(place.evict)
    journal.addRun({ id: run.id, document: run.document })
    // Before it begins: nobody trains for a run that is paused.
    if (control !== null) journal.setControl(openControl(control))
    this.#heardMs.set(run.id, nowMs)
    this.#open(run)
    this.#publish(run.id)
    return true
  }

  /** Follows a run no longer, and deletes what it has left here. */
  #drop(id: string): void {
    const driver = this.#drivers.get(id)
    if (driver === undefined) return
    this.#log.info({ run: id }, 'a run is followed no longer: others need its place')
    this.#journal?.removeRun(id)
    this.#drivers.delete(id)
    this.#heardMs.delete(id)
    const cleaning = async (): Promise<void> => {
      await driver.stop()
      await this.#retention.discard(await driver.everything())
    }
    cleaning().catch((error) => this.#log.warn({ run: id, error: errorMessage(error) }, 'a run was not cleaned up'))
  }

  #open(run: Run): void {
    const { join, data, evaluate } = this.#init
    const journal = this.#journal
    if (journal === undefined) return
    const named = join === 'all' || (join !== 'none' && join.includes(run.specification.name))
    const wanted = journal.part(run.id) ?? ((named && this.#trusts(run)) || this.#isNamed(run.id))
    const driver = new RunDriver(
      { ...this.#components, journal, logger: this.#log },
      {
        run,
        data: wanted ? data : null,
        evaluate,
        emit: (event) => {
          if (isOwn(event, this.#self)) this.#progress?.tell(run.id, event, driver.trainers)
          this.#emit(run.id, event)
        },
        publishBeacon: () => this.#publish(run.id),
        reopen: () => void this.#reopen(driver),
        retention: this.#retention,
        publishEvaluation: (evaluation) => {
          this.#evaluationsTopic?.publish(evaluation.document).catch((error) => {
            this.#log.debug({ error: errorMessage(error) }, 'evaluation not published')
          })
        },
      },
    )
    this.#drivers.set(run.id, driver)
    if (!this.#heardMs.has(run.id)) this.#heardMs.set(run.id, this.#components.clock.now())
    driver.start()
  }

  async #reopen(driver: RunDriver): Promise<void> {
    const { run } = driver
    if (this.#drivers.get(run.id) !== driver) return
    this.#drivers.delete(run.id)
    await driver.stop()
    if (this.#running) this.#open(run)
  }

  #emit(run: string, event: WithoutEnvelope): void {
    this.#counted.add(1, { type: event.type })
    this.#events.emit({ run, atMs: this.#components.clock.now(), ...event } as FederationEvent)
  }

  #beat(): void {
    const everyNth = Math.round(finishedBeaconMs / beaconMs)
    for (const driver of this.#drivers.values()) {
      if (driver.participates && (!driver.finished || this.#beats % everyNth === 0)) this.#publish(driver.run.id)
    }
    this.#beats++
    this.#stops.push(
      this.#components.clock.after(beaconMs, () => {
        this.#stops.pop()
        if (this.#running) this.#beat()
      }),
    )
  }

  #publish(id: string): void {
    const driver = this.#drivers.get(id)
    if (driver === undefined) return
    const { run, head, control } = driver
    const document = run.document.byteLength <= maxBeaconDocumentBytes ? run.document : null
    const beacon = encode({
      v: 1,
      peer: this.#self,
      run: run.cid,
      document,
      round: head.round,
      value: CID.parse(head.id),
      control: control?.document ?? null,
    } satisfies Beacon)
    this.#runsTopic?.publish(beacon).catch((error) => {
      this.#log.debug({ error: errorMessage(error) }, 'beacon not published')
    })
  }

  async #onBeacon(beacon: Beacon): Promise<void> {
    if (beacon.peer === this.#self || !this.#running) return
    const id = beacon.run.toString()
    const from = peerIdFromString(beacon.peer)
    const known = this.#drivers.get(id)
    if (known !== undefined) {
      this.#heardMs.set(id, this.#components.clock.now())
      known.onHead(beacon.round, beacon.value.toString(), from)
    }
    try {
      if (known !== undefined) {
        if (beacon.control !== null) known.onControl(beacon.control)
        return
      }
      const document = beacon.document ?? (await this.#ask(beacon.run, from))
      if (document === null) return
      const run = openRun(document)
      if (run.id !== id) return
      const control = beacon.control === null ? null : openControl(beacon.control)
      if (control !== null) checkControl(run, control)
      this.#adopt(run, isOver(run, control, beacon.round), beacon.control)
    } catch (error) {
      this.#log.debug({ run: id, from: beacon.peer, code: errorCode(error) }, 'what a beacon tells is not taken')
    }
  }

  async #ask(run: CID, from: PeerId): Promise<Uint8Array | null> {
    const key = run.toString()
    if (this.#asking.has(key) || this.#asking.size >= maxAsking) return null
    this.#asking.add(key)
    try {
      return (await this.#components.network.request(from, syncProtocol, { kind: 'run', run })).document
    } finally {
      this.#asking.delete(key)
    }
  }
}

/** What another peer told of itself is not told on. */
function isOwn(event: WithoutEnvelope, self: string): boolean {
  return !('trainer' in event) || event.trainer === self
}
