import type { Value } from '../certificate.ts'
import { leaderOf } from '../certificate.ts'
import type { Message } from '../round-state.ts'
import type { Notice, Vote } from '../statements.ts'
import type { Packet, SimPeer } from './peer.ts'
import { noBytes, type World } from './world.ts'

/** The ways in which peers lie. */
export const lies = [
  'two proposals',
  'two votes',
  'forged statements',
  'wrong result',
  'silent leader',
  'withheld update',
  'poisoned update',
  'oversized update',
  'two updates',
  'update of another base',
  'replays',
  'gives up at once',
] as const
export type Lie = (typeof lies)[number]

/** How often a liar does something of its own accord. */
const mischiefPermille = 100
const maxReplays = 40

/**
 * A peer that lies. It runs the same machine as everybody, and changes what leaves it: it holds its own key and no other,
 * so what it forges is not genuine.
 */
export class Liar {
  readonly #world: World
  readonly #lies: ReadonlySet<Lie>
  /** Packets of all rounds, to be sent again. */
  readonly #heard: Packet[] = []
  /** The value that it tells others beside the one that it tells some. */
  #other: { readonly round: number; readonly view: number; readonly value: Value } | null = null
  readonly #second = new Map<string, Notice>()

  constructor(world: World, kinds: readonly Lie[]) {
    this.#world = world
    this.#lies = new Set(kinds)
  }

  get kinds(): readonly Lie[] {
    return [...this.#lies]
  }

  onNotice({ update }: Notice): void {
    if (this.#lies.has('poisoned update')) this.#world.addUpdate(update, 'over_bound')
    else if (this.#lies.has('oversized update')) this.#world.addUpdate(update, 'oversized')
  }

  /** The notice that goes to this member in the place of the own one. */
  noticeFor(peer: SimPeer, member: string, notice: Notice): Notice {
    const old = peer.disk.chain.at(-2)
    if (this.#lies.has('update of another base') && old !== undefined) {
      return peer.makeNotice(notice.update, notice.attempt, old.value.checkpoint, notice.round)
    }
    if (!this.#lies.has('two updates') || this.#world.indexOf(member) % 2 === 0) return notice
    let second = this.#second.get(notice.update)
    if (second === undefined) {
      second = peer.makeNotice(`${notice.update}-second`, notice.attempt, notice.base, notice.round)
      peer.disk.sync(second.update)
      this.#second.set(notice.update, second)
    }
    return second
  }

  /** What leaves instead of this message, or nothing. */
  onSend(peer: SimPeer, message: Message): Message | null {
    if (!this.#mayLie(peer)) return message
    const { state } = peer
    if (state === null) return message
    const isLeader = leaderOf(state.config.committee, state.view) === peer.name
    if (isLeader && this.#lies.has('silent leader')) return null
    if (message.kind === 'report' && this.#lies.has('withheld update'))
      return { ...message, held: [...message.held, this.#withheld(peer)] }
    if (message.kind !== 'proposal') return message
    if (this.#lies.has('wrong result')) return { ...message, value: this.#wrong(peer, message.value) }
    if (!this.#lies.has('two proposals') || message.justify !== null) return message
    if (message.value.updates.length < 2 || this.#world.random.permille(500)) return message
    return { ...message, value: this.#otherValue(peer, message.value, message.view) }
  }

  onVote(peer: SimPeer, { phase, view, value }: Vote): void {
    const { state } = peer
    if (state === null || !this.#mayLie(peer)) return
    const others = this.#lies.has('two votes') ? Object.keys(state.values) : []
    if (this.#other?.round === state.config.round && this.#other.view === view) others.push(this.#other.value.id)
    for (const other of others) {
      if (other === value) continue
      this.#tell(peer, 'votes for two values')
      for (const phases of [phase, 'commit'] as const) {
        const vote = peer.signVote(phases, view, other)
        for (const member of state.config.committee) this.#send(peer, member, { kind: 'vote', vote })
      }
    }
  }

  onTick(peer: SimPeer): void {
    const { state } = peer
    const { random } = this.#world
    if (state === null || !random.permille(mischiefPermille)) return
    if (this.#lies.has('forged statements')) this.#forge(peer)
    if (this.#lies.has('replays')) this.#replay(peer)
    if (this.#lies.has('gives up at once')) {
      const attempt = state.config.attempt + random.integer(0, 3)
      for (const member of [...state.config.committee, random.pick(this.#world.names)]) {
        peer.sendAbandons(member, [peer.signAbandon(attempt)])
      }
    }
  }

  #mayLie(peer: SimPeer): boolean {
    return peer.state !== null && this.#world.mayLie(peer.name, peer.state.config.committee)
  }

  #send(peer: SimPeer, to: string, message: Packet['message']): void {
    const { state } = peer
    if (state === null || to === peer.name) return
    const packet = { round: state.config.round, attempt: state.config.attempt, message }
    if (this.#heard.length < maxReplays) this.#heard.push(packet)
    peer.sendPacket(to, packet)
  }

  /** Votes, notices, certificates and surrenders in the names of others. */
  #forge(peer: SimPeer): void {
    const { state, head } = peer
    const { random, run } = this.#world
    if (state === null) return
    this.#tell(peer, 'forges votes, updates, and a certificate')
    const { round, attempt, committee, roster } = state.config
    const place = { run: run.id, round, attempt, document: noBytes }
    const notices: Notice[] = random
      .sample(roster, Math.max(1, this.#world.scenario.minimumTrainers))
      .map((trainer) => {
        const update = `forged-${round}-${this.#world.short(trainer)}`
        return { ...place, trainer, base: head.checkpoint, update, samples: 1, steps: 1, bytes: 1 }
      })
    for (const notice of notices) peer.disk.sync(notice.update)
    const value = this.#world.compose(head, attempt, { updates: notices, joins: [] })
    const votes = [...committee]
      .sort()
      .map((voter): Vote => ({ ...place, voter, view: state.view, phase: 'commit', value: value.id }))
    for (const to of [...committee, random.pick(roster)]) {
      if (to === peer.name) continue
      for (const vote of votes) this.#send(peer, to, { kind: 'vote', vote: { ...vote, phase: 'prepare' } })
      this.#send(peer, to, {
        kind: 'report',
        view: state.view,
        held: notices,
        joins: [],
        lock: { view: 0, value, votes },
      })
      const justify = { view: 0, value: value.id, votes }
      this.#send(peer, to, { kind: 'proposal', view: state.view, value, justify })
      peer.sendAbandons(
        to,
        roster.map((name) => ({ peer: name, run: run.id, round, attempt, previous: head.id, document: noBytes })),
      )
      peer.sendCertificate(to, { value, view: state.view, votes, abandons: state.proof, bytes: noBytes })
    }
  }

  #replay(peer: SimPeer): void {
    const { state } = peer
    const { random } = this.#world
    if (state === null || this.#heard.length === 0) return
    this.#tell(peer, 'replays what it has said before')
    const { message } = random.pick(this.#heard)
    this.#send(peer, random.pick(state.config.committee), message)
    const old = peer.disk.chain[0]
    if (old !== undefined) peer.sendCertificate(random.pick(this.#world.names), old)
  }

  /** A notice of its own on bytes that it gives to nobody. */
  #withheld(peer: SimPeer): Notice {
    const { head } = peer
    return peer.makeNotice(`withheld-${head.round + 1}-${peer.short}`, 0, head.checkpoint)
  }

  #wrong(peer: SimPeer, value: Value): Value {
    const { joins, updates, attempt } = value
    this.#tell(peer, 'proposes a wrong result')
    return this.#world.compose(peer.head, attempt, {
      updates,
      joins,
      checkpoint: this.#world.resultOf('wrong', updates),
    })
  }

  #otherValue(peer: SimPeer, value: Value, view: number): Value {
    if (this.#other?.round === value.round && this.#other.view === view) return this.#other.value
    this.#tell(peer, 'proposes two values')
    const { updates, joins, attempt } = value
    const other = this.#world.compose(peer.head, attempt, { updates: updates.slice(1), joins })
    this.#other = { round: value.round, view, value: other }
    for (const phase of ['prepare', 'commit'] as const) {
      const vote = peer.signVote(phase, view, other.id)
      for (const member of peer.state?.config.committee ?? []) this.#send(peer, member, { kind: 'vote', vote })
    }
    return other
  }

  #tell(peer: SimPeer, what: string): void {
    this.#world.tell(() => `${peer.short} (a liar) ${what}`)
  }
}
