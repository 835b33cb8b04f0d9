import type { Value } from '../../src/federation/certificate.ts'
import { quorumOf } from '../../src/federation/committee.ts'
import { begin, step } from '../../src/federation/machine.ts'
import { nextRoster, type Place } from '../../src/federation/roster.ts'
import type { Effect, Event, MemberRecord, Message, RoundState } from '../../src/federation/round-state.ts'
import type { Notice, Vote } from '../../src/federation/statements.ts'

/**
 * A run of several rounds among peers that exist in memory alone, in virtual time, from a seed: the same machine that
 * production runs, under delay, loss, duplication, reordering, crashes that lose what was not yet durable, slow peers
 * and a leader that equivocates. The law is checked at every certificate.
 */
export interface Scenario {
  readonly seed: number
  readonly peers: number
  readonly rounds: number
  readonly faults: 'crash' | 'byzantine'
  readonly minimumTrainers: number
  readonly committeeSize: number
  readonly lossPermille: number
  readonly duplicatePermille: number
  readonly maxDelayMs: number
  /** Crashes, at random instants, of random peers; each comes back. */
  readonly crashes: number
  /** Chance to die between two effects of one step. */
  readonly tornPermille: number
  /** Peers that die in the middle of the run for good. */
  readonly deaths: number
  /** This peer's messages take seconds. */
  readonly slowPeer: boolean
  /** This peer proposes two values and votes for both. */
  readonly liar: boolean
  /** Plants a bug, to show that the law is watched. */
  readonly bug?: 'forgets-votes' | 'acknowledges-closed' | 'no-quorum'
}

export interface Outcome {
  readonly violations: readonly string[]
  readonly finished: boolean
  readonly certified: number
  readonly endMs: number
  readonly passedOver: number
  readonly accepted: number
  readonly trace: readonly string[]
}

interface Disk {
  certificates: Value[]
  record: { round: number; record: MemberRecord } | null
  held: Notice[]
  own: Notice[]
  /** Updates whose bytes are here. */
  bytes: Set<string>
}
interface Node {
  readonly name: string
  readonly disk: Disk
  state: RoundState | null
  /** Grows with each crash: what was begun before does not come back. */
  life: number
  up: boolean
  answers: Map<string, (outcome: string) => void>
}

const limitMs = 600_000
const tickMs = 100

export function simulate(scenario: Scenario): Outcome {
  const random = generator(scenario.seed)
  const names = Array.from({ length: scenario.peers }, (_, i) => `p${i}`)
  const liar = scenario.liar ? names[0] : undefined
  const slow = scenario.slowPeer ? names[1] : undefined
  const nodes = new Map<string, Node>()
  const violations: string[] = []
  const trace: string[] = []
  const accepted: Notice[] = []
  const certified = new Map<number, Value>()
  let passedOver = 0
  let nowMs = 0
  const queue = timeQueue()
  const later = (ms: number, run: () => void): void => queue.add(nowMs + ms, run)
  const say = (line: string): void => void trace.push(`${String(nowMs).padStart(6)} ${line}`)
  const break_ = (what: string): void => {
    violations.push(`seed ${scenario.seed}: ${what}`)
    say(`VIOLATION ${what}`)
  }

  const delayOf = (from: string, to: string): number => {
    const base = 1 + Math.floor(random() * scenario.maxDelayMs)
    return from === slow || to === slow ? base + Math.floor(random() * 4_000) : base
  }
  /** Carries something from one peer to another, or loses it. */
  const carry = (from: string, to: string, deliver: (node: Node) => void): void => {
    const times = random() * 1000 < scenario.duplicatePermille ? 2 : 1
    for (let i = 0; i < times; i++) {
      if (random() * 1000 < scenario.lossPermille) continue
      later(delayOf(from, to), () => {
        const node = nodes.get(to)
        if (node?.up && nodes.get(from)?.up) deliver(node)
      })
    }
  }

  const headOf = (node: Node): { round: number; id: string; checkpoint: string; roster: readonly Place[] } => {
    const last = node.disk.certificates.at(-1)
    return last ?? { round: 0, id: 'run', checkpoint: 'c0', roster: names.map((peer) => ({ peer, missed: 0 })) }
  }
  const committeeOf = (round: number, roster: readonly Place[]): string[] => {
    const sorted = roster.map((place) => place.peer).sort()
    const turn = (round * 7 + scenario.seed) % sorted.length
    return [...sorted.slice(turn), ...sorted.slice(0, turn)].slice(0, scenario.committeeSize)
  }

  const startRound = (node: Node): void => {
    const head = headOf(node)
    const round = head.round + 1
    if (head.round >= scenario.rounds) {
      node.state = null
      return
    }
    const committee = committeeOf(round, head.roster)
    const roster = head.roster.map((place) => place.peer)
    const stored = node.disk.record?.round === round ? node.disk.record.record : null
    const result = begin(
      {
        run: 'run',
        self: node.name,
        round,
        attempt: 0,
        roster,
        committee,
        quorum: scenario.bug === 'no-quorum' ? 1 : quorumOf(scenario.faults, committee.length),
        rosterQuorum: quorumOf(scenario.faults, roster.length),
        minimumTrainers: scenario.minimumTrainers,
        trains: roster.includes(node.name),
        timing: { collectMs: 8_000, agreeMs: 2_000 },
      },
      new Set(names.filter((name) => nodes.get(name)?.up)),
      nowMs,
      {
        record: scenario.bug === 'forgets-votes' ? null : stored,
        held: node.disk.held.filter((notice) => notice.round === round),
        own: node.disk.own.find((notice) => notice.round === round) ?? null,
        joins: [],
        proof: [],
        givenUp: false,
      },
    )
    node.state = result.state
    run(node, result.effects)
  }

  const feed = (node: Node, event: Event): void => {
    if (!node.up || node.state === null) return
    const before = node.state
    const result = step(before, event, nowMs)
    node.state = result.state
    if (scenario.bug === 'acknowledges-closed') {
      const refused = result.effects.find((e) => e.type === 'answer' && e.outcome === 'closed')
      if (refused?.type === 'answer') {
        node.disk.held.push(refused.notice)
        run(node, [{ ...refused, outcome: 'stored' }])
        return
      }
    }
    run(node, result.effects)
  }
  /** Feeds an event that belongs to a round, unless the peer has died or gone on since. */
  const feedLater = (node: Node, ms: number, make: () => Event | null): void => {
    const { life } = node
    const round = node.state?.config.round
    later(ms, () => {
      if (node.life !== life || node.state?.config.round !== round) return
      const event = make()
      if (event !== null) feed(node, event)
    })
  }

  const certificate = (node: Node, value: Value): void => {
    if (value.round !== headOf(node).round + 1) return
    const first = certified.get(value.round)
    if (first === undefined) {
      certified.set(value.round, value)
      check(value, headOf(node).checkpoint)
    } else if (first.id !== value.id)
      break_(`round ${value.round} has two certified values: ${first.id} and ${value.id}`)
    node.disk.certificates.push(value)
    for (const answer of node.answers.values()) answer('late')
    node.answers.clear()
    startRound(node)
  }
  const check = (value: Value, base: string): void => {
    if (value.checkpoint !== resultOf(base, value.updates)) break_(`the result of round ${value.round} does not follow`)
    if (new Set(value.updates.map((u) => u.trainer)).size !== value.updates.length) break_('a trainer counts twice')
    if (value.updates.length < scenario.minimumTrainers) break_(`round ${value.round} has too few updates`)
    for (const notice of accepted) {
      if (notice.round !== value.round || notice.trainer === liar) continue
      if (!value.updates.some((u) => u.update === notice.update)) {
        break_(`the accepted ${notice.update} is not in the certificate of round ${value.round}`)
      }
    }
  }

  const compose = (node: Node, updates: readonly Notice[]): Value => {
    const head = headOf(node)
    const sorted = [...updates].sort((a, b) => (a.trainer < b.trainer ? -1 : 1))
    const checkpoint = resultOf(head.checkpoint, sorted)
    const rule = {
      minimumTrainers: scenario.minimumTrainers,
      faults: scenario.faults,
      committeeSize: scenario.committeeSize,
    }
    return {
      id: `v${head.round + 1}[${sorted.map((n) => n.update).join(' ')}]`,
      bytes: new Uint8Array(),
      run: 'run',
      round: head.round + 1,
      attempt: 0,
      previous: head.id,
      updates: sorted,
      joins: [],
      checkpoint,
      // A peer that comes back joins again in production; here it stays, so that the run goes on with all of them.
      roster: nextRoster(rule, head.roster, new Set(names), []),
    }
  }
  const available = (node: Node, notice: Notice): boolean => {
    const holder = [...nodes.values()].some((other) => other.up && other.disk.bytes.has(notice.update))
    if (holder) node.disk.bytes.add(notice.update)
    return holder
  }

  const send = (node: Node, to: string, message: Message, round: number): void => {
    carry(node.name, to, (receiver) => {
      const current = receiver.state?.config.round ?? scenario.rounds + 1
      if (round < current) {
        const value = receiver.disk.certificates[round - 1]
        if (value !== undefined) carry(to, node.name, (back) => certificate(back, value))
      } else if (round > current) catchUp(receiver, node.name)
      else feed(receiver, { type: 'message', from: node.name, message })
    })
  }
  const catchUp = (node: Node, from: string): void => {
    const have = headOf(node).round
    carry(node.name, from, (other) => {
      for (const value of other.disk.certificates.slice(have))
        carry(from, node.name, (back) => certificate(back, value))
    })
  }
  const vote = (node: Node, effect: Extract<Effect, { type: 'vote' }>, value: string, to: readonly string[]): void => {
    const state = node.state
    if (state === null) return
    const { round, committee } = state.config
    const made: Vote = {
      voter: node.name,
      run: 'run',
      round,
      attempt: 0,
      view: effect.view,
      phase: effect.phase,
      value,
      document: new Uint8Array(),
    }
    for (const member of committee) {
      if (member !== node.name && to.includes(member)) send(node, member, { kind: 'vote', vote: made }, round)
    }
    if (value === effect.value) feed(node, { type: 'message', from: node.name, message: { kind: 'vote', vote: made } })
  }

  const run = (node: Node, effects: readonly Effect[]): void => {
    const config = node.state?.config
    if (config === undefined) return
    for (const effect of effects) {
      if (!node.up) return
      // Between two effects is where a crash hurts most: written and not sent, or the other way round.
      if (random() * 1000 < scenario.tornPermille) {
        crash(node, 200 + Math.floor(random() * 4_000))
        return
      }
      perform(node, effect, config.round)
    }
  }
  const perform = (node: Node, effect: Effect, round: number): void => {
    const { disk, state } = node
    if (state === null || state.config.round !== round) return
    switch (effect.type) {
      case 'train':
        feedLater(node, 500 + Math.floor(random() * 2_500), () => {
          const notice: Notice = {
            trainer: node.name,
            run: 'run',
            round,
            attempt: 0,
            base: headOf(node).checkpoint,
            update: `u${round}-${node.name}-${node.life}`,
            samples: 1,
            steps: 1,
            bytes: 1,
            document: new Uint8Array(),
          }
          disk.own.push(notice)
          disk.bytes.add(notice.update)
          return { type: 'trained', notice }
        })
        break
      case 'push':
        for (const member of effect.to) {
          let answered = false
          const { life } = node
          const settle = (outcome: string): void => {
            if (answered || node.life !== life || node.state?.config.round !== round) return
            answered = true
            feed(node, { type: 'pushed', member, update: effect.notice.update, outcome })
          }
          later(2_000, () => settle('timeout'))
          carry(node.name, member, (receiver) => {
            const reply = (outcome: string): void => carry(member, node.name, () => settle(outcome))
            const current = receiver.state?.config.round ?? scenario.rounds + 1
            if (round !== current) return reply(round < current ? 'late' : 'behind')
            receiver.answers.set(`${effect.notice.update}`, reply)
            feed(receiver, { type: 'offered', notice: effect.notice })
          })
        }
        break
      case 'answer':
        node.answers.get(effect.notice.update)?.(effect.outcome)
        node.answers.delete(effect.notice.update)
        break
      case 'hold':
        disk.held.push(effect.notice)
        break
      case 'store':
        feedLater(node, 1 + Math.floor(random() * 50), () => {
          disk.bytes.add(effect.notice.update)
          return { type: 'stored', notice: effect.notice, code: null }
        })
        break
      case 'persist':
        disk.record = { round, record: effect.record }
        break
      case 'send':
        for (const to of effect.to) {
          if (node.name === liar && effect.message.kind === 'proposal') lie(node, to, effect.message, round)
          else send(node, to, effect.message, round)
        }
        break
      case 'vote':
        vote(node, effect, effect.value, names)
        if (node.name === liar) for (const other of lies.get(round) ?? []) vote(node, effect, other.id, names)
        break
      case 'aggregate':
        feedLater(node, 1 + Math.floor(random() * 30), () => {
          const found = effect.updates.filter((notice) => available(node, notice))
          const value = found.length < scenario.minimumTrainers ? null : compose(node, found)
          return { type: 'aggregated', view: effect.view, value }
        })
        break
      case 'verify':
        feedLater(node, 1 + Math.floor(random() * 30), () => {
          const { value, view } = effect
          const enough = value.updates.length >= scenario.minimumTrainers
          const here = enough && value.updates.every((notice) => available(node, notice))
          const right = here && value.checkpoint === resultOf(headOf(node).checkpoint, value.updates)
          return { type: 'verified', view, value: value.id, code: right ? null : 'wrong_result' }
        })
        break
      case 'certify': {
        say(`${node.name} certifies ${effect.value.id} in view ${effect.view}`)
        const { value } = effect
        const { committee } = state.config
        if (scenario.bug === undefined && effect.votes.length < quorumOf(scenario.faults, committee.length))
          break_('no quorum')
        for (const to of names) if (to !== node.name) carry(node.name, to, (other) => certificate(other, value))
        certificate(node, value)
        break
      }
      case 'catch-up':
        catchUp(node, effect.from)
        break
      case 'accepted': {
        accepted.push(effect.notice)
        const value = certified.get(round)
        if (
          value !== undefined &&
          node.name !== liar &&
          !value.updates.some((u) => u.update === effect.notice.update)
        ) {
          break_(`${effect.notice.update} is accepted after a certificate without it`)
        }
        break
      }
      case 'refused':
        say(`${node.name} refuses the proposal of ${effect.leader}: ${effect.code}`)
        break
      case 'passed-over':
        passedOver++
        say(`${node.name} passes over ${effect.leader} for ${effect.next}`)
        break
      case 'rejected':
        break
    }
  }

  /** Another value to every second member, with an update left out. */
  const lies = new Map<number, Value[]>()
  const lie = (node: Node, to: string, proposal: Extract<Message, { kind: 'proposal' }>, round: number): void => {
    const { value } = proposal
    if (proposal.justify !== null || names.indexOf(to) % 2 === 0 || value.updates.length < 2) {
      send(node, to, proposal, round)
      return
    }
    const other = compose(node, value.updates.slice(1))
    lies.set(round, [other])
    send(node, to, { ...proposal, value: other }, round)
    for (const phase of ['prepare', 'commit'] as const) {
      vote(node, { type: 'vote', phase, view: proposal.view, value: value.id }, other.id, names)
    }
  }

  const crash = (node: Node, forMs: number | null): void => {
    if (!node.up) return
    say(`${node.name} dies`)
    node.up = false
    node.life++
    node.state = null
    node.answers.clear()
    for (const other of nodes.values()) {
      if (other !== node)
        later(1 + Math.floor(random() * 50), () => !node.up && feed(other, { type: 'disconnected', peer: node.name }))
    }
    if (forMs === null) return
    later(forMs, () => {
      say(`${node.name} is back`)
      node.up = true
      startRound(node)
      for (const other of nodes.values()) {
        if (other !== node)
          later(1 + Math.floor(random() * 50), () => node.up && feed(other, { type: 'connected', peer: node.name }))
      }
    })
  }

  for (const name of names) {
    const disk: Disk = { certificates: [], record: null, held: [], own: [], bytes: new Set() }
    nodes.set(name, { name, disk, state: null, life: 0, up: true, answers: new Map() })
  }
  for (const node of nodes.values()) startRound(node)
  const span = scenario.rounds * 4_000
  for (let i = 0; i < scenario.crashes; i++) {
    const name = names[Math.floor(random() * names.length)] ?? ''
    later(Math.floor(random() * span), () => {
      const node = nodes.get(name)
      if (node !== undefined) crash(node, 200 + Math.floor(random() * 4_000))
    })
  }
  for (let i = 0; i < scenario.deaths; i++) {
    const name = names[names.length - 1 - i] ?? ''
    later(Math.floor(random() * span), () => {
      const node = nodes.get(name)
      // Once it is down for good it must not be brought back by an earlier crash.
      const die = (): void => {
        if (node === undefined) return
        if (node.up) crash(node, null)
        else later(500, die)
      }
      die()
    })
  }
  const beat = (): void => {
    for (const node of nodes.values()) if (node.up) feed(node, { type: 'tick' })
    if (nowMs % 1_000 < tickMs) {
      // Beacons: whoever is behind asks.
      for (const node of nodes.values()) {
        if (!node.up) continue
        for (const to of names) {
          if (to !== node.name && headOf(node).round > 0) {
            const { round } = headOf(node)
            carry(node.name, to, (other) => headOf(other).round < round && catchUp(other, node.name))
          }
        }
      }
    }
    later(tickMs, beat)
  }
  later(tickMs, beat)

  const done = (): boolean => [...nodes.values()].every((node) => !node.up || headOf(node).round >= scenario.rounds)
  let finished = false
  for (;;) {
    const next = queue.take()
    if (next === undefined || next.atMs > limitMs) break
    nowMs = next.atMs
    next.run()
    if (violations.length > 0) break
    if (done()) {
      finished = true
      break
    }
  }
  return { violations, finished, certified: certified.size, endMs: nowMs, passedOver, accepted: accepted.length, trace }
}

/** What the updates make of a checkpoint; depends on the set alone. */
function resultOf(base: string, updates: readonly Notice[]): string {
  const text = [base, ...updates.map((notice) => notice.update).sort()].join(',')
  let hash = 2166136261
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 16777619) >>> 0
  return `c${hash.toString(16)}`
}

/** Mulberry32. */
export function generator(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

interface Due {
  readonly atMs: number
  readonly serial: number
  readonly run: () => void
}
/** A binary heap; equal times in the order in which they were added. */
function timeQueue(): { add(atMs: number, run: () => void): void; take(): Due | undefined } {
  const heap: Due[] = []
  let serial = 0
  const before = (a: Due, b: Due): boolean => a.atMs < b.atMs || (a.atMs === b.atMs && a.serial < b.serial)
  const at = (i: number): Due => heap[i] as Due
  const swap = (i: number, j: number): void => {
    const kept = at(i)
    heap[i] = at(j)
    heap[j] = kept
  }
  return {
    add: (atMs, run) => {
      heap.push({ atMs, serial: serial++, run })
      for (let i = heap.length - 1; i > 0; ) {
        const parent = (i - 1) >> 1
        if (!before(at(i), at(parent))) break
        swap(i, parent)
        i = parent
      }
    },
    take: () => {
      const first = heap[0]
      const last = heap.pop()
      if (first === undefined || last === undefined || heap.length === 0) return first
      heap[0] = last
      for (let i = 0; ; ) {
        const left = 2 * i + 1
        const right = left + 1
        let least = i
        if (left < heap.length && before(at(left), at(least))) least = left
        if (right < heap.length && before(at(right), at(least))) least = right
        if (least === i) break
        swap(i, least)
        i = least
      }
      return first
    },
  }
}
