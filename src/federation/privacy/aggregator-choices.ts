import { equalBytes, toHex } from '../../lib/index.ts'
import type {
  AggregatorDraft,
  AggregatorEffect,
  AggregatorPhase,
  AggregatorTiming,
  Failure,
} from './aggregator-state.ts'
import {
  fittingConsents,
  fittingInputs,
  fittingShares,
  hasSameCommitments,
  missingOf,
  peersOf,
} from './aggregator-views.ts'
import { deliveryTo, type Message } from './messages.ts'
import { openSecrets, revealObjection } from './opening.ts'
import { isPeerSet, isSubset, peerSetOf, placesOf } from './peer-set.ts'
import { directoryObjection, directoryOf } from './session.ts'

/**
 * Who goes on. Who leads waits for all, or until its time is up, and goes on with those that have come if they are at
 * least `threshold`. The others follow: they learn the directory and the dealers from it, the survivors from the
 * participants' consents.
 */

/** What may be lost is told again after so long, then after twice as long, and so on. */
const firstRepeatMs = 400
const maxDoublings = 8

const timeOf: Readonly<Partial<Record<AggregatorPhase, keyof AggregatorTiming>>> = {
  keys: 'keysMs',
  shares: 'sharesMs',
  inputs: 'inputsMs',
  consents: 'consentsMs',
  reveals: 'revealsMs',
}

/** Takes all steps that can be taken now. */
export function advance(state: AggregatorDraft, effects: AggregatorEffect[], nowMs: number): void {
  for (let before: AggregatorPhase | null = null; before !== state.phase; ) {
    before = state.phase
    switch (state.phase) {
      case 'keys':
        gatherKeys(state, effects, nowMs)
        break
      case 'shares':
        gatherShares(state, effects, nowMs)
        break
      case 'inputs':
        gatherInputs(state, effects, nowMs)
        break
      case 'consents':
        gatherConsents(state, effects, nowMs)
        break
      case 'reveals':
        gatherReveals(state, effects, nowMs)
        break
      case 'unmasking':
      case 'done':
      case 'failed':
        break
    }
  }
}

function gatherKeys(state: AggregatorDraft, effects: AggregatorEffect[], nowMs: number): void {
  const { config } = state
  const keys = Object.values(state.keys).sort((a, b) => (a.peer < b.peer ? -1 : 1))
  if (state.directory === null && isTime(state, nowMs, keys.length === config.invited.length)) {
    const code = directoryObjection(config, keys)
    if (code === null) state.directory = directoryOf(config, keys)
    else fail(state, effects, 'too_few_peers', [])
  }
  if (state.directory !== null && state.phase === 'keys') enter(state, effects, nowMs, 'shares')
}

function gatherShares(state: AggregatorDraft, effects: AggregatorEffect[], nowMs: number): void {
  const { directory, config } = state
  if (directory === null) return
  if (state.dealers === null) {
    const shares = fittingShares(state)
    if (!isTime(state, nowMs, shares.size === directory.keys.length)) return
    if (shares.size < config.threshold) {
      fail(state, effects, 'too_few_peers', [])
      return
    }
    state.dealers = peerSetOf(shares.keys(), directory.keys.length)
  }
  enter(state, effects, nowMs, 'inputs')
}

function gatherInputs(state: AggregatorDraft, effects: AggregatorEffect[], nowMs: number): void {
  const { directory, dealers, config } = state
  if (directory === null || dealers === null) return
  state.survivors ??= consentedList(state, config.threshold)
  if (state.survivors === null) {
    const inputs = fittingInputs(state)
    if (!isTime(state, nowMs, inputs.size === placesOf(dealers).length)) return
    if (inputs.size < config.threshold) {
      fail(state, effects, 'too_few_peers', [])
      return
    }
    // A leader before this one may have asked already: nobody consents to a second list.
    state.survivors = consentedList(state, 1) ?? peerSetOf(inputs.keys(), directory.keys.length)
  }
  enter(state, effects, nowMs, 'consents')
}

function gatherConsents(state: AggregatorDraft, effects: AggregatorEffect[], nowMs: number): void {
  // Of two lists only one can get so many consents: it stands, whatever was asked here.
  state.survivors = consentedList(state, state.config.threshold) ?? state.survivors
  if (fittingConsents(state).length >= state.config.threshold) enter(state, effects, nowMs, 'reveals')
  else if (isTime(state, nowMs, false)) fail(state, effects, 'too_few_consents', [])
}

function gatherReveals(state: AggregatorDraft, effects: AggregatorEffect[], nowMs: number): void {
  const { directory, dealers, survivors, config } = state
  if (directory === null || dealers === null || survivors === null) return
  judgeReveals(state, effects)
  const good = Object.values(state.reveals).filter((reveal) => state.judged[reveal.peer] === true)
  const outcome = openSecrets(directory, dealers, survivors, config.threshold, good)
  switch (outcome.kind) {
    case 'waiting': {
      const everybody = peersOf(state, placesOf(survivors)).every((peer) => peer in state.judged)
      if (isTime(state, nowMs, everybody)) fail(state, effects, 'too_few_shares', peersOf(state, outcome.dealers))
      break
    }
    case 'wrong-secret': {
      const [peer = ''] = peersOf(state, [outcome.dealer])
      effects.push({ type: 'accused', peer, code: 'wrong_secret' })
      fail(state, effects, 'wrong_secret', [peer])
      break
    }
    case 'opened': {
      const inputs = fittingInputs(state)
      if (missingOf(survivors, inputs).length > 0) {
        if (isTime(state, nowMs, false)) fail(state, effects, 'too_few_peers', [])
        break
      }
      state.opening = { dealers, survivors, secrets: outcome.secrets }
      const left = placesOf(survivors).flatMap((place) => inputs.get(place) ?? [])
      effects.push({ type: 'unmask', directory, opening: state.opening, inputs: left })
      enter(state, effects, nowMs, 'unmasking')
      break
    }
  }
}

function judgeReveals(state: AggregatorDraft, effects: AggregatorEffect[]): void {
  const { directory, dealers, survivors } = state
  if (directory === null || dealers === null || survivors === null) return
  const shares = fittingShares(state)
  for (const reveal of Object.values(state.reveals)) {
    if (reveal.peer in state.judged) continue
    const code = hasSameCommitments(state, reveal.peer)
      ? revealObjection(directory, dealers, survivors, reveal, shares)
      : 'other_commitments'
    state.judged = { ...state.judged, [reveal.peer]: code === null }
    if (code === 'wrong_share') effects.push({ type: 'accused', peer: reveal.peer, code })
    else if (code !== null) effects.push({ type: 'refused', peer: reveal.peer, code })
  }
}

/** The list of survivors that most have consented to, if at least `least` have. */
function consentedList(state: AggregatorDraft, least: number): Uint8Array | null {
  const { directory, dealers, config } = state
  if (directory === null || dealers === null) return null
  const counts = new Map<string, { readonly survivors: Uint8Array; readonly count: number }>()
  for (const consent of Object.values(state.consents)) {
    const { survivors } = consent
    if (!equalBytes(consent.directory, directory.id) || !equalBytes(consent.dealers, dealers)) continue
    if (!isSubset(survivors, dealers) || placesOf(survivors).length < config.threshold) continue
    const key = toHex(survivors)
    counts.set(key, { survivors, count: (counts.get(key)?.count ?? 0) + 1 })
  }
  const best = [...counts].sort((a, b) => b[1].count - a[1].count || (a[0] < b[0] ? -1 : 1))[0]?.[1]
  return best !== undefined && best.count >= least ? best.survivors : null
}

/** The others of the committee follow who leads. */
export function follow(state: AggregatorDraft, message: Message): string | null {
  const { config, directory } = state
  switch (message.kind) {
    case 'directory': {
      const code = directoryObjection(config, message.keys)
      if (code !== null) return code
      const told = directoryOf(config, message.keys)
      if (directory !== null) return equalBytes(directory.id, told.id) ? null : 'other_directory'
      state.directory = told
      return null
    }
    case 'delivery': {
      const { dealers } = message
      if (directory === null || !equalBytes(directory.id, message.directory)) return 'other_directory'
      if (state.dealers !== null) return equalBytes(state.dealers, dealers) ? null : 'other_dealers'
      if (!isPeerSet(dealers, directory.keys.length)) return 'wrong_shape'
      if (placesOf(dealers).length < config.threshold) return 'too_few_peers'
      state.dealers = dealers
      return null
    }
    case 'survivors':
    case 'consents':
      // They follow from the consents themselves.
      return null
  }
}

/** Who leads goes on when all have come, or when its time is up. Who follows never does by itself. */
function isTime(state: AggregatorDraft, nowMs: number, everybody: boolean): boolean {
  const time = timeOf[state.phase]
  return state.leads && (everybody || (time !== undefined && nowMs - state.sinceMs >= state.timing[time]))
}

function enter(state: AggregatorDraft, effects: AggregatorEffect[], nowMs: number, phase: AggregatorPhase): void {
  state.phase = phase
  state.sinceMs = nowMs
  state.repeats = 0
  tell(state, effects, nowMs)
}

/** Tells those who have not answered what the phase is about; told again, all that they may have missed before. */
export function tell(state: AggregatorDraft, effects: AggregatorEffect[], nowMs: number): void {
  if (!state.leads || state.directory === null) return
  state.tellAgainMs = nowMs + firstRepeatMs * 2 ** Math.min(state.repeats, maxDoublings)
  const { directory, dealers, survivors, config, phase } = state
  const waitedFor = silentPeers(state)
  const members = config.committee.filter((peer) => peer !== state.self && !directory.places.has(peer))
  const send = (to: readonly string[], message: Message): void => {
    if (to.length > 0) effects.push({ type: 'send', to, message })
  }
  const told = (news: AggregatorPhase): boolean => phase === news || state.repeats > 0
  if (told('shares')) send([...waitedFor, ...members], { kind: 'directory', keys: directory.keys })
  if (dealers === null) return
  if (told('inputs')) {
    const shares = fittingShares(state)
    for (const peer of waitedFor) {
      send([peer], deliveryTo(directory.places.get(peer) ?? 0, directory.id, dealers, shares))
    }
    const empty = new Uint8Array(0)
    send(members, { kind: 'delivery', directory: directory.id, dealers, sealed: empty, commitments: empty })
  }
  if (survivors === null) return
  if (told('consents')) send(waitedFor, { kind: 'survivors', directory: directory.id, dealers, survivors })
  if (phase === 'reveals') {
    send(waitedFor, { kind: 'consents', consents: fittingConsents(state).slice(0, config.threshold) })
  }
}

/** Those whose answer the phase waits for. */
function silentPeers(state: AggregatorDraft): string[] {
  const { directory, dealers, survivors } = state
  const among = (set: Uint8Array | null, heard: Readonly<Record<string, unknown>>): string[] =>
    set === null ? [] : peersOf(state, placesOf(set)).filter((peer) => !(peer in heard))
  switch (state.phase) {
    case 'shares':
      return (directory?.keys ?? []).map(({ peer }) => peer).filter((peer) => !(peer in state.shares))
    case 'inputs':
      return among(dealers, state.inputs)
    case 'consents':
      return among(survivors, state.consents)
    case 'reveals':
      return among(survivors, state.reveals)
    case 'keys':
    case 'unmasking':
    case 'done':
    case 'failed':
      return []
  }
}

export function fail(
  state: AggregatorDraft,
  effects: AggregatorEffect[],
  code: Failure['code'],
  peers: readonly string[],
): void {
  state.failure = { code, phase: state.phase, peers }
  state.phase = 'failed'
  effects.push({ type: 'failed', failure: state.failure })
}
