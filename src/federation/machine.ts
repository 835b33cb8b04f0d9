import { leaderOf } from './certificate.ts'
import { giveUpIfDead, onAbandoned, onAstray } from './machine-attempts.ts'
import { onOffered, onStored, takeOwn } from './machine-intake.ts'
import { leadIfReady, onAggregated, onReport } from './machine-leader.ts'
import { deliver, onPushed, onTrained } from './machine-trainer.ts'
import { isMember, moveIfOvertaken, others, passOverIfLate, trainsIn } from './machine-views.ts'
import { onProposal, onVerified, onVote, report } from './machine-votes.ts'
import { PersistentMap } from './persistent-map.ts'
import type { Draft, Effect, Event, MemberRecord, Message, RoundConfig, RoundState, Step } from './round-state.ts'
import type { Abandon, Join, Notice } from './statements.ts'

export { phaseOf, type RoundPhaseName } from './machine-views.ts'

/** A peer that is not connected when the round starts has so long to come. */
const startGraceMs = 1_500
/** Every message of a round may be lost: what still matters is said again so often. */
export const resendMs = 400

/** What a peer has of the round under way when an attempt begins: from its disk, or from the attempt before. */
export interface Recovered {
  readonly record: MemberRecord | null
  readonly held: readonly Notice[]
  readonly own: Notice | null
  readonly joins: readonly Join[]
  /** Why it is in this attempt; empty in the first. */
  readonly proof: readonly Abandon[]
  /** It has given this attempt up. */
  readonly givenUp: boolean
}

const nothing: Recovered = { record: null, held: [], own: null, joins: [], proof: [], givenUp: false }

/** The first state of an attempt at a round. */
export function begin(
  config: RoundConfig,
  connected: ReadonlySet<string>,
  nowMs: number,
  recovered: Recovered = nothing,
): Step {
  const effects: Effect[] = []
  const { record } = recovered
  const view = record?.view ?? 0
  const known = record?.prepared?.view === view ? record.prepared : null
  const state: Draft = {
    config,
    startedMs: nowMs,
    view,
    viewSinceMs: nowMs,
    heard: {},
    goneSinceMs: PersistentMap.of(
      config.roster
        .filter((peer) => peer !== config.self && !connected.has(peer))
        .map((peer) => [peer, nowMs + startGraceMs]),
    ),
    held: PersistentMap.of(recovered.held.map((notice) => [notice.trainer, notice])),
    joins: PersistentMap.of(recovered.joins.map((join) => [join.peer, join])),
    delivery: null,
    reportedView: -1,
    prepared: record?.prepared ?? null,
    lock: record?.lock ?? null,
    proposal: known === null ? null : { value: known.value, justify: known.justify, status: 'verified' },
    leading: null,
    votes: {},
    values: Object.fromEntries(
      [record?.prepared?.value, record?.lock?.value].filter((v) => v !== undefined).map((v) => [v.id, v]),
    ),
    sentMs: nowMs,
    certified: false,
    abandons: {},
    proof: recovered.proof,
    givenUp: recovered.givenUp ? { sentMs: nowMs - resendMs, times: 0 } : null,
    left: false,
  }
  // A leader that had proposed before it died must say the same again, and nothing else.
  if (known !== null && isMember(state) && leaderOf(config.committee, view) === config.self) {
    state.leading = {
      stage: 'proposed',
      proposal: { kind: 'proposal', view, value: known.value, justify: known.justify },
    }
  }
  if (recovered.own !== null) onTrained(state, effects, nowMs, recovered.own)
  else if (config.trains) effects.push({ type: 'train' })
  if (state.proof.length > 0 && isMember(state))
    effects.push({ type: 'show', to: others(state), abandons: state.proof })
  if (recovered.record !== null) resend(state, effects, nowMs)
  takeOwn(state, effects)
  leadIfReady(state, effects, nowMs)
  return { state, effects }
}

/** The round's whole rule: pure, and the same in production and in the simulator. */
export function step(before: RoundState, event: Event, nowMs: number): Step {
  if (before.certified || before.left) return { state: before, effects: [] }
  const state: Draft = { ...before }
  const effects: Effect[] = []
  switch (event.type) {
    case 'tick':
      onTick(state, effects, nowMs)
      break
    case 'connected':
      state.goneSinceMs = state.goneSinceMs.without(event.peer)
      break
    case 'disconnected':
      if (state.goneSinceMs.has(event.peer) || !trainsIn(state, event.peer)) break
      state.goneSinceMs = state.goneSinceMs.with(event.peer, nowMs)
      break
    case 'trained':
      onTrained(state, effects, nowMs, event.notice)
      break
    case 'pushed':
      onPushed(state, effects, event)
      break
    case 'offered':
      onOffered(state, effects, event.notice)
      break
    case 'stored':
      onStored(state, effects, event.notice, event.code)
      break
    case 'join':
      state.joins = state.joins.with(event.join.peer, event.join)
      break
    case 'aggregated':
      onAggregated(state, effects, nowMs, event.view, event.value)
      break
    case 'verified':
      onVerified(state, effects, nowMs, event)
      break
    case 'abandoned':
      onAbandoned(state, effects, event.abandons)
      break
    case 'astray':
      onAstray(state, effects, event.from, event.attempt)
      break
    case 'message':
      if (state.config.committee.includes(event.from)) onMessage(state, effects, nowMs, event.from, event.message)
      break
  }
  if (!state.left) {
    takeOwn(state, effects)
    leadIfReady(state, effects, nowMs)
  }
  return { state, effects }
}

function onMessage(state: Draft, effects: Effect[], nowMs: number, from: string, message: Message): void {
  if (!isMember(state)) return
  const view = message.kind === 'vote' ? message.vote.view : message.view
  // A vote tells where its sender was, not where it is: only the sender's own moves count.
  if (message.kind !== 'vote' && from !== state.config.self && view > (state.heard[from] ?? 0)) {
    state.heard = { ...state.heard, [from]: view }
    moveIfOvertaken(state, effects, nowMs)
  }
  switch (message.kind) {
    case 'moved':
      break
    case 'close':
      if (from === leaderOf(state.config.committee, view)) {
        if (view === state.view) report(state, effects, from)
        else if (view < state.view)
          effects.push({ type: 'send', to: [from], message: { kind: 'moved', view: state.view } })
      }
      break
    case 'report':
      onReport(state, effects, nowMs, from, message)
      break
    case 'proposal':
      onProposal(state, effects, nowMs, from, message)
      break
    case 'vote':
      onVote(state, effects, message.vote)
      break
  }
}

function onTick(state: Draft, effects: Effect[], nowMs: number): void {
  deliver(state, effects, nowMs)
  giveUpIfDead(state, effects, nowMs)
  if (!isMember(state)) return
  passOverIfLate(state, effects, nowMs)
  moveIfOvertaken(state, effects, nowMs)
  if (nowMs - state.sentMs >= resendMs) resend(state, effects, nowMs)
}

/** Says again what the others may have missed. Never anything new. */
function resend(state: Draft, effects: Effect[], nowMs: number): void {
  if (!isMember(state) || state.givenUp !== null) return
  state.sentMs = nowMs
  const to = others(state)
  const { leading, prepared, lock, view } = state
  if (to.length > 0) {
    if (leading?.stage === 'closing') {
      const missing = to.filter((peer) => !(peer in leading.reports))
      effects.push({ type: 'send', to: missing, message: { kind: 'close', view } })
    } else if (leading?.stage === 'proposed') {
      effects.push({ type: 'send', to, message: leading.proposal })
    } else if (view > 0) {
      effects.push({ type: 'send', to, message: { kind: 'moved', view } })
    }
  }
  if (prepared !== null && prepared.view === view) {
    effects.push({ type: 'vote', phase: 'prepare', view, value: prepared.value.id })
  }
  if (lock !== null) effects.push({ type: 'vote', phase: 'commit', view: lock.view, value: lock.value.id })
}
