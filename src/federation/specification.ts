import type { CID } from 'multiformats/cid'
import { z } from 'zod'
import { type Identity, verifySigned } from '../identity/index.ts'
import { cidOf, decode, encode, OwmError, RejectedError } from '../lib/index.ts'
import { classesSchema, fieldsSchema, optimizerPlanSchema, outerPlanSchema } from '../training/index.ts'
import { aggregationPlanSchema } from './aggregation/index.ts'
import { codecPlanSchema } from './codecs/codec.ts'
import { cidField, peerField } from './fields.ts'
import type { RunSpecification } from './index.ts'
import { checkRunPlans } from './plans.ts'
import { privacyPlanSchema } from './privacy/plan.ts'
import { maxRosterPeers } from './roster.ts'

/** A roster of 1,024 peers makes 60 KiB. */
export const maxRunBytes = 96 * 1024

const count = (max: number) => z.int().min(1).max(max)
const positive = (max: number) => z.number().gt(0).max(max)

const specificationSchema = z
  .strictObject({
    v: z.literal(1),
    name: z.string().regex(/^[a-z0-9][a-z0-9._-]{0,63}$/, 'must be lower case letters, digits, dots, dashes'),
    fields: fieldsSchema,
    classes: classesSchema.optional(),
    graph: cidField,
    initial: cidField,
    heldOut: cidField,
    heldOutShare: z.int().min(0).max(255),
    optimizer: optimizerPlanSchema,
    batch: count(65_536),
    localEpochs: positive(1_000).optional(),
    localSteps: count(1_000_000).optional(),
    localMs: z.int().min(10).max(86_400_000),
    rounds: count(1_000_000),
    roster: z.array(peerField).min(1).max(maxRosterPeers),
    minimumTrainers: count(maxRosterPeers),
    committeeSize: count(31),
    faults: z.enum(['crash', 'byzantine']),
    compression: z.strictObject({ updates: codecPlanSchema, results: codecPlanSchema.nullable() }),
    aggregation: aggregationPlanSchema,
    outer: outerPlanSchema,
    privacy: privacyPlanSchema,
    clipNorm: positive(1_000_000),
    createdMs: z.int().min(0).max(Number.MAX_SAFE_INTEGER),
  })
  .refine((s) => new Set(s.roster).size === s.roster.length, { path: ['roster'], error: 'names a peer twice' })
  .refine((s) => s.minimumTrainers <= s.roster.length, { path: ['minimumTrainers'], error: 'is more than the roster' })
  .refine((s) => s.faults === 'crash' || (s.committeeSize >= 4 && s.committeeSize % 3 === 1), {
    path: ['committeeSize'],
    error: 'must be 3f+1, at least 4, to bear liars',
  })
  .refine((s) => s.faults === 'crash' || s.roster.length >= s.committeeSize, {
    path: ['roster'],
    error: 'must fill the committee, to bear liars',
  })

export interface Run {
  /** CID of `document`. */
  readonly id: string
  readonly cid: CID
  readonly owner: string
  readonly document: Uint8Array
  readonly specification: RunSpecification
}

/** @throws OwmError `bad_run` naming the field; as `checkRunPlans` */
export function signRun(identity: Identity, specification: RunSpecification): Run {
  const parsed = specificationSchema.safeParse({ v: 1, ...withoutUndefined(specification) })
  if (!parsed.success) {
    const issue = parsed.error.issues[0]
    const field = issue?.path.join('.') || 'specification'
    throw new OwmError('bad_run', `The run's ${field}: ${issue?.message}.`, { field })
  }
  checkRunPlans(specification, specification)
  return openRun(identity.sign('run', encode(parsed.data)))
}

/** @throws RejectedError `oversized`, `malformed`, `invalid_signature`, `schema_mismatch`, the codes of `checkRunPlans` */
export function openRun(document: Uint8Array): Run {
  const { payload, author } = verifySigned('run', document, maxRunBytes)
  const { v: _, ...read } = decode(payload, specificationSchema, maxRunBytes)
  // What is not there is not written down either.
  const specification = read as RunSpecification
  try {
    checkRunPlans(specification, specification)
  } catch (error) {
    if (!(error instanceof OwmError)) throw error
    throw new RejectedError('reject', error.code, error.message)
  }
  const cid = cidOf(document)
  return { id: cid.toString(), cid, owner: author.toString(), document, specification }
}

/** dag-cbor has no `undefined`; an absent field is one that is not there. */
function withoutUndefined<T extends object>(value: T): T {
  const entries = Object.entries(value)
    .filter(([, field]) => field !== undefined)
    .map(([name, field]) => [name, isPlain(field) ? withoutUndefined(field) : field])
  return Object.fromEntries(entries) as T
}

function isPlain(value: unknown): value is object {
  return typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype
}
