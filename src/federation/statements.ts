import { CID } from 'multiformats/cid'
import { z } from 'zod'
import { type Identity, verifySigned } from '../identity/index.ts'
import { decode, encode } from '../lib/index.ts'
import { attemptField, cidField, maxStatementBytes, roundField, viewField } from './fields.ts'
import { maxUpdateBytes } from './update-block.ts'

/**
 * The small signed statements of a round. Opened, they hold peers and CIDs as strings, so that rules can compare them,
 * and the signed bytes, so that they can be passed on.
 */

/** A trainer's word on its update. */
export interface Notice {
  readonly trainer: string
  readonly run: string
  readonly round: number
  readonly attempt: number
  /** The checkpoint that the trainer started from. */
  readonly base: string
  readonly update: string
  readonly samples: number
  readonly steps: number
  readonly bytes: number
  readonly document: Uint8Array
}

export type VotePhase = 'prepare' | 'commit'
export interface Vote {
  readonly voter: string
  readonly run: string
  readonly round: number
  readonly attempt: number
  readonly view: number
  readonly phase: VotePhase
  /** Id of the value voted for. */
  readonly value: string
  readonly document: Uint8Array
}

/** A peer's wish to train in the run, said in this round. */
export interface Join {
  readonly peer: string
  readonly run: string
  readonly round: number
  readonly document: Uint8Array
}

/** A peer's word that it has given this attempt at a round up, and votes in it no more. */
export interface Abandon {
  readonly peer: string
  readonly run: string
  readonly round: number
  readonly attempt: number
  /** Id of the value certified before: of two chains, this one. */
  readonly previous: string
  readonly document: Uint8Array
}

export interface Evaluation {
  readonly peer: string
  readonly run: string
  readonly round: number
  readonly checkpoint: string
  /** Millionths of the run's unit of loss. */
  readonly microLoss: number
  /** Millionths of right answers; null where there is none to tell. */
  readonly microAccuracy: number | null
  readonly document: Uint8Array
}

/** How a trainer's round goes: for people who watch, and for nobody's decision. */
export interface Progress {
  readonly run: string
  readonly round: number
  readonly peer: string
  readonly step: number
  /** Thousandths of the run's unit of loss. */
  readonly milliLoss: number
  readonly milliStepsPerSecond: number
  /** The update, once enough of the committee has stored it. */
  readonly update: string | null
  readonly document: Uint8Array
}

/** An update's weight: sums stay exact with 1,024 of them. */
export const maxSamples = 65_535

/** Of one round. */
export const maxSteps = 1_000_000

const noticeSchema = z.strictObject({
  v: z.literal(1),
  run: cidField,
  round: roundField,
  attempt: attemptField,
  base: cidField,
  update: cidField,
  samples: z.int().min(1).max(maxSamples),
  steps: z.int().min(1).max(maxSteps),
  bytes: z.int().min(1).max(maxUpdateBytes),
})
const voteSchema = z.strictObject({
  v: z.literal(1),
  run: cidField,
  round: roundField,
  attempt: attemptField,
  view: viewField,
  phase: z.enum(['prepare', 'commit']),
  value: cidField,
})
const joinSchema = z.strictObject({ v: z.literal(1), run: cidField, round: roundField })
const abandonSchema = z.strictObject({
  v: z.literal(1),
  run: cidField,
  round: roundField,
  attempt: attemptField,
  previous: cidField,
})
/** A loss of a million is one that nobody will look at more closely. */
export const maxMicroLoss = 1e12
export const maxMilliLoss = 1e9

const evaluationSchema = z.strictObject({
  v: z.literal(1),
  run: cidField,
  /** 0 is the initial weights. */
  round: z.int().min(0).max(1_000_000),
  checkpoint: cidField,
  microLoss: z.int().min(0).max(maxMicroLoss),
  microAccuracy: z.int().min(0).max(1_000_000).nullable(),
})

const progressSchema = z.strictObject({
  v: z.literal(1),
  run: cidField,
  round: roundField,
  step: z.int().min(0).max(100_000_000),
  milliLoss: z.int().min(0).max(maxMilliLoss),
  milliStepsPerSecond: z.int().min(0).max(1_000_000_000),
  update: cidField.nullable(),
})

type Unsigned<T, Author extends keyof T> = Omit<T, Author | 'document'>

export function signNotice(identity: Identity, notice: Unsigned<Notice, 'trainer'>): Notice {
  const { run, round, attempt, base, update, samples, steps, bytes } = notice
  const body = { v: 1, run: link(run), round, attempt, base: link(base), update: link(update), samples, steps, bytes }
  return openNotice(identity.sign('update', encode(body)))
}
export function signVote(identity: Identity, vote: Unsigned<Vote, 'voter'>): Vote {
  const { run, round, attempt, view, phase, value } = vote
  const body = { v: 1, run: link(run), round, attempt, view, phase, value: link(value) }
  return openVote(identity.sign('vote', encode(body)))
}
export function signJoin(identity: Identity, join: Unsigned<Join, 'peer'>): Join {
  return openJoin(identity.sign('join', encode({ v: 1, run: link(join.run), round: join.round })))
}
export function signAbandon(identity: Identity, abandon: Unsigned<Abandon, 'peer'>): Abandon {
  const { run, round, attempt, previous } = abandon
  return openAbandon(
    identity.sign('abandon', encode({ v: 1, run: link(run), round, attempt, previous: link(previous) })),
  )
}
export function signEvaluation(identity: Identity, evaluation: Unsigned<Evaluation, 'peer'>): Evaluation {
  const { run, round, checkpoint, microLoss, microAccuracy } = evaluation
  const body = { v: 1, run: link(run), round, checkpoint: link(checkpoint), microLoss, microAccuracy }
  return openEvaluation(identity.sign('evaluation', encode(body)))
}
export function signProgress(identity: Identity, progress: Unsigned<Progress, 'peer'>): Progress {
  const { run, round, step, milliLoss, milliStepsPerSecond, update } = progress
  const body = {
    v: 1,
    run: link(run),
    round,
    step,
    milliLoss,
    milliStepsPerSecond,
    update: update === null ? null : link(update),
  }
  return openProgress(identity.sign('progress', encode(body)))
}

/** @throws RejectedError `oversized`, `malformed`, `invalid_signature`, `schema_mismatch`; so do the five below */
export function openNotice(document: Uint8Array): Notice {
  const { author, body } = open('update', document, noticeSchema)
  const { v: _, run, base, update, ...rest } = body
  return { ...rest, trainer: author, run: `${run}`, base: `${base}`, update: `${update}`, document }
}
export function openVote(document: Uint8Array): Vote {
  const { author, body } = open('vote', document, voteSchema)
  const { v: _, run, value, ...rest } = body
  return { ...rest, voter: author, run: `${run}`, value: `${value}`, document }
}
export function openJoin(document: Uint8Array): Join {
  const { author, body } = open('join', document, joinSchema)
  return { peer: author, run: `${body.run}`, round: body.round, document }
}
export function openAbandon(document: Uint8Array): Abandon {
  const { author, body } = open('abandon', document, abandonSchema)
  const { round, attempt } = body
  return { peer: author, run: `${body.run}`, round, attempt, previous: `${body.previous}`, document }
}
export function openEvaluation(document: Uint8Array): Evaluation {
  const { author, body } = open('evaluation', document, evaluationSchema)
  const { v: _, run, checkpoint, ...rest } = body
  return { ...rest, peer: author, run: `${run}`, checkpoint: `${checkpoint}`, document }
}
export function openProgress(document: Uint8Array): Progress {
  const { author, body } = open('progress', document, progressSchema)
  const { v: _, run, update, ...rest } = body
  return { ...rest, peer: author, run: `${run}`, update: update === null ? null : `${update}`, document }
}

function open<T>(domain: string, document: Uint8Array, schema: z.ZodType<T>): { author: string; body: T } {
  const { payload, author } = verifySigned(domain, document, maxStatementBytes)
  return { author: author.toString(), body: decode(payload, schema, maxStatementBytes) }
}

const link = (cid: string): CID => CID.parse(cid)
