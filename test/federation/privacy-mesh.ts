import { beginAggregator, stepAggregator } from '../../src/federation/privacy/aggregator.ts'
import type { AggregatorEffect, AggregatorState, Failure } from '../../src/federation/privacy/aggregator-state.ts'
import {
  type ContributionShape,
  type ContributionSum,
  sumShapeOf,
  unmaskSum,
} from '../../src/federation/privacy/contribution.ts'
import { decodeInput, encodeInput } from '../../src/federation/privacy/input-block.ts'
import { RandomWords } from '../../src/federation/privacy/keystream.ts'
import { applyMasks } from '../../src/federation/privacy/masking.ts'
import { type Message, messageFromWire, messageToWire, tellRequest } from '../../src/federation/privacy/messages.ts'
import { type Opening, unmaskingOf } from '../../src/federation/privacy/opening.ts'
import {
  beginParticipant,
  type ParticipantEffect,
  type ParticipantEvent,
  type ParticipantRecord,
  type ParticipantState,
  stepParticipant,
} from '../../src/federation/privacy/participant.ts'
import type { SessionConfig } from '../../src/federation/privacy/session.ts'
import {
  openStatement,
  type Statement,
  type StatementKind,
  signStatement,
} from '../../src/federation/privacy/statements.ts'
import { createIdentity, type Identity } from '../../src/identity/index.ts'
import { cidOf, codecs, encode, errorCode } from '../../src/lib/index.ts'

/**
 * A secure sum of real peers over a network of virtual time: seeded loss, duplicates and delay; every message is
 * encoded, checked and decoded as it would be on a wire, and counted.
 */

export interface Plan {
  readonly seed: number
  readonly peers: number
  readonly members: number
  readonly threshold: number
  readonly parameters: number
  readonly bits?: number
  readonly lossPermille?: number
  readonly duplicatePermille?: number
  readonly maxDelayMs?: number
  /** When a peer vanishes, by its place: as soon as it has said this, or has masked its contribution. */
  readonly vanish?: Readonly<Record<number, StatementKind | 'mask'>>
  /** Restarts a peer, with what it had written down, as soon as it has said this. */
  readonly restart?: Readonly<Record<number, StatementKind>>
  /** Who gives the attempt up as soon as it has said this. */
  readonly renounce?: Readonly<Record<number, StatementKind>>
  /** The member that leads is gone as soon as it is in this phase; the next one leads. */
  readonly leaderDies?: AggregatorState['phase']
  /** Changes what a peer says. Null: it says nothing. */
  readonly lie?: (statement: Statement, identity: Identity, place: number) => Statement | null
  /** Changes what the member that leads tells one peer. */
  readonly tell?: (message: Message, to: string) => Message
  /** Changes what a peer adds to the sum. */
  readonly spoil?: (elements: Uint32Array, place: number) => void
}

export interface Outcome {
  /** By member: the sum that it came to. */
  readonly sums: Readonly<Record<string, ContributionSum>>
  readonly survivors: readonly string[]
  readonly failures: readonly Failure[]
  readonly opening: Opening | null
  readonly accused: readonly string[]
  readonly refused: readonly string[]
  /** Who was to be summed if all had gone well: the contributions by peer. */
  readonly contributions: Readonly<Record<string, Uint32Array>>
  readonly peers: readonly string[]
  /** By peer: what it said, and said again, to one member, and was told. */
  readonly upBytes: Readonly<Record<string, number>>
  readonly downBytes: Readonly<Record<string, number>>
  readonly records: Readonly<Record<string, ParticipantRecord | null>>
  readonly said: readonly Statement[]
  readonly maskMs: number
  readonly unmaskMs: number
  readonly endedMs: number
}

const timing = { keysMs: 3_000, sharesMs: 3_000, inputsMs: 5_000, consentsMs: 8_000, revealsMs: 8_000 }
const tickMs = 100
const patienceMs = 90_000
const unreachable = 'a test never gets here'

export const runCid = cidOf(encode('a run of secure sums')).toString()

export function shapeOf(plan: Pick<Plan, 'parameters' | 'bits' | 'peers'>): ContributionShape {
  return { parameters: plan.parameters, bits: plan.bits ?? 16, peers: plan.peers, unitExponent: -15, maxSamples: 600 }
}

export function secureSum(plan: Plan): Outcome {
  const random = new RandomWords(new Uint8Array(32).fill(plan.seed & 0xff).map((byte, i) => byte ^ (plan.seed >> i)))
  const chance = (permille = 0): boolean => random.below(1000) < permille
  const delay = (): number => 1 + random.below(plan.maxDelayMs ?? 20)
  const identities = new Map<string, Identity>()
  const fresh = (count: number): string[] =>
    Array.from({ length: count }, () => {
      const identity = createIdentity()
      identities.set(identity.peerId.toString(), identity)
      return identity.peerId.toString()
    }).sort()
  const peers = fresh(plan.peers)
  const members = fresh(plan.members)
  const shape = shapeOf(plan)
  const config: SessionConfig = {
    ...{ run: runCid, round: 3, attempt: 0 },
    invited: peers,
    committee: members,
    threshold: plan.threshold,
    shape: sumShapeOf(shape),
  }

  const contributions: Record<string, Uint32Array> = {}
  const entropies: Record<string, Uint8Array> = {}
  const half = 2 ** (shape.bits - 1)
  for (const [place, peer] of peers.entries()) {
    const elements = new Uint32Array(config.shape.length)
    for (let i = 0; i < shape.parameters; i++) elements[i] = random.below(2 * half - 1) - (half - 1)
    elements[shape.parameters] = 1 + random.below(shape.maxSamples)
    plan.spoil?.(elements, place)
    contributions[peer] = elements
    entropies[peer] = Uint8Array.from({ length: 32 }, () => random.below(256))
  }

  const blocks = new Map<string, Uint8Array>()
  const participants = new Map<string, ParticipantState>()
  const aggregators = new Map<string, AggregatorState>()
  const records: Record<string, ParticipantRecord | null> = Object.fromEntries(peers.map((peer) => [peer, null]))
  const gone = new Set<string>()
  const restarted = new Set<string>()
  const pushed = new Set<string>()
  const sums: Record<string, ContributionSum> = {}
  const failures: Failure[] = []
  const accused: string[] = []
  const refused: string[] = []
  const said: Statement[] = []
  const upBytes: Record<string, number> = Object.fromEntries(peers.map((peer) => [peer, 0]))
  const downBytes: Record<string, number> = Object.fromEntries(peers.map((peer) => [peer, 0]))
  let survivors: readonly string[] = []
  let opening: Opening | null = null
  let maskMs = 0
  let unmaskMs = 0
  let nowMs = 0
  let order = 0
  const queue: { readonly atMs: number; readonly order: number; readonly work: () => void }[] = []
  const later = (atMs: number, work: () => void): void => {
    const at = queue.findIndex((other) => other.atMs > atMs)
    queue.splice(at < 0 ? queue.length : at, 0, { atMs, order: order++, work })
  }
  const carry = (work: () => void): void => {
    if (!chance(plan.lossPermille)) later(nowMs + delay(), work)
    if (chance(plan.duplicatePermille)) later(nowMs + delay(), work)
  }

  const toParticipant = (peer: string, event: ParticipantEvent): void => {
    const before = participants.get(peer)
    if (before === undefined || gone.has(peer)) return
    const { state, effects } = stepParticipant(before, event, nowMs)
    participants.set(peer, state)
    runParticipant(peer, effects)
  }
  const runParticipant = (peer: string, effects: readonly ParticipantEffect[]): void => {
    for (const effect of effects) {
      if (gone.has(peer)) return
      switch (effect.type) {
        case 'persist':
          records[peer] = effect.record
          break
        case 'mask': {
          const startedMs = performance.now()
          const elements = contributions[peer]?.slice() ?? new Uint32Array()
          applyMasks(elements, effect.masks)
          const bytes = encodeInput(elements, config.shape)
          maskMs += performance.now() - startedMs
          const input = cidOf(bytes, codecs.raw).toString()
          blocks.set(input, bytes)
          if (plan.vanish?.[peers.indexOf(peer)] === 'mask') gone.add(peer)
          later(nowMs + 1, () => toParticipant(peer, { type: 'masked', input, bytes: bytes.byteLength }))
          break
        }
        case 'say':
          speak(peer, effect.statement)
          break
        case 'refused':
          refused.push(effect.code)
          break
      }
    }
  }
  const speak = (peer: string, body: Extract<ParticipantEffect, { type: 'say' }>['statement']): void => {
    const identity = identities.get(peer)
    if (identity === undefined) throw new Error(unreachable)
    const place = peers.indexOf(peer)
    const honest = signStatement(identity, body)
    const statement = plan.lie === undefined ? honest : plan.lie(honest, identity, place)
    if (statement !== null) {
      said.push(statement)
      const { kind, document } = statement
      // A block goes up once: a member that has stored it says so.
      const block = statement.kind === 'input' && !pushed.has(statement.input) ? blocks.get(statement.input) : undefined
      if (statement.kind === 'input') pushed.add(statement.input)
      upBytes[peer] = (upBytes[peer] ?? 0) + document.byteLength + (block?.byteLength ?? 0)
      for (const member of members) {
        carry(() => toAggregator(member, { type: 'said', statement: openStatement(kind, document) }))
      }
    }
    if (plan.vanish?.[place] === body.kind) gone.add(peer)
    if (plan.renounce?.[place] === body.kind) later(nowMs, () => toParticipant(peer, { type: 'renounce' }))
    if (plan.restart?.[place] === body.kind && !restarted.has(peer)) {
      restarted.add(peer)
      later(nowMs + 50, () => {
        begin(peer)
        toParticipant(peer, { type: 'ready' })
      })
    }
  }
  const begin = (peer: string): void => {
    const entropy = entropies[peer] ?? new Uint8Array()
    const { state, effects } = beginParticipant(config, peer, entropy, nowMs, records[peer] ?? undefined)
    participants.set(peer, state)
    runParticipant(peer, effects)
  }

  const toAggregator = (member: string, event: Parameters<typeof stepAggregator>[1]): void => {
    const before = aggregators.get(member)
    if (before === undefined || gone.has(member)) return
    const { state, effects } = stepAggregator(before, event, nowMs)
    aggregators.set(member, state)
    if (plan.leaderDies === state.phase && member === members[0]) {
      gone.add(member)
      const next = members[1]
      if (next !== undefined) later(nowMs + 300, () => toAggregator(next, { type: 'lead' }))
      return
    }
    runAggregator(member, effects)
  }
  const runAggregator = (member: string, effects: readonly AggregatorEffect[]): void => {
    for (const effect of effects) {
      switch (effect.type) {
        case 'send':
          for (const to of effect.to) tell(member, to, effect.message)
          break
        case 'fetch': {
          const { peer, input, bytes } = effect.input
          const block = blocks.get(input)
          let code: string | null = null
          try {
            if (block === undefined || block.byteLength !== bytes) throw new Error('not the block')
            decodeInput(block, config.shape)
          } catch (error) {
            code = errorCode(error)
          }
          later(nowMs + 1, () => toAggregator(member, { type: 'fetched', peer, code }))
          break
        }
        case 'unmask': {
          const startedMs = performance.now()
          let code: string | null = null
          try {
            const inputs = effect.inputs.map((input) =>
              decodeInput(blocks.get(input.input) ?? new Uint8Array(), config.shape),
            )
            sums[member] = unmaskSum(inputs, unmaskingOf(effect.directory, effect.opening), shape)
          } catch (error) {
            code = errorCode(error)
          }
          unmaskMs += performance.now() - startedMs
          later(nowMs + 1, () => toAggregator(member, { type: 'unmasked', code }))
          break
        }
        case 'refused':
          refused.push(effect.code)
          break
        case 'accused':
          accused.push(`${peers.indexOf(effect.peer)}:${effect.code}`)
          break
        case 'done':
          survivors = effect.survivors
          opening = effect.opening
          break
        case 'failed':
          failures.push(effect.failure)
          break
      }
    }
  }
  const tell = (from: string, to: string, honest: Message): void => {
    const message = plan.tell === undefined ? honest : plan.tell(honest, to)
    const { kind: _, ...rest } = messageToWire(message)
    const wire = tellRequest.parse({ ...messageToWire(message), run: cidOf(encode('a run')), round: 3, attempt: 0 })
    downBytes[to] = (downBytes[to] ?? 0) + encode(rest).byteLength
    carry(() => {
      const event = { type: 'message', from, message: messageFromWire(wire) } as const
      if (participants.has(to)) toParticipant(to, event)
      else toAggregator(to, event)
    })
  }

  for (const [i, member] of members.entries()) {
    const { state } = beginAggregator(config, timing, member, i === 0, nowMs)
    aggregators.set(member, state)
  }
  for (const peer of peers) {
    begin(peer)
    later(random.below(1_000), () => toParticipant(peer, { type: 'ready' }))
  }
  const living = (): AggregatorState[] => [...aggregators].flatMap(([member, s]) => (gone.has(member) ? [] : [s]))
  const over = (): boolean => living().every(({ phase }) => phase === 'done' || phase === 'failed')
  const ledBy = (): boolean => living().some((s) => s.leads && (s.phase === 'done' || s.phase === 'failed'))
  const tick = (): void => {
    for (const peer of peers) toParticipant(peer, { type: 'tick' })
    for (const member of members) toAggregator(member, { type: 'tick' })
    later(nowMs + tickMs, tick)
  }
  later(tickMs, tick)
  let endMs = patienceMs
  while (!over() && nowMs < endMs) {
    const next = queue.shift()
    if (next === undefined) break
    nowMs = next.atMs
    next.work()
    // Those who follow get what is still on its way.
    if (ledBy()) endMs = Math.min(endMs, nowMs + 3_000)
  }
  return {
    ...{
      sums,
      survivors,
      failures,
      opening,
      accused,
      refused,
      contributions,
      peers,
      upBytes,
      downBytes,
      records,
      said,
    },
    ...{ maskMs, unmaskMs, endedMs: nowMs },
  }
}

/** What the survivors' contributions come to, added without any mask. */
export function plainSum({ contributions, survivors }: Pick<Outcome, 'contributions' | 'survivors'>): ContributionSum {
  const length = (Object.values(contributions)[0]?.length ?? 5) - 5
  const codes = new Int32Array(length)
  let samples = 0
  for (const peer of survivors) {
    const elements = contributions[peer] ?? new Uint32Array(length + 5)
    for (let i = 0; i < length; i++) codes[i] = codes[i]! + (elements[i]! | 0)
    samples += elements[length]!
  }
  return { codes, samples }
}
