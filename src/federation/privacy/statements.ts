import { CID } from 'multiformats/cid'
import { z } from 'zod'
import { type Identity, verifySigned } from '../../identity/index.ts'
import { decode, encode } from '../../lib/index.ts'
import { attemptField, bytesField, cidField, roundField } from '../fields.ts'
import { maxUpdateBytes } from '../update-block.ts'
import { keyBytes } from './keystream.ts'
import { peerSetBytes } from './peer-set.ts'
import type { Session } from './session.ts'
import { maxPeers } from './sum-shape.ts'

/**
 * What a participant says in a session, signed with its identity. Opened, a statement holds its author, its CIDs as
 * strings, and its signed bytes: shown together, two of one author and session convict it.
 */

export const digestBytes = 32
/** Both shares of one dealer for one peer, and the tag. */
export const sealedBytes = 2 * 32 + 16
/** A commitment to each of the two shares, 16 bytes each: a second share of the same commitment takes 2^128 tries. */
export const commitmentBytes = 16

interface Signed extends Session {
  readonly peer: string
  readonly document: Uint8Array
}
/** The peer takes part with these keys. */
export interface Keys extends Signed {
  readonly kind: 'keys'
  /** X25519: shares are sealed to it. */
  readonly channel: Uint8Array
  /** X25519: pairwise masks are agreed with it. */
  readonly mask: Uint8Array
  /** Commitment to the seed of the peer's own mask. */
  readonly seed: Uint8Array
}
/** Its secrets, shared among the directory's peers. */
export interface Shares extends Signed {
  readonly kind: 'shares'
  readonly directory: Uint8Array
  /** `sealedBytes` for each peer of the directory, itself included. */
  readonly sealed: Uint8Array
  /** For each peer: the commitments to its share of the seed and of the mask key. */
  readonly commitments: Uint8Array
}
/** Its masked contribution. */
export interface Input extends Signed {
  readonly kind: 'input'
  readonly directory: Uint8Array
  /** The peers that it shares a mask with. */
  readonly dealers: Uint8Array
  /** Digest of the commitments that it has been shown: nobody can blame it for another's. */
  readonly commitments: Uint8Array
  readonly input: string
  readonly bytes: number
}
/** It agrees that these, and no others, are left. At most one in a session. */
export interface Consent extends Signed {
  readonly kind: 'consent'
  readonly directory: Uint8Array
  readonly dealers: Uint8Array
  readonly survivors: Uint8Array
}
/** Its shares of the survivors' seeds and of the others' mask keys. */
export interface Reveal extends Signed {
  readonly kind: 'reveal'
  readonly directory: Uint8Array
  readonly survivors: Uint8Array
  /** The dealers that it has a good share of. */
  readonly held: Uint8Array
  /** 32 bytes for each of them. */
  readonly shares: Uint8Array
}
export type Statement = Keys | Shares | Input | Consent | Reveal
export type StatementKind = Statement['kind']

type Unsigned<S extends Statement> = S extends Statement ? Omit<S, 'peer' | 'document'> : never
/** A statement that is yet to be signed. */
export type StatementBody = Unsigned<Statement>

const exactly = (length: number) =>
  z.custom<Uint8Array>((value) => value instanceof Uint8Array && value.length === length, `must be ${length} bytes`)
const placeFields = { v: z.literal(1), run: cidField, round: roundField, attempt: attemptField }
const setField = bytesField(peerSetBytes(maxPeers))
const digestField = exactly(digestBytes)

const schemas = {
  keys: z.strictObject({ ...placeFields, channel: exactly(keyBytes), mask: exactly(keyBytes), seed: digestField }),
  shares: z.strictObject({
    ...placeFields,
    directory: digestField,
    sealed: bytesField(maxPeers * sealedBytes),
    commitments: bytesField(maxPeers * 2 * commitmentBytes),
  }),
  input: z.strictObject({
    ...placeFields,
    directory: digestField,
    dealers: setField,
    commitments: digestField,
    input: cidField,
    bytes: z.int().min(1).max(maxUpdateBytes),
  }),
  consent: z.strictObject({ ...placeFields, directory: digestField, dealers: setField, survivors: setField }),
  reveal: z.strictObject({
    ...placeFields,
    directory: digestField,
    survivors: setField,
    held: setField,
    shares: bytesField(maxPeers * 32),
  }),
} satisfies Readonly<Record<StatementKind, z.ZodType>>

/** The largest signed document of each kind, with 512 bytes for keys, lengths and the signature. */
export const maxStatementBytes: Readonly<Record<StatementKind, number>> = {
  keys: 1024,
  shares: maxPeers * (sealedBytes + 2 * commitmentBytes) + 512,
  input: 1024,
  consent: 1024,
  reveal: maxPeers * 32 + 1024,
}

export function signStatement(identity: Identity, body: StatementBody): Statement {
  const { kind, run, ...rest } = body
  const links = 'input' in rest ? { input: CID.parse(rest.input) } : {}
  const payload = encode({ v: 1, run: CID.parse(run), ...rest, ...links })
  return openStatement(kind, identity.sign(domainOf(kind), payload))
}

/** @throws RejectedError `oversized`, `malformed`, `invalid_signature`, `schema_mismatch` */
export function openStatement<K extends StatementKind>(kind: K, document: Uint8Array): Extract<Statement, { kind: K }>
export function openStatement(kind: StatementKind, document: Uint8Array): Statement {
  const limit = maxStatementBytes[kind]
  const { payload, author } = verifySigned(domainOf(kind), document, limit)
  const { v: _, run, ...body } = decode<{ v: 1; run: CID; input?: CID }>(payload, schemas[kind], limit)
  const links = body.input === undefined ? {} : { input: `${body.input}` }
  // The schema of the kind has just been checked.
  return { ...body, ...links, kind, run: `${run}`, peer: author.toString(), document } as unknown as Statement
}

function domainOf(kind: StatementKind): string {
  return `secure-aggregation/${kind}`
}
