import { CID } from 'multiformats/cid'
import { z } from 'zod'
import { type Identity, verifySigned } from '../identity/index.ts'
import { compareBytes, decode, encode, OwmError, RejectedError } from '../lib/index.ts'
import { cidField, maxStatementBytes } from './fields.ts'
import type { Run } from './specification.ts'

/**
 * The owner's word on how a run goes on. It bounds the rounds that are worked on and changes nothing that is certified:
 * whoever has not heard it yet can at most certify a round more. See protocols/rounds, rules 37 to 40.
 */
export type ControlAction = 'pause' | 'resume' | 'finish' | 'cancel'

export interface Control {
  readonly owner: string
  readonly run: string
  /** The higher one stands, in whatever order they come. */
  readonly sequence: number
  readonly action: ControlAction
  /** No round after this one is worked on; null, with `resume`, for all of the specification. */
  readonly last: number | null
  readonly document: Uint8Array
}

const controlSchema = z
  .strictObject({
    v: z.literal(1),
    run: cidField,
    sequence: z.int().min(1).max(Number.MAX_SAFE_INTEGER),
    action: z.enum(['pause', 'resume', 'finish', 'cancel']),
    last: z.int().min(0).max(1_000_000).nullable(),
  })
  .refine(({ action, last }) => (action === 'resume') === (last === null), 'a bound goes with all but resume')

export function signControl(identity: Identity, control: Omit<Control, 'owner' | 'document'>): Control {
  const { run, sequence, action, last } = control
  return openControl(identity.sign('control', encode({ v: 1, run: CID.parse(run), sequence, action, last })))
}

/** @throws RejectedError `oversized`, `malformed`, `invalid_signature`, `schema_mismatch` */
export function openControl(document: Uint8Array): Control {
  const { payload, author } = verifySigned('control', document, maxStatementBytes)
  const { run, sequence, action, last } = decode(payload, controlSchema, maxStatementBytes)
  return { owner: author.toString(), run: run.toString(), sequence, action, last, document }
}

/** @throws RejectedError `wrong_run`, `not_owner` */
export function checkControl(run: Pick<Run, 'id' | 'owner'>, control: Control): void {
  if (control.run !== run.id) throw new RejectedError('reject', 'wrong_run', 'The word is on another run.')
  if (control.owner !== run.owner) throw new RejectedError('reject', 'not_owner', 'Only its owner controls a run.')
}

/** Whether `fresh` stands against `known`. Of two with one sequence, which an owner should not make, the lesser bytes. */
export function supersedes(fresh: Control, known: Control | null): boolean {
  if (known === null || fresh.sequence !== known.sequence) return fresh.sequence > (known?.sequence ?? 0)
  return compareBytes(fresh.document, known.document) < 0
}

/** The last round that is worked on, as far as is known. */
export function lastRoundOf(run: Pick<Run, 'specification'>, control: Control | null): number {
  return Math.min(run.specification.rounds, control?.last ?? Number.POSITIVE_INFINITY)
}

/** Whether nothing comes after this certified round any more. A pause is no end. */
export function isOver(run: Pick<Run, 'specification'>, control: Control | null, round: number): boolean {
  return round >= (control?.action === 'pause' ? run.specification.rounds : lastRoundOf(run, control))
}

/**
 * The owner's next word.
 *
 * @param round the newest certified one
 * @param underWay whether the one after it has begun: `pause` and `finish` let it end, `cancel` does not
 * @throws OwmError `not_owner`, `run_over`, `not_paused`
 */
export function nextControl(
  identity: Identity,
  run: Run,
  known: Control | null,
  action: ControlAction,
  { round, underWay, nowMs }: { readonly round: number; readonly underWay: boolean; readonly nowMs: number },
): Control {
  const self = identity.peerId.toString()
  if (run.owner !== self) {
    throw new OwmError('not_owner', `Only ${run.owner} can ${action} this run; this peer is ${self}.`)
  }
  if (isOver(run, known, round)) {
    throw new OwmError('run_over', 'The run is over; to go on from its checkpoint, create a run with --continue.')
  }
  if (action === 'resume' && known?.action === 'finish') {
    throw new OwmError('run_over', 'The run is told to finish; create a run with --continue to go on from there.')
  }
  if (action === 'resume' && known?.action !== 'pause') throw new OwmError('not_paused', 'The run is not paused.')
  const bound = underWay && action !== 'cancel' ? round + 1 : round
  return signControl(identity, {
    run: run.id,
    // Time too, so that an owner who has lost its journal is not taken for a replay of itself.
    sequence: Math.max((known?.sequence ?? 0) + 1, Math.floor(nowMs)),
    action,
    last: action === 'resume' ? null : bound,
  })
}
