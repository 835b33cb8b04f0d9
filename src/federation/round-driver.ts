import type { PeerId } from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import { CID } from 'multiformats/cid'
import type { ContentStore } from '../content/index.ts'
import type { Identity } from '../identity/index.ts'
import { type Clock, errorCode, errorMessage, withTimeout } from '../lib/index.ts'
import type { Network } from '../network/index.ts'
import type { Logger } from '../observability/index.ts'
import {
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
import { begin, step } from './machine.ts'
import { Offers } from './offers.ts'
import { fetchTimeoutMs, proposedValue, type RoundSource, valueFault } from './proposal.ts'
import type { Results } from './results.ts'
import { retrying } from './retrying.ts'
import type { Effect, Event, RoundState, Timing } from './round-state.ts'
import type { Run } from './specification.ts'
import { openJoin, openNotice, signJoin, signNotice, signVote } from './statements.ts'
import { steadyClock } from './steady-clock.ts'
import type { Measured } from './timing.ts'
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

/** One round on this peer: feeds the machine what happens, and does what it says. Gone with the round. */
export class RoundDriver {
  readonly election: Election
  readonly startedMs: number
  readonly #components: RoundComponents
  readonly #init: RoundInit
  readonly #over = new AbortController()
  readonly #offers: Offers
  readonly #clock: Clock
  readonly #queue: Event[] = []
  readonly #roster: readonly string[]
  readonly #first: readonly Effect[]
  #state: RoundState
  #feeding = false
  #lastHeldMs: number
  #dialledMs: number
  #progressMs = 0
  #stopTicking: () => void = () => undefined

  constructor(components: RoundComponents, init: RoundInit) {
    this.#components = components
    this.#init = init
    const { journal, network, results, logger, training } = components
    const clock = steadyClock(components.clock)
    this.#clock = clock
    const { run, head, self, timing } = init
    const round = head.round + 1
    const nowMs = clock.now()
    this.election = electionOf(run, head, 0)
    this.startedMs = nowMs
    this.#lastHeldMs = nowMs
    this.#dialledMs = nowMs
    this.#roster = head.roster.map((place) => place.peer)
    const { state, effects } = begin(
      {
        run: run.id,
        self,
        round,
        attempt: 0,
        roster: this.#roster,
        ...this.election,
        minimumTrainers: run.specification.minimumTrainers,
        trains: training !== null && this.#roster.includes(self),
        timing,
      },
      new Set(network.peers().map((peer) => peer.id.toString())),
      nowMs,
      {
        record: journal.record(run.id, round),
        held: journal.held(run.id, round),
        own: journal.own(run.id, round),
        joins: [],
      },
    )
    this.#state = state
    this.#first = effects
    results.noteStored(this.keeps())
    this.#offers = new Offers(
      { results, logger },
      {
        over: this.#over.signal,
        trainers: this.election.committee.includes(self) ? this.#roster : [],
        isHeld: (trainer) => trainer in this.#state.held,
        weights: (signal) => results.weights(init.value, init.hints(), signal),
        feed: (event) => this.feed(event),
      },
    )
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

  get state(): RoundState {
    return this.#state
  }
  get round(): number {
    return this.#state.config.round
  }
  /** What the round took, once it is certified; null where this peer saw no update come. */
  measured(): Measured | null {
    const nowMs = this.#clock.now()
    const collectMs = this.#lastHeldMs - this.startedMs
    return collectMs <= 0 ? null : { collectMs, agreeMs: Math.max(0, nowMs - this.#lastHeldMs) }
  }

  /** Calls off all that is under way; trainers that wait for an answer get this one. */
  stop(outcome: 'late' | 'behind'): void {
    this.#over.abort(new DOMException('The round is over.', 'AbortError'))
    this.#stopTicking()
    this.#queue.length = 0
    this.#offers.answerAll(outcome)
  }

  /** What of this round must not be deleted: updates and results that this peer may have to serve or vote for. */
  keeps(): string[] {
    const { held, delivery, prepared, lock, proposal } = this.#state
    const values = [prepared?.value, lock?.value, proposal?.value].filter((value) => value !== undefined)
    return [
      ...Object.values(held).map((notice) => notice.update),
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
    if (request.attempt !== this.#state.config.attempt || !this.election.committee.includes(from)) return
    this.feed({ type: 'message', from, message: fromWire(run, head, this.election, from, request) })
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
    const { network, identity, training } = this.#components
    const { run, self, head } = this.#init
    const { committee } = this.election
    const wanted = new Set(committee)
    if (committee.includes(self) && this.#roster.length <= maxDialledRoster) {
      for (const peer of this.#roster) wanted.add(peer)
    }
    for (const peer of wanted) {
      const id = peerIdFromString(peer)
      if (peer === self || network.isConnected(id)) continue
      network
        .connect(id, { signal: withTimeout(connectTimeoutMs, this.#over.signal) })
        .catch((error) => this.#components.logger.debug({ peer, error: errorMessage(error) }, 'could not connect'))
    }
    if (training === null || this.#roster.includes(self)) return
    const join = signJoin(identity, { run: run.id, round: head.round + 1 })
    this.#send(committee, { kind: 'join', join: join.document })
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
          sealCertificate(effect.value, effect.view, effect.votes).bytes,
          leaderOf(committee, effect.view),
        )
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

  /** Fire and forget: whatever still matters is said again. Dialling is done apart from this, at its own pace. */
  #send(to: readonly string[], message: ReturnType<typeof toWire>): void {
    const { network, logger } = this.#components
    const { run, self } = this.#init
    const { round, attempt } = this.#state.config
    const request = { run: run.cid, round, attempt, ...message } as AgreeRequest
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
    if (training === null) return
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
        attempt: 0,
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
    const over = this.#over.signal
    let outcome = 'unreachable'
    try {
      const bytes = await content.get(CID.parse(notice.update), { maxBytes: notice.bytes, signal: over })
      const request = { run: this.#init.run.cid, notice: notice.document, bytes }
      outcome = (await network.request(peerIdFromString(member), updateProtocol, request, { signal: over })).outcome
    } catch (error) {
      logger.debug({ member, code: errorCode(error), error: errorMessage(error) }, 'update not delivered')
    }
    if (!over.aborted) this.feed({ type: 'pushed', member, update: notice.update, outcome })
  }

  async #aggregate({ view, updates, joins }: Extract<Effect, { type: 'aggregate' }>): Promise<void> {
    const value = await proposedValue(this.#components, this.#source(), updates, joins)
    if (!this.#over.signal.aborted) this.feed({ type: 'aggregated', view, value })
  }

  async #verify({ view, value }: Extract<Effect, { type: 'verify' }>): Promise<void> {
    const code = await valueFault(this.#components, this.#source(), value)
    if (!this.#over.signal.aborted) this.feed({ type: 'verified', view, value: value.id, code })
  }

  #source(): RoundSource {
    const { run, head, value, hints } = this.#init
    const signal = withTimeout(fetchTimeoutMs, this.#over.signal)
    return { run, head, value, hints: hints(), updateMs: this.#state.config.timing.agreeMs, signal }
  }
}
