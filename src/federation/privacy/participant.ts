import { equalBytes } from '../../lib/index.ts'
import { dealTo, type HeldShares, keysOf, masksOf, openShares, type Secrets, secretsOf } from './dealing.ts'
import type { Masks } from './masking.ts'
import { commitmentsDigest, type Message } from './messages.ts'
import { hasPlace, isPeerSet, isSubset, peerSetOf, placesOf } from './peer-set.ts'
import { type Directory, directoryObjection, directoryOf, isOfSession, type SessionConfig } from './session.ts'
import { commitmentBytes, type StatementBody, sealedBytes } from './statements.ts'

/**
 * A participant of a secure sum (Bonawitz et al. 2017, with the round that makes it bear liars): pure, in the style of
 * the round's machine. Signatures have been checked before a message gets here. Whatever it has once said it never says
 * otherwise: one directory, one set of dealers, one input, one consent, one revelation.
 */

/** What must be on disk before the statement that depends on it leaves. */
export interface ParticipantRecord {
  readonly directory: Uint8Array | null
  readonly dealers: Uint8Array | null
  readonly input: MaskedInput | null
  readonly consented: Uint8Array | null
  readonly revealed: Uint8Array | null
  /** It reveals nothing any more in this attempt, so that it may take part in the next one of the round. */
  readonly renounced: boolean
}
export interface MaskedInput {
  /** CID of the masked contribution, which is durable here. */
  readonly input: string
  readonly bytes: number
}
const nothingPromised: ParticipantRecord = {
  directory: null,
  dealers: null,
  input: null,
  consented: null,
  revealed: null,
  renounced: false,
}

/**
 * Whether a peer with these records of the attempts before may take part in another one of the same round. Those who
 * opened a sum are in no second one: otherwise the difference of the two could be one peer's update.
 */
export function mayTakePart(before: readonly ParticipantRecord[]): boolean {
  return before.every((record) => record.renounced)
}

export interface ParticipantState {
  readonly config: SessionConfig
  readonly self: string
  /** 32 secret bytes, fresh for the session; gone with it. */
  readonly entropy: Uint8Array
  readonly secrets: Secrets
  readonly promised: ParticipantRecord
  readonly directory: Directory | null
  readonly delivery: {
    readonly dealers: Uint8Array
    readonly commitments: Uint8Array
    /** By dealer; null where what was sealed is no good. */
    readonly shares: ReadonlyMap<number, HeldShares | null>
  } | null
  /** The contribution is computed. */
  readonly ready: boolean
  readonly masking: boolean
  /** The newest statement: said again until the next message comes. */
  readonly saying: StatementBody | null
  readonly sayAgainMs: number
  readonly repeats: number
}

export type ParticipantEvent =
  | { readonly type: 'tick' }
  | { readonly type: 'ready' }
  /** This attempt is given up for the next one. Refused, by `promised.renounced` staying false, once it has revealed. */
  | { readonly type: 'renounce' }
  | ({ readonly type: 'masked' } & MaskedInput)
  | { readonly type: 'message'; readonly from: string; readonly message: Message }

export type ParticipantEffect =
  /** Durable before any effect after it. */
  | { readonly type: 'persist'; readonly record: ParticipantRecord }
  /** Sign, and send to the whole committee. */
  | { readonly type: 'say'; readonly statement: StatementBody }
  /** Mask the contribution, store it durably, answer with `masked`. */
  | { readonly type: 'mask'; readonly masks: Masks }
  /** A message that this peer does not follow. */
  | { readonly type: 'refused'; readonly from: string; readonly code: string }

export interface ParticipantStep {
  readonly state: ParticipantState
  readonly effects: readonly ParticipantEffect[]
}
type Draft = { -readonly [Field in keyof ParticipantState]: ParticipantState[Field] }

/** What may be lost is said again after so long, then after twice as long, and so on, eight doublings at most. */
export const firstRepeatMs = 400
const maxDoublings = 8

/** `entropy` is durable before this is called. `promised` is what a restarted peer finds on its disk beside it. */
export function beginParticipant(
  config: SessionConfig,
  self: string,
  entropy: Uint8Array,
  nowMs: number,
  promised: ParticipantRecord = nothingPromised,
): ParticipantStep {
  const secrets = secretsOf(entropy, config)
  const state: Draft = {
    config,
    self,
    entropy,
    secrets,
    promised,
    directory: null,
    delivery: null,
    ready: false,
    masking: false,
    saying: null,
    sayAgainMs: nowMs,
    repeats: 0,
  }
  const effects: ParticipantEffect[] = []
  if (!promised.renounced) say(state, effects, nowMs, keysOf(secrets, config))
  return { state, effects }
}

export function stepParticipant(before: ParticipantState, event: ParticipantEvent, nowMs: number): ParticipantStep {
  if (before.promised.renounced) return { state: before, effects: [] }
  const state: Draft = { ...before }
  const effects: ParticipantEffect[] = []
  switch (event.type) {
    case 'tick':
      sayAgain(state, effects, nowMs)
      break
    case 'ready':
      state.ready = true
      break
    case 'renounce':
      if (state.promised.revealed !== null) break
      promise(state, effects, { renounced: true })
      state.saying = null
      return { state, effects }
    case 'masked':
      onMasked(state, effects, event)
      break
    case 'message': {
      const code = state.config.committee.includes(event.from)
        ? onMessage(state, effects, nowMs, event.message)
        : 'not_in_committee'
      if (code !== null) effects.push({ type: 'refused', from: event.from, code })
      break
    }
  }
  contribute(state, effects, nowMs)
  return { state, effects }
}

function onMessage(state: Draft, effects: ParticipantEffect[], nowMs: number, message: Message): string | null {
  switch (message.kind) {
    case 'directory':
      return onDirectory(state, effects, nowMs, message)
    case 'delivery':
      return onDelivery(state, effects, message)
    case 'survivors':
      return onSurvivors(state, effects, nowMs, message)
    case 'consents':
      return onConsents(state, effects, nowMs, message)
  }
}

function onDirectory(
  state: Draft,
  effects: ParticipantEffect[],
  nowMs: number,
  { keys }: Extract<Message, { kind: 'directory' }>,
): string | null {
  const { config, self, entropy, secrets, promised } = state
  const directory = directoryOf(config, keys)
  if (state.directory !== null) return equalBytes(state.directory.id, directory.id) ? null : 'other_directory'
  const code = directoryObjection(config, keys)
  if (code !== null) return code
  const place = directory.places.get(self)
  if (place === undefined) return 'left_out'
  const own = directory.keys[place]!
  if (!equalBytes(own.mask, secrets.mask.publicKey) || !equalBytes(own.channel, secrets.channel.publicKey)) {
    return 'wrong_keys'
  }
  if (promised.directory !== null && !equalBytes(promised.directory, directory.id)) return 'other_directory'
  state.directory = directory
  promise(state, effects, { directory: directory.id })
  const dealt = dealTo(directory, place, entropy, secrets, config.threshold)
  say(state, effects, nowMs, { kind: 'shares', ...sessionOf(state), directory: directory.id, ...dealt })
  return null
}

function onDelivery(
  state: Draft,
  effects: ParticipantEffect[],
  message: Extract<Message, { kind: 'delivery' }>,
): string | null {
  const { config, directory, promised, secrets } = state
  if (directory === null || !equalBytes(message.directory, directory.id)) return 'other_directory'
  const { dealers, sealed, commitments } = message
  if (state.delivery !== null) return equalBytes(dealers, state.delivery.dealers) ? null : 'other_dealers'
  if (promised.dealers !== null && !equalBytes(dealers, promised.dealers)) return 'other_dealers'
  if (!isPeerSet(dealers, directory.keys.length)) return 'wrong_shape'
  const places = placesOf(dealers)
  const place = ownPlace(state)
  if (!hasPlace(dealers, place)) return 'left_out'
  if (places.length < config.threshold) return 'too_few_peers'
  const pairBytes = 2 * commitmentBytes
  if (sealed.length !== places.length * sealedBytes || commitments.length !== places.length * pairBytes) {
    return 'wrong_shape'
  }
  const shares = new Map(
    places.map((dealer, i) => {
      const one = sealed.subarray(i * sealedBytes, (i + 1) * sealedBytes)
      const pair = commitments.subarray(i * pairBytes, (i + 1) * pairBytes)
      return [dealer, openShares(directory, dealer, place, secrets.channel, one, pair)]
    }),
  )
  // Nobody can make the own shares but this peer: whoever tells otherwise has changed them.
  if (shares.get(place) === null) return 'wrong_shares'
  state.delivery = { dealers, commitments: commitmentsDigest(commitments), shares }
  state.saying = null
  promise(state, effects, { dealers })
  return null
}

/** Masks once, when the contribution and the dealers are known; after a restart, says what was masked before. */
function contribute(state: Draft, effects: ParticipantEffect[], nowMs: number): void {
  const { directory, delivery, promised } = state
  if (directory === null || delivery === null || state.saying !== null) return
  if (promised.input !== null) {
    if (promised.consented !== null || promised.revealed !== null) return
    const { input, bytes } = promised.input
    const { dealers, commitments } = delivery
    const statement = { directory: directory.id, dealers, commitments, input, bytes }
    say(state, effects, nowMs, { kind: 'input', ...sessionOf(state), ...statement })
  } else if (state.ready && !state.masking) {
    state.masking = true
    effects.push({ type: 'mask', masks: masksOf(directory, ownPlace(state), state.secrets, delivery.dealers) })
  }
}

function onMasked(state: Draft, effects: ParticipantEffect[], { input, bytes }: MaskedInput): void {
  if (!state.masking || state.promised.input !== null) return
  promise(state, effects, { input: { input, bytes } })
}

function onSurvivors(
  state: Draft,
  effects: ParticipantEffect[],
  nowMs: number,
  message: Extract<Message, { kind: 'survivors' }>,
): string | null {
  const code = survivorsObjection(state, message)
  if (code !== null) return code
  const { consented, revealed } = state.promised
  if (revealed !== null) return equalBytes(revealed, message.survivors) ? null : 'other_survivors'
  // The one that asks must learn what this peer has consented to, be it this or another list.
  const survivors = consented ?? message.survivors
  if (consented === null) promise(state, effects, { consented: survivors })
  const { directory, dealers } = message
  say(state, effects, nowMs, { kind: 'consent', ...sessionOf(state), directory, dealers, survivors })
  return equalBytes(survivors, message.survivors) ? null : 'other_survivors'
}

/**
 * Reveals, once, for a list that `threshold` survivors have consented to. The list need not be the one that this peer
 * has consented to: of two lists only one can have so many consents.
 */
function onConsents(
  state: Draft,
  effects: ParticipantEffect[],
  nowMs: number,
  { consents }: Extract<Message, { kind: 'consents' }>,
): string | null {
  const { config, directory, delivery, promised } = state
  const first = consents[0]
  if (first === undefined) return 'too_few_consents'
  const code = survivorsObjection(state, first)
  if (code !== null) return code
  // Checked just now.
  if (directory === null || delivery === null) return 'other_directory'
  const { survivors, dealers } = first
  const consenters = new Set<string>()
  for (const consent of consents) {
    const place = directory.places.get(consent.peer)
    const same =
      isOfSession(config, consent) &&
      equalBytes(consent.directory, directory.id) &&
      equalBytes(consent.dealers, dealers) &&
      equalBytes(consent.survivors, survivors)
    if (!same || place === undefined || !hasPlace(survivors, place)) return 'wrong_consent'
    consenters.add(consent.peer)
  }
  if (consenters.size < config.threshold) return 'too_few_consents'
  if (promised.revealed !== null && !equalBytes(promised.revealed, survivors)) return 'other_survivors'
  if (state.saying?.kind === 'reveal') return null
  if (promised.revealed === null) promise(state, effects, { revealed: survivors })
  say(state, effects, nowMs, revelation(state, directory, delivery, survivors))
  return null
}

function revelation(
  state: Draft,
  directory: Directory,
  { shares }: NonNullable<ParticipantState['delivery']>,
  survivors: Uint8Array,
): StatementBody {
  const good = [...shares].flatMap(([dealer, held]) => (held === null ? [] : [{ dealer, held }]))
  return {
    kind: 'reveal',
    ...sessionOf(state),
    directory: directory.id,
    survivors,
    held: peerSetOf(
      good.map(({ dealer }) => dealer),
      directory.keys.length,
    ),
    // Of a survivor the share of its seed, of another that of its mask key: never both.
    shares: Buffer.concat(good.map(({ dealer, held }) => held[hasPlace(survivors, dealer) ? 'seed' : 'mask-key'])),
  }
}

function survivorsObjection(
  { config, directory, delivery, promised, self }: Draft,
  asked: { readonly directory: Uint8Array; readonly dealers: Uint8Array; readonly survivors: Uint8Array },
): string | null {
  if (directory === null || !equalBytes(asked.directory, directory.id)) return 'other_directory'
  if (delivery === null || !equalBytes(asked.dealers, delivery.dealers)) return 'other_dealers'
  if (!isPeerSet(asked.survivors, directory.keys.length)) return 'wrong_shape'
  if (!isSubset(asked.survivors, delivery.dealers)) return 'not_a_dealer'
  if (placesOf(asked.survivors).length < config.threshold) return 'too_few_peers'
  const place = directory.places.get(self)
  if (place === undefined || promised.input === null || !hasPlace(asked.survivors, place)) return 'left_out'
  return null
}

function say(state: Draft, effects: ParticipantEffect[], nowMs: number, statement: StatementBody): void {
  if (statement.kind !== state.saying?.kind) state.repeats = 0
  state.saying = statement
  state.sayAgainMs = nowMs + firstRepeatMs * 2 ** Math.min(state.repeats, maxDoublings)
  effects.push({ type: 'say', statement })
}

function sayAgain(state: Draft, effects: ParticipantEffect[], nowMs: number): void {
  if (state.saying === null || nowMs < state.sayAgainMs) return
  state.repeats++
  say(state, effects, nowMs, state.saying)
}

function promise(state: Draft, effects: ParticipantEffect[], news: Partial<ParticipantRecord>): void {
  state.promised = { ...state.promised, ...news }
  effects.push({ type: 'persist', record: state.promised })
}

function ownPlace({ directory, self }: Draft): number {
  return directory?.places.get(self) ?? -1
}

function sessionOf({ config: { run, round, attempt } }: Draft) {
  return { run, round, attempt }
}
