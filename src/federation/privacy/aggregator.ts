import { equalBytes } from '../../lib/index.ts'
import { advance, fail, follow, tell } from './aggregator-choices.ts'
import type {
  AggregatorDraft,
  AggregatorEffect,
  AggregatorEvent,
  AggregatorState,
  AggregatorStep,
  AggregatorTiming,
} from './aggregator-state.ts'
import { peersOf } from './aggregator-views.ts'
import { maxInputBytes } from './input-block.ts'
import { placesOf } from './peer-set.ts'
import { checkSession, isOfSession, keysObjection, type SessionConfig } from './session.ts'
import type { Statement } from './statements.ts'

/**
 * A member of the committee in a secure sum: gathers what the participants say, chooses, if it leads, who goes on, and
 * opens the sum when enough have agreed who is left. Nobody has to trust it: what it could do wrong the participants
 * refuse, and what they could do wrong gives a failure with a code.
 *
 * @throws OwmError `bad_privacy`
 */
export function beginAggregator(
  config: SessionConfig,
  timing: AggregatorTiming,
  self: string,
  leads: boolean,
  nowMs: number,
): AggregatorStep {
  checkSession(config)
  const state: AggregatorState = {
    config,
    timing,
    self,
    leads,
    phase: 'keys',
    sinceMs: nowMs,
    tellAgainMs: nowMs,
    repeats: 0,
    keys: {},
    shares: {},
    inputs: {},
    consents: {},
    reveals: {},
    judged: {},
    fetched: new Set(),
    directory: null,
    dealers: null,
    survivors: null,
    opening: null,
    failure: null,
  }
  return { state, effects: [] }
}

export function stepAggregator(before: AggregatorState, event: AggregatorEvent, nowMs: number): AggregatorStep {
  if (before.phase === 'done' || before.phase === 'failed') return { state: before, effects: [] }
  const state: AggregatorDraft = { ...before }
  const effects: AggregatorEffect[] = []
  switch (event.type) {
    case 'tick':
      if (nowMs >= state.tellAgainMs) {
        state.repeats++
        tell(state, effects, nowMs)
      }
      break
    case 'lead':
      if (state.leads) break
      state.leads = true
      state.sinceMs = nowMs
      state.repeats = 0
      tell(state, effects, nowMs)
      break
    case 'said':
      onSaid(state, effects, event.statement)
      break
    case 'fetched':
      if (event.code === null) state.fetched = new Set([...state.fetched, event.peer])
      else effects.push({ type: 'refused', peer: event.peer, code: event.code })
      break
    case 'message': {
      if (state.leads || !state.config.committee.includes(event.from)) break
      const code = follow(state, event.message)
      if (code !== null) effects.push({ type: 'refused', peer: event.from, code })
      break
    }
    case 'unmasked':
      onUnmasked(state, effects, event.code)
      break
  }
  advance(state, effects, nowMs)
  return { state, effects }
}

/** The first statement of each kind and author counts; a second one, if it differs, is a lie that its author has signed. */
function onSaid(state: AggregatorDraft, effects: AggregatorEffect[], statement: Statement): void {
  const { peer } = statement
  const code = objection(state, statement)
  if (code !== null) {
    effects.push({ type: 'refused', peer, code })
    return
  }
  const known = knownStatement(state, statement)
  if (known !== undefined) {
    if (!equalBytes(known.document, statement.document)) effects.push({ type: 'accused', peer, code: 'equivocation' })
    return
  }
  switch (statement.kind) {
    case 'keys':
      state.keys = { ...state.keys, [peer]: statement }
      break
    case 'shares':
      state.shares = { ...state.shares, [peer]: statement }
      break
    case 'input':
      state.inputs = { ...state.inputs, [peer]: statement }
      effects.push({ type: 'fetch', input: statement })
      break
    case 'consent':
      state.consents = { ...state.consents, [peer]: statement }
      break
    case 'reveal':
      state.reveals = { ...state.reveals, [peer]: statement }
      break
  }
}

function objection({ config }: AggregatorDraft, statement: Statement): string | null {
  if (statement.kind === 'keys') return keysObjection(config, new Set(config.invited), statement)
  if (!isOfSession(config, statement)) return 'wrong_session'
  if (!config.invited.includes(statement.peer)) return 'not_invited'
  return statement.kind === 'input' && statement.bytes > maxInputBytes(config.shape) ? 'wrong_size' : null
}

function knownStatement(state: AggregatorDraft, { kind, peer }: Statement): Statement | undefined {
  switch (kind) {
    case 'keys':
      return state.keys[peer]
    case 'shares':
      return state.shares[peer]
    case 'input':
      return state.inputs[peer]
    case 'consent':
      return state.consents[peer]
    case 'reveal':
      return state.reveals[peer]
  }
}

function onUnmasked(state: AggregatorDraft, effects: AggregatorEffect[], code: string | null): void {
  const { opening } = state
  if (state.phase !== 'unmasking' || opening === null) return
  if (code !== null) {
    // A masked input says nothing of what is in it: who has spoilt the sum cannot be told.
    fail(state, effects, 'wrong_sum', [])
    return
  }
  state.phase = 'done'
  effects.push({ type: 'done', opening, survivors: peersOf(state, placesOf(opening.survivors)) })
}
