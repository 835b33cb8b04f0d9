import { CID } from 'multiformats/cid'
import { z } from 'zod'
import { decode, encode, OwmError } from '../lib/index.ts'
import { cidField, roundField } from './fields.ts'
import { maxRosterPeers } from './roster.ts'

export const maxManifestBytes = 128 * 1024
/** 1 GiB of weights: what one process can hold several copies of. */
export const maxWeightsBytes = 1024 * 1024 * 1024

/** What a checkpoint's CID names: whence the weights come and what they are. */
export interface CheckpointManifest {
  readonly name: string
  readonly run: string
  readonly round: number
  /** The checkpoint before; the initial weights, in the first round. */
  readonly parent: string
  /** Id of the certificate before; of the run, in the first round. */
  readonly parentCertificate: string
  readonly updates: readonly string[]
  readonly weights: string
  /** SHA-256 of the weights (MODEL-09). */
  readonly sha256: Uint8Array
  readonly size: number
}

const manifestSchema = z.strictObject({
  v: z.literal(1),
  name: z.string().max(64),
  run: cidField,
  round: roundField,
  parent: cidField,
  parentCertificate: cidField,
  updates: z.array(cidField).min(1).max(maxRosterPeers),
  weights: cidField,
  sha256: z.instanceof(Uint8Array).refine((bytes) => bytes.byteLength === 32, 'must have 32 bytes'),
  size: z.int().min(4).max(maxWeightsBytes).multipleOf(4),
})

export function encodeManifest(manifest: CheckpointManifest): Uint8Array {
  const { run, parent, parentCertificate, updates, weights, ...rest } = manifest
  const link = (cid: string): CID => CID.parse(cid)
  return encode({
    v: 1,
    ...rest,
    run: link(run),
    parent: link(parent),
    parentCertificate: link(parentCertificate),
    updates: updates.map(link),
    weights: link(weights),
  })
}

/** @throws RejectedError `oversized`, `malformed`, `schema_mismatch` */
export function decodeManifest(bytes: Uint8Array): CheckpointManifest {
  const {
    v: _,
    run,
    parent,
    parentCertificate,
    updates,
    weights,
    ...rest
  } = decode(bytes, manifestSchema, maxManifestBytes)
  return {
    ...rest,
    run: `${run}`,
    parent: `${parent}`,
    parentCertificate: `${parentCertificate}`,
    updates: updates.map((cid) => `${cid}`),
    weights: `${weights}`,
  }
}

/** Float32, little-endian, as every machine that runs Node is. */
export function weightsToBytes(weights: Float32Array): Uint8Array {
  return new Uint8Array(weights.buffer, weights.byteOffset, weights.byteLength)
}

/** A copy: the bytes may lie at an odd offset. @throws OwmError `corrupt` */
export function weightsFromBytes(bytes: Uint8Array): Float32Array {
  if (bytes.byteLength % 4 !== 0) throw new OwmError('corrupt', `${bytes.byteLength} bytes are no float32 weights.`)
  return new Float32Array(bytes.slice().buffer)
}
