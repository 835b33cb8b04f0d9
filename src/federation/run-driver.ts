import type { PeerId } from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import { CID } from 'multiformats/cid'
import { equalBytes, errorCode, errorMessage, OwmError, withTimeout } from '../lib/index.ts'
import type { PeerEvent } from '../network/index.ts'
import type { Logger } from '../observability/index.ts'
import { languageShape, type OfferedData, type Trainer, type TrainerInit } from '../training/index.ts'
import type { AuditSource } from './audit.ts'
import { CatchingUp } from './catching-up.ts'
import { checkQuorum, claimOf, electionOf, openCertificate, type Value } from './certificate.ts'
import { CertificateSender } from './certificate-sender.ts'
import { Chain, measuredIn } from './chain.ts'
import {
  type Control,
  type ControlAction,
  checkControl,
  isOver,
  lastRoundOf,
  nextControl,
  openControl,
  supersedes,
} from './control.ts'
import type { CheckpointView, RoundView, RunView, WithoutEnvelope } from './index.ts'
import { LocalTraining } from './local-training.ts'
import { measureInTurn, turnOf } from './measuring.ts'
import { OldRounds } from './old-rounds.ts'
import { fetchTimeoutMs } from './proposal.ts'
import { Results } from './results.ts'
import { keptUpdatesRounds, type Retention } from './retention.ts'
import { retrying } from './retrying.ts'
import { type RoundComponents, RoundDriver } from './round-driver.ts'
import { RoundNotes } from './round-notes.ts'
import { viewOf } from './run-view.ts'
import type { Run } from './specification.ts'
import { type Evaluation, openEvaluation, openNotice, type Progress, signEvaluation } from './statements.ts'
import { type Measured, timingOf } from './timing.ts'
import { type AgreeRequest, maxSyncBytes, type SyncResponse, type UpdateRequest } from './wire.ts'

export type DriverComponents = Omit<RoundComponents, 'results' | 'training'> & {
  readonly trainerFactory: (init: TrainerInit) => Promise<Trainer>
}

export interface DriverInit {
  readonly run: Run
  /** Null when this peer has none, or does not take part in this run. */
  readonly data: Omit<OfferedData, 'heldOutShare'> | null
  readonly evaluate: boolean
  readonly emit: (event: WithoutEnvelope) => void
  readonly publishBeacon: () => void
  /** What this driver has given up is wanted again: it is to be made anew. */
  readonly reopen: () => void
  readonly publishEvaluation: (evaluation: Evaluation) => void
  readonly retention: Retention
}

/** Certificates and evaluations in one answer. */
const maxSyncItems = 64
/** A round that this peer had to leave, for want of disk space perhaps, is entered again after so long. */
const afterFaultMs = 5_000
/** Words of a run's owner are taken no more often. */
const controlMs = 1_000
/** An audit waits so long for one value that is not here. */
const auditFetchMs = 10_000

/** One run on this peer: from certificate to certificate, with a round driver for the round under way. */
export class RunDriver {
  readonly run: Run
  readonly #chain: Chain
  readonly #components: RoundComponents
  readonly #init: DriverInit
  readonly #self: string
  readonly #log: Logger
  readonly #results: Results
  readonly #notes: RoundNotes
  readonly #training: LocalTraining | null
  readonly #shutdown = new AbortController()
  readonly #history: Measured[] = []
  readonly #sender: CertificateSender
  #callOffRestart: () => void = () => undefined
  readonly #oldRounds: OldRounds
  readonly #catchingUp: CatchingUp
  #round: RoundDriver | null = null
  /** Of the round before and of the newest. */
  #stopMeasuring: (() => void)[] = [() => undefined, () => undefined]
  #ready: CheckpointView | null = null
  #control: Control | null
  #controlledMs = Number.NEGATIVE_INFINITY
  /** The newest certified round whose consequences have been drawn. */
  #seenRound = 0

  constructor(components: DriverComponents, init: DriverInit) {
    const { run, data } = init
    this.run = run
    this.#notes = new RoundNotes(() => components.network.traffic())
    const emit = (event: WithoutEnvelope): void => {
      this.#notes.note(event)
      init.emit(event)
    }
    this.#init = { ...init, emit }
    this.#self = components.identity.peerId.toString()
    this.#log = components.logger.child({ run: run.id })
    this.#chain = new Chain(run, components.journal)
    this.#control = components.journal.control(run.id)
    this.#results = new Results(run, components.content, this.#log, (round) => this.#valueOf(round))
    this.#training =
      data === null ? null : new LocalTraining({ ...components, logger: this.#log }, run, this.#self, data)
    this.#components = { ...components, logger: this.#log, results: this.#results, training: this.#training }
    this.#oldRounds = new OldRounds(run, this.#chain, this.#results, init.retention)
    const over = this.#shutdown.signal
    this.#sender = new CertificateSender(this.#components, run, this.#chain, over)
    this.#catchingUp = new CatchingUp(this.#components, {
      run,
      chain: this.#chain,
      over,
      adopt: (bytes) => this.#adoptSent(bytes, false),
      onOther: (bytes) => this.#switchTo(bytes),
      onEvaluation: (document) => this.onEvaluation(document),
      onControl: (document) => this.onControl(document),
      onDone: () => {
        if (this.#seenRound < this.#chain.head.round) this.#proceed()
      },
    })
  }

  start(): void {
    const { head, damaged } = this.#chain
    this.#seenRound = head.round
    if (damaged !== null) this.#log.error(damaged, 'stored certificates are damaged; they are fetched again')
    if (this.finished) void this.#prefetch()
    else {
      if (this.#training !== null) this.#init.emit({ type: 'run-joined', name: this.run.specification.name })
      if (head.round === 0) this.#evaluate()
      else void this.#prefetch()
      this.#startRound()
    }
    for (const peer of this.#components.network.peers()) void this.#catchingUp.from(peer.id)
  }

  async stop(): Promise<void> {
    this.#shutdown.abort(new OwmError('stopped', 'The run is stopping.'))
    this.#callOffRestart()
    this.#round?.stop('behind')
    this.#round = null
    for (const stop of this.#stopMeasuring) stop()
    await this.#training?.stop()
  }

  /** Whether this peer trains in the run. */
  get trainsHere(): boolean {
    return this.#training !== null
  }
  /** Whether this peer has a part in the run that others should hear of. */
  get participates(): boolean {
    return (
      this.#training !== null ||
      this.run.owner === this.#self ||
      this.#chain.head.roster.some((place) => place.peer === this.#self)
    )
  }
  /** Whether this peer has a stake in the run: it is its owner, or its updates went into one of the last rounds. */
  get own(): boolean {
    const trained = this.#chain.rounds().slice(-keptUpdatesRounds)
    return this.run.owner === this.#self || (!this.finished && trained.some((r) => r.trainers.includes(this.#self)))
  }
  /** The newest certificate's round and id. */
  get head(): { readonly round: number; readonly id: string } {
    return this.#chain.head
  }
  /** Whether no round comes any more: all are certified, or the owner has ended the run. */
  get finished(): boolean {
    return isOver(this.run, this.#control, this.#chain.head.round)
  }
  /** The owner's word that stands. */
  get control(): Control | null {
    return this.#control
  }
  /** The newest checkpoint that is here whole. */
  get checkpoint(): CheckpointView | null {
    return this.#ready
  }

  view(): RunView {
    const { network, clock } = this.#components
    return viewOf({
      run: this.run,
      self: this.#self,
      chain: this.#chain,
      round: this.#round,
      control: this.#control,
      notes: this.#notes,
      parameters: this.#results.parameters,
      network,
      nowMs: clock.now(),
    })
  }

  /** What an audit reads; what is not here is asked of peers that may have it. */
  auditSource(): AuditSource {
    const { content, journal } = this.#components
    const { id, document } = this.run
    return {
      document,
      rounds: this.#chain.head.round,
      certificate: async (round) => {
        const stored = journal.certificates(id, round - 1, 1)[0]
        return stored?.round === round ? stored.bytes : null
      },
      value: async (cid, { maxBytes, ask, signal }) => {
        if (!ask && !(await content.has(cid))) return null
        const from = this.#hints().map((peer) => peerIdFromString(peer))
        try {
          return await content.get(cid, { maxBytes, from, signal: withTimeout(auditFetchMs, signal) })
        } catch (error) {
          signal.throwIfAborted()
          if (['not_found', 'timeout', 'aborted'].includes(errorCode(error))) return null
          throw error
        }
      },
    }
  }

  /** The signed measurements that are known, by round. */
  evaluations(): Evaluation[] {
    return this.#chain.evaluations(0)
  }

  /** The weights of a certified round, verified. */
  async weightsOf(round: number, signal?: AbortSignal): Promise<Float32Array> {
    const value = this.#valueOf(round)
    if (value === null) throw new OwmError('not_found', `Round ${round} of run ${this.run.id} is not certified here.`)
    const bounded = withTimeout(fetchTimeoutMs, signal, this.#shutdown.signal)
    return (await this.#results.load(value, this.#hints(), bounded)).weights
  }

  onPeer(event: PeerEvent): void {
    this.#round?.feed({ type: event.type, peer: event.peer.toString() })
    // It may have certified while we were apart.
    if (event.type === 'connected' && !this.finished) void this.#catchingUp.from(event.peer)
  }

  /** Another peer says that it is at this round. */
  onHead(round: number, id: string, from: PeerId): void {
    if (round > this.#chain.head.round) void this.#catchingUp.from(from)
    else if (id !== this.#chain.idAt(round)) void this.#catchingUp.other(from)
  }

  /** Takes what others measured, if one of the run's peers signed it. @throws RejectedError */
  onEvaluation(document: Uint8Array): void {
    const evaluation = openEvaluation(document)
    const known = [...this.run.specification.roster, ...this.#chain.head.roster.map((place) => place.peer)]
    if (evaluation.run !== this.run.id || !known.includes(evaluation.peer)) return
    if (!this.#chain.addEvaluation(evaluation)) return
    const { round, checkpoint } = evaluation
    this.#init.emit({ type: 'evaluated', round, checkpoint, ...measuredIn(evaluation) })
    // Nothing is left to do for the trainer's thread.
    if (this.finished && round === this.#chain.head.round) this.#stopTraining()
  }

  /** What the owner of this peer's own run says next. @throws OwmError as `nextControl` */
  say(action: ControlAction): Control {
    const { identity, clock } = this.#components
    const { round } = this.#chain.head
    const state = { round, underWay: this.#round !== null, nowMs: clock.now() }
    const control = nextControl(identity, this.run, this.#control, action, state)
    this.onControl(control.document)
    return control
  }

  /** The owner's word, from whomever. @throws RejectedError what is wrong with it */
  onControl(document: Uint8Array): void {
    // Nearly every one is the one that is known.
    if (this.#control !== null && equalBytes(document, this.#control.document)) return
    const control = openControl(document)
    checkControl(this.run, control)
    if (!supersedes(control, this.#control)) return
    const nowMs = this.#components.clock.now()
    // Each is written to the disk: an owner that floods is heard now and then. What is left out comes again.
    if (this.run.owner !== this.#self && Math.abs(nowMs - this.#controlledMs) < controlMs) return
    this.#controlledMs = nowMs
    const wasOver = this.finished
    this.#components.journal.setControl(control)
    this.#control = control
    const { action, last } = control
    this.#init.emit({ type: 'run-controlled', action, last })
    if (this.#round !== null && this.#round.round > lastRoundOf(this.run, control)) {
      this.#round.stop('behind')
      this.#round = null
    }
    this.#callOffRestart()
    if (this.finished === wasOver) {
      if (!wasOver && this.#round === null) this.#startRound()
    } else if (wasOver) {
      this.#init.reopen()
    } else {
      this.#init.emit({ type: 'run-finished', checkpoint: this.#chain.head.checkpoint })
      if (this.#chain.measured(this.#chain.head.checkpoint).heldOutLoss !== null) this.#stopTraining()
    }
  }

  #stopTraining(): void {
    this.#training?.stop().catch((error) => this.#log.warn({ error: errorMessage(error) }, 'a trainer did not stop'))
  }

  /** What another trainer tells of its round, for those who watch. */
  onProgress({ peer, round, step, milliLoss, milliStepsPerSecond, update }: Progress): void {
    const { head } = this.#chain
    if (peer === this.#self || round !== head.round + 1 || !head.roster.some((place) => place.peer === peer)) return
    if (update !== null) this.#init.emit({ type: 'update-accepted', round, trainer: peer, update })
    else {
      const figures = { loss: milliLoss / 1000, stepsPerSecond: milliStepsPerSecond / 1000 }
      this.#init.emit({ type: 'train-progress', round, trainer: peer, step, ...figures })
    }
  }

  /** How many train in the round under way. */
  get trainers(): number {
    return this.#chain.head.roster.length
  }

  /** A trainer's push. Resolves with what this member says to it. @throws RejectedError */
  async onUpdate(from: PeerId, request: UpdateRequest, signal: AbortSignal): Promise<string> {
    const { round } = openNotice(request.notice)
    if (round <= this.#chain.head.round) {
      this.#sender.help(from, round)
      return 'late'
    }
    if (this.#round?.round === round) return this.#round.offer(from, request, signal)
    void this.#catchingUp.from(from)
    return 'behind'
  }

  /** A message of the committee, a wish to join, or a certificate. @throws RejectedError what is wrong with it */
  onAgree(from: PeerId, request: AgreeRequest): void {
    const { head } = this.#chain
    if (request.round <= head.round) {
      if (request.kind !== 'certificate') this.#sender.help(from, request.round)
      else if (claimOf(request.certificate).id !== this.#chain.idAt(request.round)) void this.#catchingUp.other(from)
    } else if (request.round > head.round + 1) void this.#catchingUp.from(from)
    else if (request.kind === 'certificate') {
      if (claimOf(request.certificate).previous === head.id) this.#adoptSent(request.certificate, true)
      else void this.#catchingUp.other(from)
    } else this.#round?.onAgree(from.toString(), request)
  }

  /** Answers another peer that wants to know more. */
  sync(after: number): SyncResponse {
    let size = 0
    const certificates = this.#components.journal
      .certificates(this.run.id, after, maxSyncItems)
      .map(({ bytes }) => bytes)
      .filter((bytes, i) => {
        size += bytes.byteLength
        return i === 0 || size <= maxSyncBytes
      })
    const evaluations = this.#chain.evaluations(after).slice(0, maxSyncItems)
    return {
      document: null,
      certificates,
      evaluations: evaluations.map((evaluation) => evaluation.document),
      control: this.#control?.document ?? null,
      round: this.#chain.head.round,
    }
  }

  /** One that another peer sent. @throws RejectedError what is wrong with it */
  #adoptSent(bytes: Uint8Array, proceed: boolean): void {
    checkQuorum(this.run, this.#chain.head, bytes)
    this.#adopt(bytes, proceed)
  }

  /** Goes over to another peer's chain where its certificate stands and ours does not. @throws RejectedError */
  #switchTo(bytes: Uint8Array): void {
    const switched = this.#chain.switchTo(bytes, this.#components.clock.now())
    if (switched === null) return
    const { undone, view } = switched
    const { round } = view
    this.#log.warn(
      { round, undone: undone.length },
      'a lower attempt is certified too: it stands, and what followed goes',
    )
    this.#round?.stop('behind')
    this.#round = null
    if (this.#ready !== null && this.#ready.round >= round) this.#ready = null
    this.#init.emit({ type: 'rounds-undone', from: round, rounds: undone.length })
    this.#init.emit({ type: 'round-certified', round: view })
    void this.#discard(undone)
    this.#proceed()
  }

  async #discard(undone: readonly RoundView[]): Promise<void> {
    const parts = await Promise.all(undone.map(({ checkpoint }) => this.#results.partsOf(checkpoint)))
    const others = undone.flatMap(({ checkpoint, updates }) => [checkpoint, ...updates])
    await this.#init.retention.discard([...others, ...parts.flat()])
  }

  /** Takes the next certificate. `proceed` when no more are known to follow at once. */
  #adopt(bytes: Uint8Array, proceed: boolean): void {
    const nowMs = this.#components.clock.now()
    const live = this.#round?.round === this.#chain.head.round + 1 ? this.#round : null
    const { view } = this.#chain.add(bytes, nowMs, live?.startedMs ?? nowMs)
    const delivery = live?.state.delivery ?? null
    if (delivery !== null && !delivery.accepted && view.updates.includes(delivery.notice.update)) {
      // The certificate was quicker than the members' acknowledgements.
      const { round, trainer, update } = delivery.notice
      this.#init.emit({ type: 'update-accepted', round, trainer, update })
    }
    const measured = live?.measured() ?? null
    if (measured !== null) this.#history.push(measured)
    live?.stop('late')
    for (const [trainer, code] of this.#results.leftOut(view.checkpoint)) {
      // Others had no weight in this round; what stood far apart is refused.
      if (code === 'outlier') this.#init.emit({ type: 'update-rejected', round: view.round, trainer, code })
    }
    this.#init.emit({ type: 'round-certified', round: view })
    if (proceed) this.#proceed()
  }

  #proceed(): void {
    const { head } = this.#chain
    this.#seenRound = head.round
    this.#round?.stop('late')
    this.#round = null
    this.#evaluate()
    void this.#prefetch()
    if (this.finished) this.#init.emit({ type: 'run-finished', checkpoint: head.checkpoint })
    else this.#startRound()
  }

  /** What the journal cannot say now (a disk with errors) is asked again later: the run must not take the peer down. */
  #startRound(): void {
    // The owner has paused the run.
    if (this.#chain.head.round >= lastRoundOf(this.run, this.#control)) return
    try {
      this.#enterRound()
    } catch (error) {
      const fields = { round: this.#chain.head.round + 1, code: errorCode(error), error: errorMessage(error) }
      this.#log.error(fields, 'the round cannot be entered; it is tried again')
      this.#round?.stop('behind')
      this.#round = null
      this.#restartLater()
    }
  }

  #restartLater(): void {
    this.#callOffRestart()
    this.#callOffRestart = this.#components.clock.after(afterFaultMs, () => {
      if (!this.#shutdown.signal.aborted && !this.finished) this.#startRound()
    })
  }

  #enterRound(): void {
    this.#callOffRestart()
    this.#round?.stop('behind')
    void this.#init.retention.discard(this.#results.nextRound())
    const round = new RoundDriver(this.#components, {
      run: this.run,
      self: this.#self,
      head: this.#chain.head,
      value: this.#chain.value,
      timing: timingOf(this.#history, this.run.specification.localMs),
      emit: this.#init.emit,
      hints: () => this.#hints(),
      catchUp: (from) => void this.#catchingUp.from(from),
      onCertificate: (bytes, leader) => {
        this.#adopt(bytes, true)
        void this.#spread(bytes, leader === this.#self)
      },
      onFault: () => this.#restartLater(),
    })
    this.#round = round
    round.start()
  }

  /** The leader tells those who had no vote at once; everybody's beacon tells the rest. */
  async #spread(certificate: Uint8Array, leader: boolean): Promise<void> {
    const { round, roster } = this.#chain.head
    const voted = new Set(this.#chain.last()?.committee)
    // Without the weights they could not begin.
    await this.#results.settled()
    if (this.#shutdown.signal.aborted) return
    this.#init.publishBeacon()
    if (leader) for (const { peer } of roster) if (!voted.has(peer)) this.#sender.send(peer, round, certificate)
  }

  #valueOf(round: number): Value | null {
    const stored = this.#components.journal.certificates(this.run.id, round - 1, 1)[0]
    return stored?.round === round ? openCertificate(stored.bytes).value : null
  }

  /** Connected peers that may have what this run needs. */
  #hints(): string[] {
    const { network } = this.#components
    const committees = [...(this.#round?.election.committee ?? []), ...(this.#chain.last()?.committee ?? [])]
    return [...new Set([...committees, this.run.owner])].filter(
      (peer) => peer !== this.#self && network.isConnected(peerIdFromString(peer)),
    )
  }

  /** Gets the newest checkpoint here, so that it can be served and answered from. */
  async #prefetch(): Promise<void> {
    const { value } = this.#chain
    const link = this.#chain.last()
    const { signal } = this.#shutdown
    if (value === null || link === undefined) return
    await retrying(this.#components.clock, this.#log, signal, 'fetch checkpoint', async () => {
      await this.#results.settled()
      if (this.#chain.value !== value) return
      const { manifest } = await this.#results.load(value, this.#hints(), withTimeout(fetchTimeoutMs, signal))
      if (this.#chain.value !== value) return
      const { name, graph, fields, classes } = this.run.specification
      const of = { run: this.run.id, name, graph, fields, classes, model: languageShape(fields) }
      const { round, checkpoint, signatures, certifiedMs } = link
      const weights = CID.parse(manifest.weights)
      this.#ready = { ...of, round, checkpoint, weights, signatures, certifiedMs }
      await this.#oldRounds.prune(round)
    })
  }

  /** What of this run must stay on this peer. */
  async keeps(): Promise<string[]> {
    return [...(await this.#oldRounds.kept(this.#ready?.round ?? 0)), ...(this.#round?.keeps() ?? [])]
  }

  /** All that this peer may have stored for the run, for one that is followed no longer. */
  everything(): Promise<string[]> {
    return this.#oldRounds.everything()
  }

  /** Measures the newest checkpoint when it is this peer's turn; the initial weights before the first round. */
  #evaluate(): void {
    const chain = this.#chain
    const { round } = chain.head
    const checkpoint = chain.checkpointOf(round)
    const { value } = chain
    if (this.#training === null || !this.#init.evaluate || checkpoint === undefined) return
    const last = chain.last()
    const committee = last?.committee ?? electionOf(this.run, chain.head, 0).committee
    // A round that has been over for long is not measured any more.
    this.#stopMeasuring[0]?.()
    const stop = measureInTurn(this.#components.clock, this.#log, this.#shutdown.signal, this.#training, {
      turn: turnOf(this.#self, committee, last?.leader),
      weights: () => this.#results.weights(value, this.#hints(), withTimeout(fetchTimeoutMs, this.#shutdown.signal)),
      // Somebody else has measured it, or nobody asks any longer.
      isDone: () => chain.measured(checkpoint).heldOutLoss !== null || chain.head.round > round + 1,
      onMeasured: (measured) => {
        const statement = { run: this.run.id, round, checkpoint, ...measured }
        const evaluation = signEvaluation(this.#components.identity, statement)
        this.#init.publishEvaluation(evaluation)
        this.onEvaluation(evaluation.document)
      },
    })
    this.#stopMeasuring = [...this.#stopMeasuring.slice(1), stop]
  }
}
