import type { PeerId } from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import { CID } from 'multiformats/cid'
import type { ContentStore } from '../content/index.ts'
import type { Identity } from '../identity/index.ts'
import { type Clock, errorCode, errorMessage, RejectedError, withTimeout } from '../lib/index.ts'
import type { Network } from '../network/index.ts'
import type { Logger } from '../observability/index.ts'
import {
  checkAbandon,
  checkJoin,
  checkNotice,
  type Election,
  electionOf,
  type Head,
  leaderOf,
  sealCertificate,
  type Value,
} from './certificate.ts'
import type { WithoutEnvelope } from './index.ts'
import type { Journal } from './journal.ts'
import type { LocalTraining } from './local-training.ts'
import { begin, type Recovered, step } from './machine.ts'
import { maxAttempt } from './machine-attempts.ts'
import { Offers } from './offers.ts'
import { fetchTimeoutMs, proposedValue, type RoundSource, valueFault } from './proposal.ts'
import type { Results } from './results.ts'
import { retrying } from './retrying.ts'
import type { Effect, Event, RoundState, Step, Timing } from './round-state.ts'
import type { Run } from './specification.ts'
import { openAbandon, openJoin, openNotice, signAbandon, signJoin, signNotice, signVote } from './statements.ts'
import { steadyClock } from './steady-clock.ts'
import { type Measured, measuredOf } from './timing.ts'
import { type AgreeRequest, agreeProtocol, fromWire, toWire, type UpdateRequest, updateProtocol } from './wire.ts'

/** How often the machine looks at the time. */
const tickMs = 100
/** A member that is not connected is dialled again so often. */
const reconnectMs = 2_000
const connectTimeoutMs = 5_000
/** Progress is told no more often. */
const progressMs = 500
/** Rosters up to this size are connected to by every member; larger ones come by themselves. */
const maxDialledRoster = 64

export interface RoundComponents {
  readonly network: Network
  readonly identity: Identity
  readonly content: ContentStore
  readonly journal: Journal
  readonly clock: Clock
  readonly logger: Logger
  readonly results: Results
  readonly training: LocalTraining | null
}

export interface RoundInit {
  readonly run: Run
  readonly self: string
  /** The certificate before. */
  readonly head: Head
  readonly value: Value | null
  readonly timing: Timing
  readonly emit: (event: WithoutEnvelope) => void
  /** Peers that may have what the run needs. */
  readonly hints: () => string[]
  readonly catchUp: (from: PeerId) => void
  /** This peer has put the round's certificate together. */
  readonly onCertificate: (bytes: Uint8Array, leader: string) => void
  /** A step could not be carried out (a full disk, most likely): this peer has left the round. */
  readonly onFault: () => void
}

/** A peer that is in an earlier attempt is shown why that one is over no more often. */
const showMs = 400
/** Peers of which the last showing is remembered; the oldest is forgotten first. */
const maxShown = 1024

/** One round on this peer, all its attempts: feeds the machine what happens, and does what it says. Gone with the round. */
export class RoundDriver {
  readonly startedMs: number
  readonly #components: RoundComponents
  readonly #init: RoundInit
  readonly #over = new AbortController()
  readonly #clock: Clock
  readonly #queue: Event[] = []
  readonly #roster: readonly string[]
  readonly #first: readonly Effect[]
  readonly #shownMs = new Map<string, number>()
  /** Of the attempt under way. */
  #election: Election
  #attemptOver = new AbortController()
  #offers: Offers
  #state: RoundState
  #isTraining = false
  #feeding = false
  #lastHeldMs: number
  #dialledMs: number
  #progressMs = 0
  #stopTicking: () => void = () => undefined

  constructor(components: RoundComponents, init: RoundInit) {
    this.#components = components
    this.#init = init
    const { journal, results } = components
    const clock = steadyClock(components.clock)
    this.#clock = clock
    const { run, head } = init
    const round = head.round + 1
    const nowMs = clock.now()
    this.startedMs = nowMs
    this.#lastHeldMs = nowMs
    this.#dialledMs = nowMs
    this.#roster = head.roster.map((place) => place.peer)
    const { attempt, givenUp, proof } = journal.attempt(run.id, round) ?? { attempt: 0, givenUp: false, proof: [] }
    const { state, effects, election, offers } = this.#begin(attempt, {
      record: journal.record(run.id, round),
      held: journal.held(run.id, round),
      own: journal.own(run.id, round),
      joins: [],
      proof,
      givenUp,
    })
    this.#election = election
    this.#offers = offers
    this.#state = state
    this.#first = effects
    results.noteStored(this.keeps())
  }

  #begin(attempt: number, recovered: Recovered): Step & { readonly election: Election; readonly offers: Offers } {
    const { network, results, logger, training } = this.#components
    const { run, head, value, hints, self, timing } = this.#init
    const election = electionOf(run, head, attempt)
    const { state, effects } = begin(
      {
        run: run.id,
        self,
        round: head.round + 1,
        attempt,
        roster: this.#roster,
        ...election,
        minimumTrainers: run.specification.minimumTrainers,
        trains: training !== null && this.#roster.includes(self),
        timing,
      },
      new Set(network.peers().map((peer) => peer.id.toString())),
      this.#clock.now(),
      recovered,
    )
    this.#attemptOver = new AbortController()
    const offers = new Offers(
      { results, logger },
      {
        over: AbortSignal.any([this.#over.signal, this.#attemptOver.signal]),
        trainers: election.committee.includes(self) ? this.#roster : [],
        isHeld: (trainer) => this.#state.held.has(trainer),
        weights: (signal) => results.weights(value, hints(), signal),
        feed: (event) => this.feed(event),
      },
    )
    return { state, effects, election, offers }
  }

  /** The next attempt, with all that this peer has of the round. */
  #enter({ attempt, proof }: Extract<Effect, { type: 'enter' }>): void {
    const { journal, logger } = this.#components
    const { run, emit } = this.#init
    const { held, joins, delivery } = this.#state
    logger.warn({ round: this.round, attempt }, 'the committee is given up; the next attempt begins')
    journal.enterAttempt(run.id, this.round, attempt, proof)
    this.#attemptOver.abort(new DOMException('The attempt is over.', 'AbortError'))
    this.#offers.answerAll('behind')
    // What others said of the attempt before is of no use.
    const kept = this.#queue.filter(({ type }) => type === 'trained' || type === 'join' || type === 'abandoned')
    this.#queue.splice(0, this.#queue.length, ...kept)
    const { state, effects, election, offers } = this.#begin(attempt, {
      record: null,
      held: held.values(),
      own: delivery?.notice ?? null,
      joins: joins.values(),
      proof,
      givenUp: false,
    })
    this.#election = election
    this.#offers = offers
    this.#state = state
    const { committee } = election
    emit({ type: 'attempt-started', round: this.round, attempt, leader: leaderOf(committee, state.view), committee })
    this.#dial()
    for (const effect of effects) this.#perform(effect)
  }

  start(): void {
    const { committee } = this.election
    this.#init.emit({
      type: 'round-started',
      round: this.round,
      leader: leaderOf(committee, this.#state.view),
      committee,
    })
    this.#dial()
    this.#guarded(() => {
      for (const effect of this.#first) this.#perform(effect)
    })
    this.#drain()
    this.#tick()
  }

  /** Of the attempt under way. */
  get election(): Election {
    return this.#election
  }
  get state(): RoundState {
    return this.#state
  }
  get round(): number {
    return this.#state.config.round
  }
  /** What the round took, once it is certified; null where that tells nothing. */
  measured(): Measured | null {
    const { localMs } = this.#init.run.specification
    return measuredOf(this.#state, this.startedMs, this.#lastHeldMs, this.#clock.now(), localMs)
  }

  /** Calls off all that is under way; trainers that wait for an answer get this one. */
  stop(outcome: 'late' | 'behind'): void {
    const reason = new DOMException('The round is over.', 'AbortError')
    this.#over.abort(reason)
    this.#attemptOver.abort(reason)
    this.#stopTicking()
    this.#queue.length = 0
    this.#offers.answerAll(outcome)
  }

  /** What of this round must not be deleted: updates and results that this peer may have to serve or vote for. */
  keeps(): string[] {
    const { held, delivery, prepared, lock, proposal } = this.#state
    const values = [prepared?.value, lock?.value, proposal?.value].filter((value) => value !== undefined)
    return [
      ...held.values().map((notice) => notice.update),
      ...(delivery === null ? [] : [delivery.notice.update]),
      ...values.flatMap((value) => [value.checkpoint, ...value.updates.map((notice) => notice.update)]),
    ]
  }

  feed(event: Event): void {
    if (this.#over.signal.aborted) return
    this.#queue.push(event)
    this.#drain()
  }

  /** A trainer's push for this round. Resolves with what this member says to it. @throws RejectedError */
  async offer(from: PeerId, request: UpdateRequest, signal: AbortSignal): Promise<string> {
    const notice = openNotice(request.notice)
    if (request.attempt !== this.#state.config.attempt) {
      this.feed({ type: 'astray', from: from.toString(), attempt: request.attempt })
      return 'behind'
    }
    checkNotice(this.#init.run, this.#init.head, this.#state.config.attempt, notice)
    return this.#offers.take(from, notice, request.bytes, signal)
  }

  /** A message for this round. @throws RejectedError what is wrong with it */
  onAgree(from: string, request: Exclude<AgreeRequest, { kind: 'certificate' }>): void {
    const { run, head } = this.#init
    if (request.kind === 'join') {
      const join = openJoin(request.join)
      if (join.peer !== from) return
      checkJoin(run, head, join)
      this.feed({ type: 'join', join })
      return
    }
    const { attempt } = this.#state.config
    if (!this.#roster.includes(from)) return
    if (request.kind === 'abandoned') this.#onAbandoned(from, request)
    else if (request.attempt !== attempt) this.feed({ type: 'astray', from, attempt: request.attempt })
    else if (this.election.committee.includes(from)) {
      this.feed({ type: 'message', from, message: fromWire(run, head, this.election, from, request) })
    }
  }

  #onAbandoned(from: string, request: Extract<AgreeRequest, { kind: 'abandoned' }>): void {
    const { run, head } = this.#init
    const { attempt } = request
    if (attempt < this.#state.config.attempt) {
      // One statement asks why the attempt is over; many would tell, of one that is.
      if (request.abandons.length === 1) this.feed({ type: 'astray', from, attempt })
      return
    }
    if (request.abandons.length > this.#roster.length) return
    const abandons = request.abandons.map(openAbandon)
    for (const abandon of abandons) {
      checkAbandon(run, head, abandon)
      if (abandon.attempt !== attempt) throw new RejectedError('reject', 'wrong_abandon', 'It is of another attempt.')
    }
    this.feed({ type: 'abandoned', abandons })
  }

  /** One event at a time; what an effect brings about at once comes after the effects that are still to be run. */
  #drain(): void {
    this.#guarded(() => {
      for (let event = this.#queue.shift(); event !== undefined; event = this.#queue.shift()) {
        const before = this.#state
        const nowMs = this.#clock.now()
        const { state, effects } = step(before, event, nowMs)
        this.#state = state
        if (state.held !== before.held) this.#lastHeldMs = nowMs
        for (const effect of effects) this.#perform(effect)
      }
    })
  }

  /** What cannot be written down is not done: a disk that is full takes this peer out of the round, not the process. */
  #guarded(work: () => void): void {
    if (this.#feeding) return
    this.#feeding = true
    try {
      work()
    } catch (error) {
      const fields = { round: this.round, code: errorCode(error), error: errorMessage(error) }
      this.#components.logger.error(fields, 'this peer leaves the round: a step could not be carried out')
      this.stop('behind')
      this.#init.onFault()
    } finally {
      this.#feeding = false
    }
  }

  #tick(): void {
    if (this.#over.signal.aborted) return
    this.#stopTicking = this.#clock.after(tickMs, () => {
      if (this.#over.signal.aborted) return
      const nowMs = this.#clock.now()
      if (nowMs - this.#dialledMs >= reconnectMs) {
        this.#dialledMs = nowMs
        this.#dial()
      }
      this.feed({ type: 'tick' })
      this.#tick()
    })
  }

  /** Members are connected to each other and to those who train; who wants to train asks them for a place. */
  #dial(): void {
    const { identity, training } = this.#components
    const { run, self, head } = this.#init
    const { committee } = this.election
    const wanted = new Set(committee)
    if (committee.includes(self) && this.#roster.length <= maxDialledRoster) {
      for (const peer of this.#roster) wanted.add(peer)
    }
    this.#connect(wanted)
    if (training === null || this.#roster.includes(self)) return
    const join = signJoin(identity, { run: run.id, round: head.round + 1 })
    this.#send(committee, { kind: 'join', join: join.document })
  }

  #connect(peers: Iterable<string>): void {
    const { network, logger } = this.#components
    for (const peer of peers) {
      const id = peerIdFromString(peer)
      if (peer === this.#init.self || network.isConnected(id)) continue
      network
        .connect(id, { signal: withTimeout(connectTimeoutMs, this.#over.signal) })
        .catch((error) => logger.debug({ peer, error: errorMessage(error) }, 'could not connect'))
    }
  }

  #perform(effect: Effect): void {
    const { journal, identity } = this.#components
    const { run, self, emit } = this.#init
    const { round, attempt, committee } = this.#state.config
    switch (effect.type) {
      case 'train':
        void this.#train(round)
        break
      case 'push':
        for (const member of effect.to) void this.#push(member, effect)
        break
      case 'store':
        void this.#offers.store(effect.notice)
        break
      case 'hold':
        journal.hold(run.id, effect.notice)
        break
      case 'answer':
        this.#offers.answer(effect.notice.update, effect.outcome)
        break
      case 'persist':
        journal.setRecord(run.id, round, effect.record)
        break
      case 'send':
        this.#send(effect.to, toWire(effect.message))
        break
      case 'vote': {
        const { phase, view, value } = effect
        const vote = signVote(identity, { run: run.id, round, attempt, view, phase, value })
        this.#send(committee, { kind: 'vote', vote: vote.document })
        this.feed({ type: 'message', from: self, message: { kind: 'vote', vote } })
        break
      }
      case 'aggregate':
        void this.#aggregate(effect)
        break
      case 'verify':
        void this.#verify(effect)
        break
      case 'certify':
        this.#init.onCertificate(
          sealCertificate(effect.value, effect.view, effect.votes, this.#state.proof).bytes,
          leaderOf(committee, effect.view),
        )
        break
      case 'abandon':
        this.#abandon(effect)
        break
      case 'show':
        this.#show(effect)
        break
      case 'enter':
        this.#enter(effect)
        break
      case 'catch-up':
        this.#init.catchUp(peerIdFromString(effect.from))
        break
      case 'accepted':
        emit({ type: 'update-accepted', round, trainer: effect.notice.trainer, update: effect.notice.update })
        break
      case 'rejected':
        emit({ type: 'update-rejected', round, trainer: effect.trainer, code: effect.code })
        break
      case 'refused':
        this.#components.logger.warn({ round, leader: effect.leader, code: effect.code }, 'proposal refused')
        break
      case 'passed-over':
        emit({ type: 'leader-passed-over', round, leader: effect.leader, next: effect.next })
        break
    }
  }

  /** On disk before it leaves: after a restart this peer votes in the attempt no more. */
  #abandon({ attempt, committees }: Extract<Effect, { type: 'abandon' }>): void {
    const { journal, identity } = this.#components
    const { run, head, self } = this.#init
    journal.giveUp(run.id, this.round, attempt)
    const abandon = signAbandon(identity, { run: run.id, round: this.round, attempt, previous: head.id })
    const to = new Set(this.election.committee)
    for (let next = attempt + 1; next <= Math.min(attempt + committees, maxAttempt); next++) {
      for (const peer of electionOf(run, head, next).committee) to.add(peer)
    }
    to.delete(self)
    this.#connect(to)
    this.#send([...to], { kind: 'abandoned', abandons: [abandon.document] })
    this.feed({ type: 'abandoned', abandons: [abandon] })
  }

  /** Why this peer is in its attempt, to those who are in an earlier one. */
  #show({ to, abandons }: Extract<Effect, { type: 'show' }>): void {
    const attempt = abandons[0]?.attempt
    if (attempt === undefined) return
    const nowMs = this.#clock.now()
    for (const peer of to) {
      if (nowMs - (this.#shownMs.get(peer) ?? -showMs) < showMs) continue
      this.#shownMs.delete(peer)
      this.#shownMs.set(peer, nowMs)
      if (this.#shownMs.size > maxShown) this.#shownMs.delete(this.#shownMs.keys().next().value ?? '')
      this.#send([peer], { kind: 'abandoned', abandons: abandons.map((abandon) => abandon.document) }, attempt)
    }
  }

  /** Fire and forget: whatever still matters is said again. Dialling is done apart from this, at its own pace. */
  #send(to: readonly string[], message: ReturnType<typeof toWire>, attempt = this.#state.config.attempt): void {
    const { network, logger } = this.#components
    const { run, self } = this.#init
    const request = { run: run.cid, round: this.round, attempt, ...message } as AgreeRequest
    for (const peer of to) {
      const id = peerIdFromString(peer)
      if (peer === self || !network.isConnected(id)) continue
      // Votes of a round that is over here may still be missing elsewhere: no signal of the round.
      network.request(id, agreeProtocol, request).catch((error) => {
        logger.debug({ peer, kind: request.kind, code: errorCode(error) }, 'message not delivered')
      })
    }
  }

  async #train(round: number): Promise<void> {
    const { identity, journal, training, results, logger } = this.#components
    const clock = this.#clock
    const { run, head, value, hints, emit, self } = this.#init
    // One that began in an earlier attempt goes on.
    if (training === null || this.#isTraining) return
    this.#isTraining = true
    const over = this.#over.signal
    await retrying(clock, logger, over, 'train', async () => {
      const base = await results.weights(value, hints(), withTimeout(fetchTimeoutMs, over))
      const made = await training.train(base, results.shapeOf(base), round, over, (progress) => {
        const nowMs = clock.now()
        if (nowMs - this.#progressMs < progressMs) return
        this.#progressMs = nowMs
        emit({ type: 'train-progress', round, trainer: self, ...progress })
      })
      over.throwIfAborted()
      const notice = signNotice(identity, {
        run: run.id,
        round,
        attempt: this.#state.config.attempt,
        base: head.checkpoint,
        update: await results.storeOwn(made.bytes),
        samples: made.samples,
        steps: made.steps,
        bytes: made.bytes.byteLength,
      })
      over.throwIfAborted()
      // Written before anybody sees it: after a restart the same one is sent again, not another.
      journal.setOwn(run.id, notice)
      this.feed({ type: 'trained', notice })
    })
  }

  async #push(member: string, { notice }: Extract<Effect, { type: 'push' }>): Promise<void> {
    const { content, network, logger } = this.#components
    const { attempt } = this.#state.config
    const over = AbortSignal.any([this.#over.signal, this.#attemptOver.signal])
    let outcome = 'unreachable'
    try {
      const bytes = await content.get(CID.parse(notice.update), { maxBytes: notice.bytes, signal: over })
      const request = { run: this.#init.run.cid, attempt, notice: notice.document, bytes }
      outcome = (await network.request(peerIdFromString(member), updateProtocol, request, { signal: over })).outcome
    } catch (error) {
      logger.debug({ member, code: errorCode(error), error: errorMessage(error) }, 'update not delivered')
    }
    if (!over.aborted) this.feed({ type: 'pushed', member, update: notice.update, outcome })
  }

  async #aggregate({ view, updates, joins }: Extract<Effect, { type: 'aggregate' }>): Promise<void> {
    const over = this.#attemptOver.signal
    const value = await proposedValue(this.#components, this.#source(), updates, joins)
    if (!over.aborted) this.feed({ type: 'aggregated', view, value })
  }

  async #verify({ view, value }: Extract<Effect, { type: 'verify' }>): Promise<void> {
    const over = this.#attemptOver.signal
    const code = await valueFault(this.#components, this.#source(), value)
    if (!over.aborted) this.feed({ type: 'verified', view, value: value.id, code })
  }

  #source(): RoundSource {
    const { run, head, value, hints } = this.#init
    const { attempt, timing } = this.#state.config
    const signal = withTimeout(fetchTimeoutMs, this.#over.signal, this.#attemptOver.signal)
    return { run, head, attempt, value, hints: hints(), updateMs: timing.agreeMs, signal }
  }
}
