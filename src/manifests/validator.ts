import { z } from 'zod'
import { verifySigned } from '../identity/index.ts'
import { decode, equalBytes, errorCode, errorMessage, type Fault, RejectedError, toHex } from '../lib/index.ts'
import {
  contractSchema,
  headerSchema,
  type ManifestPayload,
  manifestContract,
  manifestDomain,
  maxClockSkewMs,
  maxDocumentBytes,
  maxTtlMs,
  nullableBodySchema,
} from './document.ts'
import type { Known, Verified } from './live-view.ts'

/**
 * A farewell is of use while some peer may still show the manifest before it. It lives as long as the longest life of a
 * manifest.
 */
const farewellValidMs = maxTtlMs

const envelopeSchema = z.strictObject({
  author: z.instanceof(Uint8Array).refine((key) => key.byteLength === 32, { error: 'must have 32 bytes' }),
  payload: z.instanceof(Uint8Array),
  signature: z.instanceof(Uint8Array),
})

export interface ValidatorInit {
  readonly meshId: string
  /** What is known of an author: its highest sequence, and when it may speak again. */
  known(author: string): Known | undefined
}

export type Judgement =
  | { readonly verdict: 'accept'; readonly value: Verified }
  | { readonly verdict: Fault; readonly code: string; readonly message: string }

/**
 * Judges a manifest's bytes against `nowMs` and what is known of its author. Changes nothing and never throws. Cheap
 * checks come first; the signature, most of the cost, comes last, and nothing is believed before it. The rules and
 * their numbers are in `protocols/manifests/README.md`.
 */
export function judgeManifest(bytes: Uint8Array, nowMs: number, init: ValidatorInit): Judgement {
  try {
    return { verdict: 'accept', value: readManifest(bytes, nowMs, init) }
  } catch (error) {
    if (error instanceof RejectedError) return { verdict: error.fault, code: error.code, message: error.message }
    // Ours, not the sender's: nobody is blamed for it.
    return { verdict: 'ignore', code: errorCode(error), message: errorMessage(error) }
  }
}

function readManifest(bytes: Uint8Array, nowMs: number, { meshId, known }: ValidatorInit): Verified {
  const envelope = readEnvelope(bytes)
  const header = readHeader(envelope.payload)
  checkHeader(header, meshId, nowMs)

  const author = toHex(envelope.author)
  const earlier = known(author)
  if (earlier !== undefined) checkAgainstKnown(header.sequence, bytes, nowMs, earlier)

  const body = nullableBodySchema.safeParse(header.body)
  if (!body.success) throw schemaMismatch(body.error)
  if ((body.data === null) !== (header.expiresMs === header.issuedMs)) {
    throw new RejectedError('reject', 'schema_mismatch', 'A manifest with no life has no body, and only such a one.')
  }

  const signed = verifySigned(manifestDomain, bytes, maxDocumentBytes)
  if (earlier !== undefined && header.sequence === earlier.sequence) {
    // Not held against the forwarder: it may have seen only this one of the two, and forwarded it in good faith.
    throw new RejectedError('ignore', 'equivocation', 'The author signed two manifests with one sequence number.')
  }
  return {
    author,
    peer: signed.author,
    // A copy: gossip hands out slices of larger buffers, which would all be kept alive.
    document: new Uint8Array(bytes),
    sequence: header.sequence,
    issuedMs: header.issuedMs,
    expiresMs: header.expiresMs,
    body: body.data,
  }
}

/** As `verifySigned` does, which comes last: what is not a signed document is malformed (`protocols/signed`). */
function readEnvelope(bytes: Uint8Array): z.infer<typeof envelopeSchema> {
  try {
    return decode(bytes, envelopeSchema, maxDocumentBytes)
  } catch (error) {
    if (errorCode(error) !== 'schema_mismatch') throw error
    throw new RejectedError('reject', 'malformed', `Not a signed document: ${errorMessage(error)}`)
  }
}

function readHeader(payload: Uint8Array): z.infer<typeof headerSchema> {
  const loose = decode(payload, contractSchema, maxDocumentBytes)
  if (loose.contract !== manifestContract) {
    throw new RejectedError('ignore', 'unknown_contract', `Contract ${loose.contract} is not ${manifestContract}.`)
  }
  const header = headerSchema.safeParse(loose)
  if (!header.success) throw schemaMismatch(header.error)
  return header.data
}

function checkHeader(header: Omit<ManifestPayload, 'body'>, meshId: string, nowMs: number): void {
  if (header.mesh !== meshId) throw new RejectedError('reject', 'wrong_mesh', 'The manifest is of another mesh.')
  const ttlMs = header.expiresMs - header.issuedMs
  if (ttlMs < 0) throw new RejectedError('reject', 'schema_mismatch', 'The manifest expires before it is issued.')
  if (ttlMs > maxTtlMs) throw new RejectedError('reject', 'ttl_too_long', `A life of ${ttlMs} ms is over ${maxTtlMs}.`)
  if (header.issuedMs > nowMs + maxClockSkewMs) {
    throw new RejectedError('ignore', 'issued_in_future', `It was issued ${header.issuedMs - nowMs} ms from now.`)
  }
  const endsMs = ttlMs === 0 ? header.issuedMs + farewellValidMs : header.expiresMs
  if (endsMs <= nowMs) throw new RejectedError('ignore', 'expired', `It expired ${nowMs - endsMs} ms ago.`)
}

function checkAgainstKnown(sequence: number, bytes: Uint8Array, nowMs: number, earlier: Known): void {
  const repeated = earlier.document !== undefined && equalBytes(earlier.document, bytes)
  if (sequence < earlier.sequence || repeated || (sequence === earlier.sequence && earlier.document === undefined)) {
    throw new RejectedError('ignore', 'stale_sequence', `Sequence ${sequence} is not above ${earlier.sequence}.`)
  }
  if (earlier.quietUntilMs > nowMs) {
    throw new RejectedError('ignore', 'author_rate', 'The author announces too often.')
  }
}

function schemaMismatch(error: z.ZodError): RejectedError {
  const issue = error.issues[0]
  return new RejectedError('reject', 'schema_mismatch', `${issue?.path.join('.') || 'manifest'}: ${issue?.message}`)
}
