import * as assert from 'uvu/assert'
import { beginAggregator, stepAggregator } from '../../src/federation/privacy/aggregator.ts'
import type {
  AggregatorEffect,
  AggregatorEvent,
  AggregatorState,
} from '../../src/federation/privacy/aggregator-state.ts'
import { agree, deriveKey, seal } from '../../src/federation/privacy/agreement.ts'
import { dealTo, keysOf, secretsOf } from '../../src/federation/privacy/dealing.ts'
import { commitmentsDigest, commitmentsFor, deliveryTo, type Message } from '../../src/federation/privacy/messages.ts'
import {
  beginParticipant,
  type ParticipantEffect,
  type ParticipantEvent,
  type ParticipantState,
  stepParticipant,
} from '../../src/federation/privacy/participant.ts'
import { peerSetOf, placesOf } from '../../src/federation/privacy/peer-set.ts'
import { directoryOf, type SessionConfig } from '../../src/federation/privacy/session.ts'
import {
  type Consent,
  type Input,
  type Keys,
  type Shares,
  type Statement,
  type StatementBody,
  sealedBytes,
  signStatement,
} from '../../src/federation/privacy/statements.ts'
import { createIdentity } from '../../src/identity/index.ts'
import { toHex } from '../../src/lib/index.ts'
import { suite } from '../suite.ts'
import { runCid } from './privacy-mesh.ts'

const test = suite('machines of a secure sum')

/** Five peers, three of which open a sum: fewer than a mesh should ask for, so that liars can make two lists. */
const session = { run: runCid, round: 2, attempt: 1 }
const identities = Array.from({ length: 5 }, createIdentity).sort((a, b) => (`${a.peerId}` < `${b.peerId}` ? -1 : 1))
const peers = identities.map(({ peerId }) => peerId.toString())
const [leader, second] = [createIdentity().peerId.toString(), createIdentity().peerId.toString()]
const config: SessionConfig = {
  ...session,
  invited: peers,
  committee: [leader, second],
  threshold: 3,
  shape: { length: 6, bits: 16, peers: 5 },
}
const entropies = peers.map((_, i) => new Uint8Array(32).fill(i + 1))
const secrets = entropies.map((entropy) => secretsOf(entropy, session))
const sign = <S extends Statement>(place: number, body: StatementBody): S =>
  signStatement(identities[place]!, body) as S
const keys = secrets.map((one, place) => sign<Keys>(place, keysOf(one, session)))
const directory = directoryOf(session, keys)
const id = { ...session, directory: directory.id }
const shares = secrets.map((one, place) =>
  sign<Shares>(place, { kind: 'shares', ...id, ...dealTo(directory, place, entropies[place]!, one, 3) }),
)
const sharesByPlace = new Map(shares.map((one, place) => [place, one]))
const all = peerSetOf([0, 1, 2, 3, 4], 5)
const withoutFour = peerSetOf([0, 1, 2, 3], 5)
const cid = runCid
const inputs = peers.map((_, place) => {
  const { commitments } = deliveryTo(place, directory.id, all, sharesByPlace)
  const digest = commitmentsDigest(commitments)
  return sign<Input>(place, { kind: 'input', ...id, dealers: all, commitments: digest, input: cid, bytes: 40 })
})
const consent = (place: number, survivors: Uint8Array, dealers = all): Consent =>
  sign<Consent>(place, { kind: 'consent', ...id, dealers, survivors })
const consents = (survivors: Uint8Array): Message => ({
  kind: 'consents',
  consents: [0, 1, 2].map((place) => consent(place, survivors)),
})
const toldDirectory: Message = { kind: 'directory', keys }
const toldDelivery = deliveryTo(1, directory.id, all, sharesByPlace)
const asked = (survivors: Uint8Array): Message => ({
  kind: 'survivors',
  ...{ directory: directory.id, dealers: all, survivors },
})

/** The participant at place 1, after these events. */
function participant(events: readonly (ParticipantEvent | Message)[], promised?: ParticipantState['promised']) {
  const effects: ParticipantEffect[] = []
  let { state } = beginParticipant(config, peers[1]!, entropies[1]!, 0, promised)
  for (const one of events) {
    const event: ParticipantEvent = 'type' in one ? one : { type: 'message', from: leader, message: one }
    const next = stepParticipant(state, event, 0)
    state = next.state
    effects.push(...next.effects)
  }
  const refused = effects.flatMap((effect) => (effect.type === 'refused' ? [effect.code] : []))
  const said = effects.flatMap((effect) => (effect.type === 'say' ? [effect.statement] : []))
  return { state, effects, refused, said }
}
const masked = [toldDirectory, toldDelivery, { type: 'ready' }, { type: 'masked', input: cid, bytes: 40 }] as const

test('with enough real consents to two lists, it reveals for the first and refuses the second', () => {
  const { said, refused } = participant([...masked, consents(all), consents(withoutFour), asked(withoutFour)])
  const reveals = said.filter(({ kind }) => kind === 'reveal')
  assert.is(reveals.length, 1)
  assert.equal(refused, ['other_survivors', 'other_survivors'])
  // Not after a restart either.
  const { promised } = participant([...masked, consents(all)]).state
  const again = participant([toldDirectory, toldDelivery, consents(withoutFour), consents(all)], promised)
  assert.equal(again.refused, ['other_survivors'])
  assert.equal(
    again.said.flatMap((one) => (one.kind === 'reveal' ? [placesOf(one.survivors).length] : [])),
    [5],
  )
})

test('what it reveals of a peer is the share of one secret, by the list', () => {
  const { said } = participant([...masked, consents(withoutFour)])
  const reveal = said.find((one) => one.kind === 'reveal')
  const whole = participant([...masked, consents(all)]).said.find((one) => one.kind === 'reveal')
  if (reveal?.kind !== 'reveal' || whole?.kind !== 'reveal') throw new Error('it reveals nothing')
  for (let dealer = 0; dealer < 4; dealer++) {
    assert.equal(share(reveal.shares, dealer), share(whole.shares, dealer))
  }
  assert.not.equal(share(reveal.shares, 4), share(whole.shares, 4))
})
const share = (of: Uint8Array, dealer: number): Uint8Array => of.slice(dealer * 32, dealer * 32 + 32)

test('what it must have written down is written before what it says', () => {
  const { effects } = participant([...masked, asked(all), consents(all)])
  const order = effects.map((effect) => {
    if (effect.type !== 'persist') return effect.type === 'say' ? effect.statement.kind : effect.type
    const { directory: d, dealers, input, consented, revealed } = effect.record
    return `persist ${[d, dealers, input, consented, revealed].filter((one) => one !== null).length}`
  })
  assert.equal(order, [
    ...['persist 1', 'shares', 'persist 2', 'mask', 'persist 3', 'input'],
    ...['persist 4', 'consent', 'persist 5', 'reveal'],
  ])
})

test('after a restart it follows neither another directory nor other dealers, and masks nothing anew', () => {
  const { promised } = participant(masked).state
  const without = { kind: 'directory', keys: keys.slice(0, 4) } as const
  assert.equal(participant([without], promised).refused, ['other_directory'])
  assert.equal(
    participant([toldDirectory, deliveryTo(1, directory.id, withoutFour, sharesByPlace)], promised).refused,
    ['other_dealers'],
  )
  const again = participant([toldDirectory, toldDelivery, { type: 'ready' }], promised)
  assert.not.ok(again.effects.some(({ type }) => type === 'mask'))
  assert.equal(
    again.said.map(({ kind }) => kind),
    ['shares', 'input'],
  )
})

test('it follows nobody who leaves it out, changes its keys, or comes with too few', () => {
  const other = sign<Keys>(1, keysOf(secretsOf(new Uint8Array(32).fill(99), session), session))
  const refusals: readonly [Message, string][] = [
    [{ kind: 'directory', keys: keys.filter((_, i) => i !== 1) }, 'left_out'],
    [{ kind: 'directory', keys: keys.with(1, other) }, 'wrong_keys'],
    [{ kind: 'directory', keys: keys.slice(0, 2) }, 'too_few_peers'],
    [toldDelivery, 'other_directory'],
  ]
  for (const [message, code] of refusals) assert.equal(participant([message]).refused, [code])
  const deliveries: readonly [Message, string][] = [
    [deliveryTo(1, directory.id, peerSetOf([0, 2, 3, 4], 5), sharesByPlace), 'left_out'],
    [deliveryTo(1, directory.id, peerSetOf([0, 1], 5), sharesByPlace), 'too_few_peers'],
    [deliveryTo(2, directory.id, all, sharesByPlace), 'wrong_shares'],
    [{ ...toldDelivery, sealed: toldDelivery.sealed.subarray(1) }, 'wrong_shape'],
    [{ ...toldDelivery, dealers: new Uint8Array([0x3f]) }, 'wrong_shape'],
  ]
  for (const [message, code] of deliveries) assert.equal(participant([toldDirectory, message]).refused, [code])
  const lists: readonly [Message, string][] = [
    [asked(peerSetOf([0, 2, 3, 4], 5)), 'left_out'],
    [asked(peerSetOf([0, 1], 5)), 'too_few_peers'],
    [asked(new Uint8Array([0x3f])), 'wrong_shape'],
  ]
  for (const [message, code] of lists) {
    const { refused, said } = participant([...masked, message])
    assert.equal(refused, [code])
    assert.not.ok(said.some(({ kind }) => kind === 'consent'))
  }
  // Before it has said its input, there is nothing to consent to.
  assert.equal(participant([toldDirectory, toldDelivery, asked(all)]).refused, ['left_out'])
})

test('a share that does not fit its commitment is as if it had not come', () => {
  const lying = sealedForOther()
  const delivery = deliveryTo(1, directory.id, all, new Map(sharesByPlace).set(3, lying))
  const { said } = participant([toldDirectory, delivery, ...masked.slice(2), consents(all)])
  const reveal = said.find((one) => one.kind === 'reveal')
  assert.equal(reveal?.kind === 'reveal' ? placesOf(reveal.held) : [], [0, 1, 2, 4])
})
/** Place 3 seals other shares to place 1 than those that it is committed to. */
function sealedForOther(): Shares {
  const honest = shares[3]!
  const agreed = agree(secrets[3]!.channel, secrets[1]!.channel.publicKey)
  if (agreed === null) throw new Error('the keys agree on nothing')
  const pair = commitmentsFor(honest, 1)
  const other = seal(deriveKey(agreed, directory.id, 'channel/3/1'), new Uint8Array(64).fill(5), pair)
  const sealed = honest.sealed.slice()
  sealed.set(other, sealedBytes)
  return { ...honest, sealed }
}

/** The member that leads, or one that follows it, after these events. */
function member(leads: boolean, events: readonly AggregatorEvent[], at = 0) {
  const timing = { keysMs: 100, sharesMs: 100, inputsMs: 100, consentsMs: 100, revealsMs: 100 }
  const effects: AggregatorEffect[] = []
  let { state }: { state: AggregatorState } = beginAggregator(config, timing, leads ? leader : second, leads, 0)
  for (const event of events) {
    const next = stepAggregator(state, event, at)
    state = next.state
    effects.push(...next.effects)
  }
  return { state, effects }
}
const say = (statement: Statement): AggregatorEvent => ({ type: 'said', statement })
const fetched = (place: number): AggregatorEvent => ({ type: 'fetched', peer: peers[place]!, code: null })
const gathered = [...keys.map(say), ...shares.map(say)]

test('two keys of one peer convict it', () => {
  const other = sign<Keys>(1, { ...keysOf(secrets[1]!, session), seed: new Uint8Array(32) } as StatementBody)
  const { effects, state } = member(true, [say(keys[1]!), say(keys[1]!), say(other)])
  assert.equal(
    effects.filter(({ type }) => type === 'accused'),
    [{ type: 'accused', peer: peers[1], code: 'equivocation' }],
  )
  assert.is(toHex(state.keys[peers[1]!]?.seed ?? new Uint8Array()), toHex(keys[1]!.seed))
})

test('an input masked with other dealers, or not yet here, does not count', () => {
  const { commitments, input, bytes } = inputs[2]!
  const body = { kind: 'input', ...id, commitments, input, bytes } as const
  const odd = sign<Input>(2, { ...body, dealers: withoutFour })
  const events = [...gathered, ...[0, 1, 3, 4].flatMap((place) => [say(inputs[place]!), fetched(place)])]
  const { state } = member(true, [...events, say(odd), fetched(2)])
  assert.is(state.phase, 'inputs')
  assert.is(member(true, [...events, say(inputs[2]!)]).state.phase, 'inputs')
  assert.is(member(true, [...events, say(inputs[2]!), fetched(2)]).state.phase, 'consents')
})

test('the list that enough have consented to stands, whatever was asked', () => {
  const everything = inputs.flatMap((input, place) => [say(input), fetched(place)])
  const three = [0, 1, 2].map((place) => say(consent(place, withoutFour)))
  const { state } = member(true, [...gathered, ...everything, ...three])
  assert.is(state.phase, 'reveals')
  assert.equal(placesOf(state.survivors ?? new Uint8Array()), [0, 1, 2, 3])
})

test('who leads after another asks for the list that has been consented to already', () => {
  const told = (message: Message): AggregatorEvent => ({ type: 'message', from: leader, message })
  const followed = [told(toldDirectory), told(deliveryTo(0, directory.id, all, new Map())), ...gathered]
  const everything = inputs.flatMap((input, place) => [say(input), fetched(place)])
  const follower = member(false, [...followed, ...everything, say(consent(0, withoutFour))])
  assert.is(follower.state.phase, 'inputs')
  assert.not.ok(follower.effects.some(({ type }) => type === 'send'))
  const { state } = member(false, [...followed, ...everything, say(consent(0, withoutFour)), { type: 'lead' }])
  assert.equal(placesOf(state.survivors ?? new Uint8Array()), [0, 1, 2, 3])
})

test('a session that cannot keep its promise does not begin', () => {
  for (const bad of [{ threshold: 2 }, { threshold: 6 }, { invited: peers.toReversed() }, { committee: [] }]) {
    assert.throws(() => beginAggregator({ ...config, ...bad }, member(true, []).state.timing, leader, true, 0))
  }
})

test.run()
