import { createHash } from 'node:crypto'
import * as dagCbor from '@ipld/dag-cbor'
import { blake3 } from '@napi-rs/blake-hash'
import { CID } from 'multiformats/cid'
import * as Digest from 'multiformats/hashes/digest'
import type { ZodType } from 'zod'
import { equalBytes } from './bytes.ts'
import { RejectedError } from './errors.ts'

/** Multicodec numbers (multiformats/multicodec table). */
export const codecs = { raw: 0x55, dagCbor: 0x71 } as const
export const hashes = { sha256: 0x12, blake3: 0x1e } as const

/** Canonical dag-cbor: one value, one encoding (IPLD dag-cbor specification). */
export function encode(value: unknown): Uint8Array {
  return dagCbor.encode(value)
}

/**
 * Decodes bytes from anywhere. The limit is checked before parsing, the encoding must be the canonical one, and the
 * value must fit the schema.
 *
 * @throws RejectedError `oversized`, `malformed` or `schema_mismatch`, all with fault `reject`
 */
export function decode<T>(bytes: Uint8Array, schema: ZodType<T>, maxBytes: number): T {
  if (bytes.byteLength > maxBytes) {
    throw new RejectedError(
      'reject',
      'oversized',
      `A message of ${bytes.byteLength} bytes is over the limit of ${maxBytes}.`,
    )
  }
  let value: unknown
  try {
    value = dagCbor.decode(bytes)
    if (!equalBytes(dagCbor.encode(value), bytes)) throw new Error('not the canonical encoding')
  } catch (cause) {
    throw new RejectedError('reject', 'malformed', `Not canonical dag-cbor: ${(cause as Error).message}.`)
  }
  const parsed = schema.safeParse(value)
  if (!parsed.success) {
    const issue = parsed.error.issues[0]
    throw new RejectedError('reject', 'schema_mismatch', `${issue?.path.join('.') || 'message'}: ${issue?.message}`)
  }
  return parsed.data
}

export function blake3Of(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(blake3(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)))
}

export function sha256Of(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(createHash('sha256').update(bytes).digest())
}

/** CIDv1 with BLAKE3-256: of a dag-cbor document by default, of raw bytes with `codecs.raw`. */
export function cidOf(bytes: Uint8Array, codec: number = codecs.dagCbor): CID {
  return CID.createV1(codec, Digest.create(hashes.blake3, blake3Of(bytes)))
}
