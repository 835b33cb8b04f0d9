import { z } from 'zod'
import { decode, encode, RejectedError } from '../lib/index.ts'
import {
  type Bits,
  blockCount,
  dequantise,
  isCanonical,
  type Quantised,
  quantise,
  squaredNorm,
  valueBytes,
} from './quantise.ts'

/** What an update may have on the wire: a push carries it whole. */
export const maxUpdateBytes = 15 * 1024 * 1024
/** Beyond the codes and exponents: keys and lengths of the block. */
const overheadBytes = 256

const blockSchema = z.strictObject({
  v: z.literal(1),
  bits: z.union([z.literal(4), z.literal(8)]),
  length: z
    .int()
    .min(1)
    .max(maxUpdateBytes * 2),
  exponents: z.instanceof(Uint8Array),
  values: z.instanceof(Uint8Array),
})

/** What a run asks of every update. */
export interface UpdateShape {
  readonly bits: Bits
  readonly length: number
  readonly clipNorm: number
}

export function updateBytesOf(length: number, bits: Bits): number {
  return valueBytes(length, bits) + blockCount(length) + overheadBytes
}

export function encodeUpdate(quantised: Quantised): Uint8Array {
  const { bits, length, exponents, values } = quantised
  const bytes = new Uint8Array(exponents.buffer, exponents.byteOffset, exponents.byteLength)
  return encode({ v: 1, bits, length, exponents: bytes, values })
}

/** @throws RejectedError `oversized`, `malformed`, `schema_mismatch`, `wrong_shape`, `not_canonical`, `over_bound` */
export function decodeUpdate(bytes: Uint8Array, shape: UpdateShape): Quantised {
  const block = decode(bytes, blockSchema, Math.min(maxUpdateBytes, updateBytesOf(shape.length, shape.bits)))
  if (block.bits !== shape.bits || block.length !== shape.length) {
    throw new RejectedError(
      'reject',
      'wrong_shape',
      `The run has ${shape.length} weights of ${shape.bits} bits, the update ${block.length} of ${block.bits}.`,
    )
  }
  const { exponents } = block
  const quantised: Quantised = {
    bits: block.bits,
    length: block.length,
    exponents: new Int8Array(exponents.buffer, exponents.byteOffset, exponents.byteLength),
    values: block.values,
  }
  if (!isCanonical(quantised)) throw new RejectedError('reject', 'not_canonical', 'The update has codes out of range.')
  // MODEL-07. A double in index order: every member comes to the same verdict.
  if (!(squaredNorm(quantised) <= shape.clipNorm * shape.clipNorm)) {
    throw new RejectedError('reject', 'over_bound', `The update is longer than the run's bound of ${shape.clipNorm}.`)
  }
  return quantised
}

/**
 * Clips to the run's bound and quantises. What is sent and what was meant differ; `residual` is the difference, to be
 * added to the next update (error feedback, Seide et al. 2014).
 */
export function compressDelta(
  delta: Float32Array,
  shape: UpdateShape,
): { readonly quantised: Quantised; readonly residual: Float32Array } {
  let squares = 0
  for (const value of delta) squares += value * value
  const norm = Math.sqrt(squares)
  // What clipping takes away is not owed later: the residual is that of quantising alone.
  let factor = norm > shape.clipNorm ? shape.clipNorm / norm : 1
  for (;;) {
    const clipped = factor === 1 ? delta : delta.map((value) => value * factor)
    const quantised = quantise(clipped, shape.bits)
    const square = squaredNorm(quantised)
    if (square <= shape.clipNorm * shape.clipNorm) {
      const sent = dequantise(quantised)
      return { quantised, residual: clipped.map((value, i) => value - sent[i]!) }
    }
    // Rounding pushed it over the bound: a little shorter, until it fits.
    factor *= Math.min(0.999, (shape.clipNorm / Math.sqrt(square)) * 0.9999)
  }
}
