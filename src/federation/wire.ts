import { CID } from 'multiformats/cid'
import { z } from 'zod'
import type { ProtocolSpec, TopicSpec } from '../network/index.ts'
import { type Election, type Head, maxCertificateBytes, maxValueBytes, openValue } from './certificate.ts'
import { attemptField, bytesField, cidField, documentField, peerField, roundField, viewField } from './fields.ts'
import { judgeMessage } from './message-rules.ts'
import { maxRosterPeers } from './roster.ts'
import type { Lock, Message, QuorumProof } from './round-state.ts'
import { maxRunBytes, type Run } from './specification.ts'
import { openJoin, openNotice, openVote } from './statements.ts'
import { maxUpdateBytes } from './update-block.ts'

/** The protocols and topics of a run, and the way between their messages and the machine's. See protocols/rounds. */

const version = '1.0.0'
const mebibyte = 1024 * 1024

const votesField = z.array(documentField).max(31)

export const updateProtocol: ProtocolSpec<UpdateRequest, { outcome: string }> = {
  name: 'rounds-update',
  version,
  request: z.strictObject({
    run: cidField,
    attempt: attemptField,
    notice: documentField,
    bytes: bytesField(maxUpdateBytes),
  }),
  response: z.strictObject({ outcome: z.string().max(64) }),
  maxRequestBytes: 16 * mebibyte,
  maxResponseBytes: 1024,
  // 16 MiB at 4 Mbit/s.
  timeoutMs: 32_000,
  // An update a round, and its retries.
  rate: { perSecond: 5, burst: 20 },
}
export interface UpdateRequest {
  readonly run: CID
  /** The attempt that the trainer is in: an answer counts for the quorum of its committee. */
  readonly attempt: number
  readonly notice: Uint8Array
  readonly bytes: Uint8Array
}

const proofSchema = z.strictObject({ view: viewField, value: cidField, votes: votesField })
const lockSchema = z.strictObject({ view: viewField, value: bytesField(maxValueBytes), votes: votesField })
const place = { run: cidField, round: roundField, attempt: attemptField }
const agreeSchema = z.discriminatedUnion('kind', [
  z.strictObject({ ...place, kind: z.literal('moved'), view: viewField }),
  z.strictObject({ ...place, kind: z.literal('close'), view: viewField }),
  z.strictObject({
    ...place,
    kind: z.literal('report'),
    view: viewField,
    held: z.array(documentField).max(maxRosterPeers),
    joins: z.array(documentField).max(maxRosterPeers),
    lock: lockSchema.nullable(),
  }),
  z.strictObject({
    ...place,
    kind: z.literal('proposal'),
    view: viewField,
    value: bytesField(maxValueBytes),
    justify: proofSchema.nullable(),
  }),
  z.strictObject({ ...place, kind: z.literal('vote'), vote: documentField }),
  z.strictObject({ ...place, kind: z.literal('join'), join: documentField }),
  z.strictObject({
    ...place,
    kind: z.literal('abandoned'),
    abandons: z.array(documentField).min(1).max(maxRosterPeers),
  }),
  z.strictObject({ ...place, kind: z.literal('certificate'), certificate: bytesField(maxCertificateBytes) }),
])
export type AgreeRequest = z.infer<typeof agreeSchema>

export const agreeProtocol: ProtocolSpec<AgreeRequest, { ok: true }> = {
  name: 'rounds-agree',
  version,
  request: agreeSchema,
  response: z.strictObject({ ok: z.literal(true) }),
  // A report carries a locked value and its own list.
  maxRequestBytes: 2 * mebibyte,
  maxResponseBytes: 1024,
  timeoutMs: 5_000,
  // About ten messages a round and member, all of them said again every 400 ms in the worst case; several runs.
  rate: { perSecond: 100, burst: 400 },
}

const syncSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('run'), run: cidField }),
  z.strictObject({ kind: z.literal('certificates'), run: cidField, after: z.int().min(0).max(1_000_000) }),
])
export type SyncRequest = z.infer<typeof syncSchema>
export interface SyncResponse {
  /** The signed specification, when that was asked for. */
  readonly document: Uint8Array | null
  /** In order, from the round after the one named. */
  readonly certificates: Uint8Array[]
  readonly evaluations: Uint8Array[]
  /** The owner's word that stands, if there is one. */
  readonly control: Uint8Array | null
  /** Of the newest certificate here. */
  readonly round: number
}
export const syncProtocol: ProtocolSpec<SyncRequest, SyncResponse> = {
  name: 'rounds-sync',
  version,
  request: syncSchema,
  response: z.strictObject({
    document: bytesField(maxRunBytes).nullable(),
    certificates: z.array(bytesField(maxCertificateBytes)).max(256),
    evaluations: z.array(documentField).max(256),
    control: documentField.nullable(),
    round: z.int().min(0).max(1_000_000),
  }),
  maxRequestBytes: 1024,
  maxResponseBytes: 4 * mebibyte,
  timeoutMs: 15_000,
  rate: { perSecond: 20, burst: 100 },
}
/** What one answer holds of certificates: the rest is asked for again. */
export const maxSyncBytes = 3 * mebibyte

/** A long roster does not fit; then the run is asked for. */
export const maxBeaconBytes = 8 * 1024

/** A participant's word on a run: that it exists, and how far it is. */
export const beaconSchema = z.strictObject({
  v: z.literal(1),
  peer: peerField,
  run: cidField,
  /** The signed specification where it is short; else it is asked for. */
  document: bytesField(maxBeaconBytes).nullable(),
  /** The newest certificate: its round, 0 before the first, and its value's id, the run's before the first. */
  round: z.int().min(0).max(1_000_000),
  value: cidField,
  /** The owner's word that stands, as far as the participant knows. */
  control: documentField.nullable(),
})
export type Beacon = z.infer<typeof beaconSchema>
export const runsTopic: Omit<TopicSpec<Beacon>, 'validate'> = {
  name: 'runs',
  version,
  maxBytes: maxBeaconBytes,
  rate: { perSecond: 50, burst: 200 },
}
export const evaluationsTopic = {
  name: 'evaluations',
  version,
  maxBytes: 1024,
  rate: { perSecond: 20, burst: 100 },
}

export const progressTopic = {
  name: 'progress',
  version,
  maxBytes: 1024,
  // A forwarder passes on what a whole roster says.
  rate: { perSecond: 50, burst: 200 },
}

type Unplaced = AgreeRequest extends infer M
  ? M extends unknown
    ? Omit<M, 'run' | 'round' | 'attempt'>
    : never
  : never

/** The wire's form of a message. */
export function toWire(message: Message): Unplaced {
  switch (message.kind) {
    case 'moved':
    case 'close':
      return { kind: message.kind, view: message.view }
    case 'report':
      return {
        kind: 'report',
        view: message.view,
        held: message.held.map((notice) => notice.document),
        joins: message.joins.map((join) => join.document),
        lock: message.lock === null ? null : lockToWire(message.lock),
      }
    case 'proposal':
      return {
        kind: 'proposal',
        view: message.view,
        value: message.value.bytes,
        justify: message.justify === null ? null : proofToWire(message.justify),
      }
    case 'vote':
      return { kind: 'vote', vote: message.vote.document }
  }
}

/**
 * Opens and checks a message for the attempt under way; what it says is then what its signers said.
 *
 * @throws RejectedError as `verifySigned` and `judgeMessage` do
 */
export function fromWire(
  run: Run,
  previous: Head,
  election: Election,
  from: string,
  wire: Exclude<AgreeRequest, { kind: 'join' | 'certificate' | 'abandoned' }>,
): Message {
  const message = openMessage(wire)
  judgeMessage(run, previous, election, { from, attempt: wire.attempt }, message)
  return message
}

function openMessage(wire: Parameters<typeof fromWire>[4]): Message {
  switch (wire.kind) {
    case 'moved':
    case 'close':
      return { kind: wire.kind, view: wire.view }
    case 'report': {
      const lock = wire.lock === null ? null : openLock(wire.lock)
      return { kind: 'report', view: wire.view, held: wire.held.map(openNotice), joins: wire.joins.map(openJoin), lock }
    }
    case 'proposal': {
      const justify = wire.justify === null ? null : openProof(wire.justify)
      return { kind: 'proposal', view: wire.view, value: openValue(wire.value), justify }
    }
    case 'vote':
      return { kind: 'vote', vote: openVote(wire.vote) }
  }
}

export function lockToWire(lock: Lock): z.infer<typeof lockSchema> {
  return { view: lock.view, value: lock.value.bytes, votes: lock.votes.map((vote) => vote.document) }
}
export function proofToWire(proof: QuorumProof): z.infer<typeof proofSchema> {
  return { view: proof.view, value: CID.parse(proof.value), votes: proof.votes.map((vote) => vote.document) }
}

function openLock(wire: z.infer<typeof lockSchema>): Lock {
  return { view: wire.view, value: openValue(wire.value), votes: wire.votes.map(openVote) }
}

function openProof(wire: z.infer<typeof proofSchema>): QuorumProof {
  return { view: wire.view, value: wire.value.toString(), votes: wire.votes.map(openVote) }
}

/** As a member keeps its record on its own disk. */
export const recordSchema = z.strictObject({
  view: viewField,
  prepared: z
    .strictObject({ view: viewField, value: bytesField(maxValueBytes), justify: proofSchema.nullable() })
    .nullable(),
  lock: lockSchema.nullable(),
})
