import { type Certificate, type Head, leaderOf, type Value } from '../certificate.ts'
import type { Recovered } from '../machine.ts'
import { maxAttempt } from '../machine-attempts.ts'
import type { Link } from '../preference.ts'
import type { Effect, Event, Message, RoundState } from '../round-state.ts'
import type { Abandon, Join, Notice, Vote, VotePhase } from '../statements.ts'
import { type Measured, measuredOf, timingOf } from '../timing.ts'
import { SimDisk } from './disk.ts'
import type { Invariants } from './invariants.ts'
import type { Liar } from './liar.ts'
import type { SimNetwork } from './network.ts'
import { codeOf, verifyMessage } from './rules.ts'
import { noBytes, type World } from './world.ts'

/** As the driver: how often a member looks at the time. Others have less to do, and look less often. */
const tickMs = { member: 100, other: 500 }
const beaconMs = 2_000
/** A beacon is gossip and reaches everybody in time; here it is told to so many, each time. */
const beaconFanOut = 3
const pushTimeoutMs = 5_000
const fetchTimeoutMs = 30_000
/** As the driver: help of one kind is sent to one peer no more often. */
const helpMs = 400

/** What a message of the round names beside itself. */
export interface Packet {
  readonly round: number
  readonly attempt: number
  readonly message: Message | { readonly kind: 'abandoned'; readonly abandons: readonly Abandon[] } | Join
}

export interface SimPeerInit {
  readonly world: World
  readonly network: SimNetwork
  readonly invariants: Invariants
  readonly peer: (name: string) => SimPeer
  readonly liar: Liar | null
  /** How fast its clock runs. */
  readonly rate: number
}

/** One simulated peer: feeds the machine what happens, and does what it says, as `RunDriver` and `RoundDriver` do. */
export class SimPeer {
  readonly name: string
  readonly disk = new SimDisk()
  readonly #init: SimPeerInit
  readonly #history: Measured[] = []
  readonly #answers = new Map<string, ((outcome: string) => void)[]>()
  /** The one update of each trainer that is taken in here. */
  readonly #taken = new Map<string, string>()
  readonly #helpedMs = new Map<string, number>()
  readonly #asking = new Set<string>()
  readonly #queue: Event[] = []
  #state: RoundState | null = null
  /** Grows with each crash: what was begun before does not come back. */
  #life = 0
  #draining = false
  #isTraining = false
  #startedMs = 0
  #lastHeldMs = 0
  #beaconMs = 0
  passedOver = 0
  undone = 0

  constructor(name: string, init: SimPeerInit) {
    this.name = name
    this.#init = init
  }

  get state(): RoundState | null {
    return this.#state
  }
  get isUp(): boolean {
    return this.#init.network.isUp(this.name)
  }
  get head(): Head {
    const { world } = this.#init
    const last = this.disk.chain.at(-1)
    return last === undefined ? (world.heads.get(world.run.id) as Head) : world.headOf(last.value)
  }
  get world(): World {
    return this.#init.world
  }
  get #nowMs(): number {
    return this.#init.world.time.nowMs * this.#init.rate
  }

  start(): void {
    this.#init.network.setUp(this.name, true)
    this.#beaconMs = this.#nowMs + this.world.random.integer(0, beaconMs)
    this.#startRound()
    this.#beat()
  }

  crash(): void {
    this.#init.network.setUp(this.name, false)
    this.#life++
    this.#state = null
    this.disk.crash()
    for (const memory of [this.#answers, this.#taken, this.#helpedMs, this.#asking]) memory.clear()
    this.#queue.length = 0
    this.#history.length = 0
  }

  /** Whether it matters to this peer that the other comes or goes. */
  watches(other: string): boolean {
    const { state } = this
    if (state === null) return false
    return state.config.committee.includes(this.name) || state.config.committee.includes(other)
  }

  feed(event: Event): void {
    if (this.#state === null) return
    this.#queue.push(event)
    this.#drained(() => undefined)
  }

  /** One event at a time; what an effect brings about at once comes after the effects that are still to be run. */
  #drained(work: () => void): void {
    if (this.#draining) {
      work()
      return
    }
    this.#draining = true
    work()
    for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
      const before: RoundState | null = this.#state
      if (before === null) continue
      const { state, effects } = this.world.rules.step(before, next, this.#nowMs)
      this.#state = state
      if (state.held !== before.held) this.#lastHeldMs = this.#nowMs
      this.#run(effects)
    }
    this.#draining = false
  }

  // --- the run

  #startRound(): void {
    const { head, disk, world } = this
    this.#reply('late')
    this.#taken.clear()
    this.#isTraining = false
    this.#queue.length = 0
    if (head.round >= world.scenario.rounds) {
      this.#state = null
      return
    }
    this.#startedMs = this.#nowMs
    this.#lastHeldMs = this.#nowMs
    const round = head.round + 1
    const { attempt = 0, givenUp = false, proof = [] } = disk.attempt?.round === round ? disk.attempt : {}
    const record = disk.record?.round === round ? disk.record.record : null
    this.#begin(attempt, { record, held: [...disk.held.values()], own: disk.own, joins: [], proof, givenUp })
  }

  #begin(attempt: number, recovered: Recovered): void {
    const { head, world, name } = this
    const { minimumTrainers, localMs } = world.run.specification
    const roster = world.roster(head)
    const election = world.election(head, attempt)
    // A liar beyond those that a committee must bear takes part as an honest peer that does not train.
    const asItIs =
      this.#init.liar === null || !election.committee.includes(name) || world.mayLie(name, election.committee)
    const { state, effects } = world.rules.begin(
      {
        run: world.run.id,
        self: name,
        round: head.round + 1,
        attempt,
        roster,
        ...election,
        minimumTrainers,
        trains: asItIs && head.roster.some((place) => place.peer === name),
        timing: timingOf(this.#history, localMs),
      },
      this.#init.network.connectedTo(name),
      this.#nowMs,
      asItIs ? recovered : { ...recovered, own: null, held: recovered.held.filter((held) => held.trainer !== name) },
    )
    this.#state = state
    this.#drained(() => this.#run(effects))
  }

  #enter({ attempt, proof }: Extract<Effect, { type: 'enter' }>): void {
    const { state, disk } = this
    if (state === null) return
    this.world.tell(() => `${this.short} enters attempt ${attempt} of round ${state.config.round}`)
    disk.attempt = { round: state.config.round, attempt, givenUp: false, proof }
    disk.record = null
    this.#reply('behind')
    const kept = this.#queue.filter(({ type }) => type === 'trained' || type === 'join' || type === 'abandoned')
    this.#queue.splice(0, this.#queue.length, ...kept)
    const { held, joins, delivery } = state
    const own = delivery?.notice ?? null
    this.#begin(attempt, { record: null, held: held.values(), own, joins: joins.values(), proof, givenUp: false })
  }

  #adopt(certificate: Certificate): void {
    const { state, world } = this
    if (!world.liars.has(this.name)) this.#init.invariants.onCertificate(certificate)
    const { localMs } = world.run.specification
    const live = state?.config.round === certificate.value.round ? state : null
    const measured = live && measuredOf(live, this.#startedMs, this.#lastHeldMs, this.#nowMs, localMs)
    if (measured !== null) this.#history.push(measured)
    this.disk.append(certificate)
    this.#startRound()
  }

  /** A certificate that another peer sent. */
  onCertificate(certificate: Certificate, from: string): void {
    const { head, world } = this
    const { value } = certificate
    if (value.round <= head.round) {
      if (this.#idAt(value.round) !== value.id) this.#compare(from)
      return
    }
    if (value.round > head.round + 1) {
      this.#catchUp(from)
      return
    }
    if (value.previous !== head.id) {
      this.#compare(from)
      return
    }
    const code = world.judge(head, certificate)
    if (code === null) this.#adopt(certificate)
    else this.#init.invariants.onVerdict(this.name, from, code)
  }

  #idAt(round: number): string | undefined {
    return round === 0 ? this.world.run.id : this.disk.chain[round - 1]?.value.id
  }

  #catchUp(from: string): void {
    const after = this.head.round
    this.#ask(from, (other) => {
      const certificates = other.disk.chain.slice(after)
      return () => {
        for (const certificate of certificates) {
          if (certificate.value.round === this.head.round + 1) this.onCertificate(certificate, from)
        }
      }
    })
  }

  /** The other's chain is another than ours: the certificate with which they part says which of them stands. */
  #compare(from: string): void {
    this.#ask(from, (other) => {
      const theirs = other.disk.chain
      return () => {
        const ours = this.disk.chain
        const at = theirs.findIndex((certificate, i) => certificate.value.id !== ours[i]?.value.id)
        const [here, there] = [ours[at], theirs[at]]
        if (there === undefined) return
        if (here === undefined) this.onCertificate(there, from)
        else this.#consider(here, there, from)
      }
    })
  }

  #consider(here: Certificate, there: Certificate, from: string): void {
    const { world, disk } = this
    const link: Link = there.value
    if (world.rules.stands<Link>(here.value, link) !== link) return
    const before = disk.chain[there.value.round - 2]
    const head = before === undefined ? (world.heads.get(world.run.id) as Head) : world.headOf(before.value)
    const code = world.judge(head, there)
    if (code !== null) {
      this.#init.invariants.onVerdict(this.name, from, code)
      return
    }
    const undone = disk.chain.length - there.value.round + 1
    this.undone += undone
    world.tell(() => `${this.short} goes back ${undone} rounds: attempt ${link.attempt} of round ${link.round} stands`)
    if (!world.liars.has(this.name)) this.#init.invariants.onCertificate(there)
    disk.switchTo(there)
    this.#startRound()
  }

  /** Asks a peer; of each peer one question at a time. */
  #ask(from: string, answer: (other: SimPeer) => () => void): void {
    if (from === this.name || this.#asking.has(from)) return
    this.#asking.add(from)
    const life = this.#life
    const over = (): void => {
      if (this.#life === life) this.#asking.delete(from)
    }
    this.#after(pushTimeoutMs, over)
    this.#carry(from, (other) => {
      const back = answer(other)
      other.#carry(this.name, () => {
        over()
        back()
      })
    })
  }

  // --- the round

  onPacket(from: string, { round, attempt, message }: Packet): void {
    const { head, world, state, name } = this
    if (round <= head.round) {
      this.#help(from, round)
      return
    }
    if (round > head.round + 1) {
      this.#catchUp(from)
      return
    }
    if (state === null) return
    if (!('kind' in message)) {
      this.#onJoin(from, message)
      return
    }
    if (!world.roster(head).includes(from)) return
    if (message.kind === 'abandoned') {
      this.#onAbandoned(from, attempt, message.abandons)
      return
    }
    if (attempt !== state.config.attempt) {
      this.feed({ type: 'astray', from, attempt })
      return
    }
    if (!state.config.committee.includes(from)) return
    const code = codeOf(() => {
      verifyMessage(world.verify, message)
      world.rules.judgeMessage(world.run, head, world.election(head, attempt), { from, attempt }, message)
    })
    if (code === null) this.feed({ type: 'message', from, message })
    else this.#init.invariants.onVerdict(name, from, code)
  }

  #onJoin(from: string, join: Join): void {
    const { world } = this
    if (join.peer !== from || codeOf(() => world.verify(join.peer, join)) !== null) return
    if (join.run === world.run.id && this.head.round + 1 - join.round <= 3) this.feed({ type: 'join', join })
  }

  #onAbandoned(from: string, attempt: number, abandons: readonly Abandon[]): void {
    const { world, head, state } = this
    if (state !== null && attempt < state.config.attempt) {
      if (abandons.length === 1) this.feed({ type: 'astray', from, attempt })
      return
    }
    for (const abandon of abandons) {
      const code = codeOf(() => world.verify(abandon.peer, abandon))
      if (code !== null) {
        this.#init.invariants.onVerdict(this.name, from, code)
        return
      }
      if (abandon.attempt !== attempt || abandon.previous !== head.id) return
    }
    this.feed({ type: 'abandoned', abandons })
  }

  /** A trainer's push. */
  onPush(from: string, round: number, attempt: number, notice: Notice, reply: (outcome: string) => void): void {
    const { head, world, state } = this
    if (round <= head.round) {
      this.#help(from, round)
      reply('late')
      return
    }
    if (round > head.round + 1 || state === null) {
      this.#catchUp(from)
      reply('behind')
      return
    }
    if (attempt !== state.config.attempt) {
      this.feed({ type: 'astray', from, attempt })
      reply('behind')
      return
    }
    const code =
      codeOf(() => {
        world.verify(notice.trainer, notice)
        world.rules.checkNotice(world.run, head, attempt, notice)
      }) ?? (notice.trainer === from ? null : 'not_yours')
    const other = this.#taken.get(notice.trainer)
    const refusal = code ?? (other === undefined || other === notice.update ? null : 'equivocation')
    if (refusal !== null) {
      this.#init.invariants.onVerdict(this.name, from, refusal)
      reply(refusal)
      return
    }
    this.#taken.set(notice.trainer, notice.update)
    const underWay = this.#answers.get(notice.update)
    if (underWay !== undefined) {
      underWay.push(reply)
      return
    }
    this.#answers.set(notice.update, [reply])
    this.feed({ type: 'offered', notice })
    // Not acknowledged, but it may be in the leader's list: then it need not be fetched.
    if (!this.#answers.has(notice.update) && world.faultOf(notice.update) === null) this.disk.write(notice.update)
  }

  #help(from: string, round: number): void {
    const certificate = this.disk.chain[round - 1]
    if (certificate === undefined || !this.#mayHelp(from)) return
    this.sendCertificate(from, certificate)
  }

  #mayHelp(peer: string): boolean {
    if (this.#nowMs - (this.#helpedMs.get(peer) ?? -helpMs) < helpMs) return false
    this.#helpedMs.set(peer, this.#nowMs)
    return true
  }

  #run(effects: readonly Effect[]): void {
    const { world } = this
    const life = this.#life
    const isMember = this.state?.config.committee.includes(this.name) === true
    for (const effect of effects) {
      // Between two effects is where a death hurts most: written and not sent, or the other way round.
      if (isMember && world.random.permille(world.tornPermille)) world.kill(this.name)
      if (this.#life !== life) return
      this.#perform(effect)
    }
  }

  #perform(effect: Effect): void {
    const { state, disk, world, name } = this
    if (state === null) return
    const { round, attempt } = state.config
    const { invariants } = this.#init
    switch (effect.type) {
      case 'train':
        this.#train()
        break
      case 'push':
        for (const member of effect.to) this.#push(member, effect.notice)
        break
      case 'store':
        this.#store(effect.notice)
        break
      case 'hold':
        disk.held.set(effect.notice.trainer, effect.notice)
        break
      case 'answer':
        this.#answer(effect.notice.update, effect.outcome)
        break
      case 'persist':
        disk.record = { round, record: effect.record }
        break
      case 'send':
        for (const to of effect.to) this.send(to, effect.message)
        break
      case 'vote':
        this.#vote(effect)
        break
      case 'aggregate':
        this.#aggregate(effect)
        break
      case 'verify':
        this.#verify(effect)
        break
      case 'certify':
        this.#certify(effect)
        break
      case 'catch-up':
        this.#catchUp(effect.from)
        break
      case 'abandon':
        this.#abandon(effect)
        break
      case 'show':
        for (const to of effect.to) if (this.#mayHelp(to)) this.sendAbandons(to, effect.abandons)
        break
      case 'enter':
        this.#enter(effect)
        break
      case 'accepted':
        invariants.onAccepted(effect.notice, this.head.id, attempt)
        break
      case 'rejected':
        if (effect.trainer !== name) invariants.onVerdict(name, effect.trainer, effect.code)
        break
      case 'refused':
        world.tell(() => `${this.short} refuses the proposal of ${world.short(effect.leader)}: ${effect.code}`)
        invariants.onVerdict(name, effect.leader, effect.code)
        break
      case 'passed-over':
        this.passedOver++
        world.tell(() => `${this.short} passes over ${world.short(effect.leader)} for ${world.short(effect.next)}`)
        break
    }
  }

  #train(): void {
    const { world, head, name } = this
    if (this.#isTraining) return
    this.#isTraining = true
    const slow = this.#init.network.isSlow(name)
    const trainMs = world.random.integer(500, 2_500) * (slow ? 5 : 1)
    this.#inRound(trainMs, () => {
      const { state } = this
      if (state === null) return
      const { round, attempt } = state.config
      const notice = this.makeNotice(`u${round}-${this.short}-${this.#life}`, attempt, head.checkpoint)
      this.disk.sync(notice.update)
      this.disk.own = notice
      this.feed({ type: 'trained', notice })
    })
  }

  makeNotice(update: string, attempt: number, base: string, round = this.head.round + 1): Notice {
    const { world, name } = this
    const body = { run: world.run.id, round, attempt, base, update, samples: 1 + (world.indexOf(name) % 7) }
    const notice: Notice = { trainer: name, ...body, steps: 1, bytes: 1, document: noBytes }
    this.#init.liar?.onNotice(notice)
    return world.signatures.sign(name, notice)
  }

  #push(member: string, notice: Notice): void {
    const { state } = this
    if (state === null) return
    const { round, attempt } = state.config
    let answered = false
    const settle = (outcome: string): void => {
      if (answered) return
      answered = true
      this.feed({ type: 'pushed', member, update: notice.update, outcome })
    }
    this.#inAttempt(pushTimeoutMs, () => settle('timeout'))
    const life = this.#life
    const pushed = this.#init.liar?.noticeFor(this, member, notice) ?? notice
    this.#carry(member, (other) =>
      other.onPush(this.name, round, attempt, pushed, (outcome) =>
        other.#carry(this.name, () => {
          const now = this.state?.config
          if (this.#life === life && now?.round === round && now.attempt === attempt) settle(outcome)
        }),
      ),
    )
  }

  #store(notice: Notice): void {
    const { world, disk } = this
    const fault = world.faultOf(notice.update)
    if (fault === null) disk.write(notice.update)
    this.#inRound(world.random.integer(1, 50), () => {
      if (fault === null) disk.sync(notice.update)
      else this.#taken.delete(notice.trainer)
      this.feed({ type: 'stored', notice, code: fault })
    })
  }

  #answer(update: string, outcome: string): void {
    const answers = this.#answers.get(update) ?? []
    this.#answers.delete(update)
    for (const answer of answers) answer(outcome)
  }

  #reply(outcome: string): void {
    for (const update of [...this.#answers.keys()]) this.#answer(update, outcome)
  }

  #vote({ phase, view, value }: Extract<Effect, { type: 'vote' }>): void {
    const { state } = this
    if (state === null) return
    const vote = this.signVote(phase, view, value)
    for (const member of state.config.committee) this.send(member, { kind: 'vote', vote })
    this.feed({ type: 'message', from: this.name, message: { kind: 'vote', vote } })
    this.#init.liar?.onVote(this, vote)
  }

  signVote(phase: VotePhase, view: number, value: string): Vote {
    const { state, world, name } = this
    const { round = 1, attempt = 0 } = state?.config ?? {}
    const body = { run: world.run.id, round, attempt, view, phase, value }
    return world.signatures.sign(name, { voter: name, ...body, document: noBytes })
  }

  #aggregate({ view, updates, joins }: Extract<Effect, { type: 'aggregate' }>): void {
    const { world, state, head } = this
    if (state === null) return
    const { attempt, minimumTrainers, timing } = state.config
    const found = updates.filter((notice) => this.#fetch(notice) && world.faultOf(notice.update) === null)
    const waitMs = found.length === updates.length ? world.random.integer(1, 30) : timing.agreeMs
    this.#inAttempt(waitMs, () => {
      for (const notice of found) this.disk.sync(notice.update)
      const value = found.length < minimumTrainers ? null : world.compose(head, attempt, { updates: found, joins })
      this.feed({ type: 'aggregated', view, value })
    })
  }

  #verify({ view, value }: Extract<Effect, { type: 'verify' }>): void {
    const { world, head } = this
    const isHere = value.updates.filter((notice) => this.#fetch(notice)).length === value.updates.length
    const fault = value.updates.map((notice) => world.faultOf(notice.update)).find((code) => code !== null)
    const expected = (): Value => world.compose(head, value.attempt, { updates: value.updates, joins: value.joins })
    const code = fault ?? (!isHere ? 'not_found' : expected().id === value.id ? null : 'wrong_result')
    this.#inAttempt(isHere ? world.random.integer(1, 30) : fetchTimeoutMs, () => {
      if (code === null) for (const notice of value.updates) this.disk.sync(notice.update)
      this.feed({ type: 'verified', view, value: value.id, code })
    })
  }

  /** From its trainer or from a member, whoever can be reached now. */
  #fetch({ update, trainer }: Notice): boolean {
    if (this.disk.has(update)) return true
    const { network, peer } = this.#init
    const hints = [trainer, ...(this.state?.config.committee ?? [])]
    const found = hints.some((from) => network.isConnected(this.name, from) && peer(from).disk.has(update))
    if (found) this.disk.write(update)
    return found
  }

  #certify({ value, view, votes }: Extract<Effect, { type: 'certify' }>): void {
    const { world, head, state, name } = this
    if (state === null) return
    const { committee } = state.config
    const certificate: Certificate = { value, view, votes, abandons: state.proof, bytes: noBytes }
    world.tell(() => `${this.short} certifies round ${value.round} in view ${view}, ${value.updates.length} updates`)
    const code = world.judge(head, certificate)
    // Nobody would take it: what the driver finds when it adds it to its own chain.
    if (code !== null) {
      this.#init.invariants.onVerdict(name, name, code)
      return
    }
    const others = world.roster(head).filter((peer) => !committee.includes(peer))
    this.#adopt(certificate)
    this.#tellHead(beaconFanOut * 2)
    if (leaderOf(committee, view) !== name) return
    for (const to of others) this.sendCertificate(to, certificate)
  }

  // --- attempts

  #abandon({ attempt, committees }: Extract<Effect, { type: 'abandon' }>): void {
    const { world, head, disk, state, name } = this
    if (state === null) return
    const { round } = state.config
    if (disk.attempt?.round !== round || !disk.attempt.givenUp) {
      world.tell(() => `${this.short} gives attempt ${attempt} of round ${round} up`)
    }
    disk.attempt = { round, attempt, givenUp: true, proof: state.proof }
    const abandon = this.signAbandon(attempt)
    const to = new Set(state.config.committee)
    for (let next = attempt + 1; next <= Math.min(attempt + committees, maxAttempt); next++) {
      for (const peer of world.election(head, next).committee) to.add(peer)
    }
    for (const peer of to) if (peer !== name) this.sendAbandons(peer, [abandon])
    this.feed({ type: 'abandoned', abandons: [abandon] })
  }

  signAbandon(attempt: number): Abandon {
    const { world, head, name } = this
    const body = { run: world.run.id, round: head.round + 1, attempt, previous: head.id }
    return world.signatures.sign(name, { peer: name, ...body, document: noBytes })
  }

  sendAbandons(to: string, abandons: readonly Abandon[]): void {
    const attempt = abandons[0]?.attempt
    if (attempt === undefined) return
    const packet: Packet = { round: this.head.round + 1, attempt, message: { kind: 'abandoned', abandons } }
    this.#carry(to, (other) => other.onPacket(this.name, packet))
  }

  // --- what goes out

  send(to: string, message: Message): void {
    const { state } = this
    if (state === null || to === this.name) return
    const said = this.#init.liar === null ? message : this.#init.liar.onSend(this, message)
    if (said !== null) this.sendPacket(to, { round: state.config.round, attempt: state.config.attempt, message: said })
  }

  sendPacket(to: string, packet: Packet): void {
    this.#carry(to, (other) => other.onPacket(this.name, packet))
  }

  sendCertificate(to: string, certificate: Certificate): void {
    this.#carry(to, (other) => other.onCertificate(certificate, this.name))
  }

  get short(): string {
    return this.world.short(this.name)
  }

  #beat(): void {
    const isMember = this.state?.config.committee.includes(this.name) === true
    this.#after(isMember ? tickMs.member : tickMs.other, () => {
      if (this.#nowMs - this.#beaconMs >= beaconMs) {
        this.#beaconMs = this.#nowMs
        this.#tellHead(beaconFanOut)
        this.#wishToJoin()
      }
      this.feed({ type: 'tick' })
      this.#init.liar?.onTick(this)
      this.#beat()
    })
  }

  #tellHead(count: number): void {
    const { world, head, name } = this
    for (let i = 0; i < count; i++) {
      const to = world.random.pick(world.names)
      if (to !== name) this.#carry(to, (other) => other.onBeacon(name, head.round, head.id))
    }
  }

  onBeacon(from: string, round: number, id: string): void {
    if (round > this.head.round) this.#catchUp(from)
    else if (this.#idAt(round) !== id) this.#compare(from)
  }

  #wishToJoin(): void {
    const { world, head, state, name } = this
    if (state === null || world.roster(head).includes(name)) return
    const body = { run: world.run.id, round: head.round + 1, document: noBytes }
    const join: Join = world.signatures.sign(name, { peer: name, ...body })
    const { round, attempt, committee } = state.config
    for (const member of committee) this.sendPacket(member, { round, attempt, message: join })
  }

  #carry(to: string, deliver: (other: SimPeer) => void): void {
    const { network, peer } = this.#init
    network.carry(this.name, to, () => deliver(peer(to)))
  }

  // --- what takes time

  /** By this peer's clock; not if it has died since. */
  #after(ms: number, work: () => void): void {
    const life = this.#life
    this.world.time.after(ms / this.#init.rate, () => {
      if (this.#life === life) work()
    })
  }
  #inRound(ms: number, work: () => void): void {
    const { id } = this.head
    this.#after(ms, () => {
      if (this.head.id === id) work()
    })
  }
  #inAttempt(ms: number, work: () => void): void {
    const attempt = this.state?.config.attempt
    this.#inRound(ms, () => {
      if (this.state?.config.attempt === attempt) work()
    })
  }
}
