import { CID } from 'multiformats/cid'
import { z } from 'zod'
import { decode, encode, OwmError } from '../lib/index.ts'
import { cidField, roundField } from './fields.ts'
import { maxRosterPeers } from './roster.ts'

export const maxManifestBytes = 128 * 1024
/** 1 GiB of weights: what one process can hold several copies of. */
export const maxWeightsBytes = 1024 * 1024 * 1024
/** An outer optimizer keeps two numbers for a weight at most, and the compression of steps one. */
export const maxCarriedBytes = 3 * maxWeightsBytes

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
  /** What makes the weights of those before; null where the run does not compress steps. */
  readonly step: string | null
  /** What the run's rule carries on beside the weights; null where that is nothing. */
  readonly carried: string | null
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
  step: cidField.nullable(),
  carried: cidField.nullable(),
})

export function encodeManifest(manifest: CheckpointManifest): Uint8Array {
  const { run, parent, parentCertificate, updates, weights, step, carried, ...rest } = manifest
  const link = (cid: string): CID => CID.parse(cid)
  return encode({
    v: 1,
    ...rest,
    run: link(run),
    parent: link(parent),
    parentCertificate: link(parentCertificate),
    updates: updates.map(link),
    weights: link(weights),
    step: step && link(step),
    carried: carried && link(carried),
  })
}

/** @throws RejectedError `oversized`, `malformed`, `schema_mismatch` */
export function decodeManifest(bytes: Uint8Array): CheckpointManifest {
  const { v: _, ...manifest } = decode(bytes, manifestSchema, maxManifestBytes)
  const { run, parent, parentCertificate, updates, weights, step, carried } = manifest
  return {
    ...manifest,
    run: `${run}`,
    parent: `${parent}`,
    parentCertificate: `${parentCertificate}`,
    updates: updates.map((cid) => `${cid}`),
    weights: `${weights}`,
    step: step && `${step}`,
    carried: carried && `${carried}`,
  }
}

/** Float32, little-endian, as every machine that runs Node is. */
export function weightsToBytes(weights: Float32Array): Uint8Array {
  return new Uint8Array(weights.buffer, weights.byteOffset, weights.byteLength)
}

/** A copy: the bytes may lie at an odd offset. @throws OwmError `corrupt` */
export function weightsFromBytes(bytes: Uint8Array): Float32Array {
  if (bytes.byteLength % 4 !== 0) throw new OwmError('corrupt', `${bytes.byteLength} bytes are no float32 weights.`)
  return new Float32Array(new Uint8Array(bytes).buffer)
}
