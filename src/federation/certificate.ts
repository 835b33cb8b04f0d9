import { CID } from 'multiformats/cid'
import { z } from 'zod'
import { cidOf, codecs, decode, encode, RejectedError } from '../lib/index.ts'
import { oneWhole } from './aggregation/index.ts'
import { electCommittee, quorumOf, roundSeed } from './committee.ts'
import { attemptField, bytesField, cidField, documentField, peerField, roundField, viewField } from './fields.ts'
import type { Link } from './preference.ts'
import { firstRoster, maxMissedRounds, maxRosterPeers, nextRoster, type Place } from './roster.ts'
import type { Run } from './specification.ts'
import {
  type Abandon,
  type Join,
  type Notice,
  openAbandon,
  openJoin,
  openNotice,
  openVote,
  type Vote,
} from './statements.ts'

/** 1,024 notices of 400 bytes, as many joins, and the roster. */
export const maxValueBytes = 768 * 1024
/** A value, its votes, and for a later attempt a quorum's statements, 683 of 1,024 at most. */
export const maxCertificateBytes = 1024 * 1024
/** A wish to join is good for so many rounds; an old one cannot be played again. */
export const maxJoinAgeRounds = 3

/** What a committee agrees on. Its id names the certificate, whoever signed it. */
export interface Value {
  readonly id: string
  readonly bytes: Uint8Array
  readonly run: string
  readonly round: number
  readonly attempt: number
  readonly previous: string
  /** By trainer, each once. */
  readonly updates: readonly Notice[]
  readonly joins: readonly Join[]
  readonly checkpoint: string
  /** Of the next round. */
  readonly roster: readonly Place[]
}

export interface Certificate {
  readonly value: Value
  /** The view whose votes these are. */
  readonly view: number
  readonly votes: readonly Vote[]
  /** Of a later attempt: that a quorum of the roster has given the one before it up. Empty for the first attempt. */
  readonly abandons: readonly Abandon[]
  readonly bytes: Uint8Array
}

/** What a round starts from: the certificate before, or the run's specification. */
export interface Head {
  readonly round: number
  /** Id of the certified value; of the run, before the first round. */
  readonly id: string
  readonly checkpoint: string
  readonly roster: readonly Place[]
}

/** Who takes part in a round, computed by everybody alike. */
export interface Election {
  readonly committee: readonly string[]
  readonly quorum: number
  /** So many of the roster give an attempt up. */
  readonly rosterQuorum: number
}

const valueSchema = z.strictObject({
  v: z.literal(1),
  run: cidField,
  round: roundField,
  attempt: attemptField,
  previous: cidField,
  updates: z.array(documentField).min(1).max(maxRosterPeers),
  joins: z.array(documentField).max(maxRosterPeers),
  checkpoint: cidField,
  roster: z
    .array(z.strictObject({ peer: peerField, missed: z.int().min(0).max(maxMissedRounds) }))
    .min(1)
    .max(maxRosterPeers),
})
const certificateSchema = z.strictObject({
  v: z.literal(1),
  value: bytesField(maxValueBytes),
  view: viewField,
  votes: z.array(documentField).min(1).max(31),
  abandons: z.array(documentField).min(1).max(maxRosterPeers).optional(),
})

export function firstHead(run: Run): Head {
  const { specification } = run
  return { round: 0, id: run.id, checkpoint: specification.initial.toString(), roster: firstRoster(specification) }
}

export function headOf(value: Value): Head {
  return { round: value.round, id: value.id, checkpoint: value.checkpoint, roster: value.roster }
}

export function electionOf(run: Run, previous: Head, attempt: number): Election {
  const { committeeSize, faults } = run.specification
  const seed = roundSeed(run.id, previous.round + 1, previous.id, attempt)
  const committee = electCommittee(
    seed,
    previous.roster.map((place) => place.peer),
    committeeSize,
  )
  return {
    committee,
    quorum: quorumOf(faults, committee.length),
    rosterQuorum: quorumOf(faults, previous.roster.length),
  }
}

export function leaderOf(committee: readonly string[], view: number): string {
  return committee[view % committee.length] ?? ''
}

/** The value that a leader proposes for these updates and joins; sorted, so that equal sets are equal bytes. */
export function composeValue(
  run: Run,
  previous: Head,
  attempt: number,
  parts: { readonly updates: readonly Notice[]; readonly joins: readonly Join[]; readonly checkpoint: string },
): Value {
  const updates = [...parts.updates].sort((a, b) => byName(a.trainer, b.trainer))
  const joins = [...parts.joins].sort((a, b) => byName(a.peer, b.peer))
  const roster = rosterAfter(run, previous, updates, joins)
  return openValue(
    encode({
      v: 1,
      run: run.cid,
      round: previous.round + 1,
      attempt,
      previous: CID.parse(previous.id),
      updates: updates.map((notice) => notice.document),
      joins: joins.map((join) => join.document),
      checkpoint: CID.parse(parts.checkpoint),
      roster,
    }),
  )
}

/** Opens a value and the statements in it. @throws RejectedError as `decode` and `verifySigned` do */
export function openValue(bytes: Uint8Array): Value {
  const { run, previous, checkpoint, updates, joins, round, attempt, roster } = decode(
    bytes,
    valueSchema,
    maxValueBytes,
  )
  return {
    id: cidOf(bytes, codecs.dagCbor).toString(),
    bytes,
    run: run.toString(),
    round,
    attempt,
    previous: previous.toString(),
    updates: updates.map(openNotice),
    joins: joins.map(openJoin),
    checkpoint: checkpoint.toString(),
    roster,
  }
}

/**
 * Checks all of a value that can be known without its updates.
 *
 * @throws RejectedError `wrong_round`, `wrong_parent`, `not_sorted`, `not_in_roster`, `wrong_base`, `too_few_updates`,
 * `too_many_samples`, `wrong_join`, `wrong_roster`
 */
export function checkValue(run: Run, previous: Head, value: Value): void {
  const { specification } = run
  if (value.run !== run.id || value.round !== previous.round + 1 || value.round > specification.rounds) {
    throw refusal('wrong_round', `The value is for round ${value.round} of run ${value.run}.`)
  }
  if (value.previous !== previous.id) throw refusal('wrong_parent', 'The value does not follow the certificate before.')
  const roster = new Set(previous.roster.map((place) => place.peer))
  checkSorted(value.updates.map((notice) => notice.trainer))
  checkSorted(value.joins.map((join) => join.peer))
  for (const notice of value.updates) {
    if (!roster.has(notice.trainer)) throw refusal('not_in_roster', `${notice.trainer} does not train in this round.`)
    checkNotice(run, previous, value.attempt, notice)
  }
  if (value.updates.length < specification.minimumTrainers) {
    throw refusal('too_few_updates', `${value.updates.length} updates, of at least ${specification.minimumTrainers}.`)
  }
  if (value.updates.reduce((sum, notice) => sum + notice.samples, 0) > oneWhole) {
    throw refusal('too_many_samples', 'The updates weigh more than a sum can hold exactly.')
  }
  for (const join of value.joins) checkJoin(run, previous, join)
  const expected = rosterAfter(run, previous, value.updates, value.joins)
  if (Buffer.compare(encode(expected), encode(value.roster)) !== 0) {
    throw refusal('wrong_roster', 'The next roster is not what the rule gives.')
  }
}

/** A notice is good for its attempt and all later ones at its round. @throws RejectedError `wrong_round`, `wrong_base` */
export function checkNotice(run: Run, previous: Head, attempt: number, notice: Notice): void {
  if (notice.run !== run.id || notice.round !== previous.round + 1 || notice.attempt > attempt) {
    throw refusal('wrong_round', `The update of ${notice.trainer} is for another round.`)
  }
  if (notice.base !== previous.checkpoint) {
    throw refusal('wrong_base', `The update of ${notice.trainer} starts from another checkpoint.`)
  }
}

/** @throws RejectedError `wrong_join` */
export function checkJoin(run: Run, previous: Head, join: Join): void {
  const age = previous.round + 1 - join.round
  if (join.run !== run.id || age < 0 || age > maxJoinAgeRounds) {
    throw refusal('wrong_join', `The wish of ${join.peer} to join is for another run, or too old.`)
  }
}

/** Wraps a quorum's commit votes. */
export function sealCertificate(
  value: Value,
  view: number,
  votes: readonly Vote[],
  abandons: readonly Abandon[] = [],
): Certificate {
  const sorted = [...votes].sort((a, b) => byName(a.voter, b.voter))
  const proof = abandons.length === 0 ? {} : { abandons: abandons.map((abandon) => abandon.document) }
  const bytes = encode({ v: 1, value: value.bytes, view, votes: sorted.map((vote) => vote.document), ...proof })
  return { value, view, votes: sorted, abandons, bytes }
}

/** Opens a certificate without judging it. @throws RejectedError as `decode` and `verifySigned` do */
export function openCertificate(bytes: Uint8Array): Certificate {
  const parsed = decode(bytes, certificateSchema, maxCertificateBytes)
  return {
    value: openValue(parsed.value),
    view: parsed.view,
    votes: parsed.votes.map(openVote),
    abandons: (parsed.abandons ?? []).map(openAbandon),
    bytes,
  }
}

/** What a certificate claims to be. Nothing else is checked. @throws RejectedError as `decode` does */
export function claimOf(bytes: Uint8Array): Link {
  const { value } = decode(bytes, certificateSchema, maxCertificateBytes)
  const { round, attempt, previous } = decode(value, valueSchema, maxValueBytes)
  return { round, attempt, previous: `${previous}`, id: cidOf(value, codecs.dagCbor).toString() }
}

/**
 * That a quorum has signed these bytes for the next round, before anything in them is opened: a stranger can fill a value
 * with 2,048 statements of its own, whose signatures would take the third of a second to verify.
 *
 * @throws RejectedError as `decode` and `checkVotes` do, or `wrong_round`, `wrong_parent`
 */
export function checkQuorum(run: Run, previous: Head, bytes: Uint8Array): void {
  const { value, view, votes, abandons = [] } = decode(bytes, certificateSchema, maxCertificateBytes)
  const claimed = decode(value, valueSchema, maxValueBytes)
  if (claimed.run.toString() !== run.id || claimed.round !== previous.round + 1) {
    throw refusal('wrong_round', `The value is for round ${claimed.round} of run ${claimed.run}.`)
  }
  if (claimed.previous.toString() !== previous.id) {
    throw refusal('wrong_parent', 'The value does not follow the certificate before.')
  }
  const { round, attempt } = claimed
  const election = electionOf(run, previous, attempt)
  checkAbandons(run, previous, attempt, abandons.length)
  if (votes.length > election.committee.length) throw refusal('not_in_committee', 'There are more votes than members.')
  const id = cidOf(value, codecs.dagCbor).toString()
  checkVotes(election, { id, run: run.id, round, attempt }, view, 'commit', votes.map(openVote))
  checkProof(run, previous, attempt, abandons.map(openAbandon))
}

/**
 * The whole judgement on a certificate, for anybody who has the run and the certificate before. Pure.
 *
 * @throws RejectedError as `openCertificate`, `checkValue` and `checkVotes` do
 */
export function verifyCertificate(run: Run, previous: Head, bytes: Uint8Array): Certificate {
  const certificate = openCertificate(bytes)
  judgeCertificate(run, previous, certificate)
  return certificate
}

/**
 * The judgement on a certificate whose statements have been opened: what a verifier does after `openCertificate`.
 *
 * @throws RejectedError as `checkValue`, `checkVotes` and `checkProof` do
 */
export function judgeCertificate(run: Run, previous: Head, certificate: Omit<Certificate, 'bytes'>): void {
  const { value, view, votes, abandons } = certificate
  checkValue(run, previous, value)
  checkVotes(electionOf(run, previous, value.attempt), value, view, 'commit', votes)
  checkProof(run, previous, value.attempt, abandons)
}

/**
 * That a quorum of the roster has given the attempt before this one up. Without it anybody could look for an attempt
 * whose committee is its own.
 *
 * @throws RejectedError `not_sorted`, `not_in_roster`, `wrong_abandon`, `not_abandoned`
 */
export function checkProof(run: Run, previous: Head, attempt: number, abandons: readonly Abandon[]): void {
  checkAbandons(run, previous, attempt, abandons.length)
  checkSorted(abandons.map((abandon) => abandon.peer))
  const roster = new Set(previous.roster.map((place) => place.peer))
  for (const abandon of abandons) {
    if (!roster.has(abandon.peer)) throw refusal('not_in_roster', `${abandon.peer} has no say in this round.`)
    if (abandon.attempt !== attempt - 1) throw refusal('wrong_abandon', `${abandon.peer} gave another attempt up.`)
    checkAbandon(run, previous, abandon)
  }
}

/** @throws RejectedError `wrong_abandon` */
export function checkAbandon(run: Run, previous: Head, abandon: Abandon): void {
  if (abandon.run !== run.id || abandon.round !== previous.round + 1 || abandon.previous !== previous.id) {
    throw refusal('wrong_abandon', `${abandon.peer} gave an attempt at another round up.`)
  }
}

/** Before any of them is opened: exactly a quorum, none for the first attempt. */
function checkAbandons(run: Run, previous: Head, attempt: number, count: number): void {
  const needed = attempt === 0 ? 0 : quorumOf(run.specification.faults, previous.roster.length)
  if (count !== needed) throw refusal('not_abandoned', `${count} peers gave the attempt before up, not ${needed}.`)
}

/**
 * That a quorum of the committee voted for this value, in this view and phase.
 *
 * @throws RejectedError `not_sorted`, `not_in_committee`, `wrong_vote`, `no_quorum`
 */
export function checkVotes(
  election: Election,
  value: Pick<Value, 'id' | 'run' | 'round' | 'attempt'>,
  view: number,
  phase: Vote['phase'],
  votes: readonly Vote[],
): void {
  checkSorted(votes.map((vote) => vote.voter))
  for (const vote of votes) {
    if (!election.committee.includes(vote.voter)) throw refusal('not_in_committee', `${vote.voter} has no vote.`)
    const fits =
      vote.run === value.run &&
      vote.round === value.round &&
      vote.attempt === value.attempt &&
      vote.view === view &&
      vote.phase === phase &&
      vote.value === value.id
    if (!fits) throw refusal('wrong_vote', `The vote of ${vote.voter} is for something else.`)
  }
  if (votes.length < election.quorum) {
    throw refusal('no_quorum', `${votes.length} votes, of at least ${election.quorum}.`)
  }
}

/** The next roster, as the rule gives it. */
export function rosterAfter(run: Run, previous: Head, updates: readonly Notice[], joins: readonly Join[]): Place[] {
  return nextRoster(
    run.specification,
    previous.roster,
    new Set(updates.map((notice) => notice.trainer)),
    joins.map((join) => join.peer),
  )
}

function checkSorted(names: readonly string[]): void {
  for (let i = 1; i < names.length; i++) {
    if (!(byName(names[i - 1]!, names[i]!) < 0))
      throw refusal('not_sorted', 'A list is not in order, or names one twice.')
  }
}

/** Peer ids are ASCII: code units are bytes. */
function byName(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

function refusal(code: string, message: string): RejectedError {
  return new RejectedError('reject', code, message)
}
