import { z } from 'zod'
import { decode, encode, RejectedError } from '../../lib/index.ts'
import { bytesField } from '../fields.ts'
import { maxUpdateBytes } from '../update-block.ts'
import {
  checkShape,
  maxLength,
  maxModulusBits,
  modulusBits,
  pack,
  packedBytes,
  type SumShape,
  unpack,
} from './sum-shape.ts'

/** A masked contribution as a block of the content store. */

/** Beyond the packed elements: keys and lengths of the block. */
const overheadBytes = 64

const blockSchema = z.strictObject({
  v: z.literal(1),
  /** w: elements are modulo 2^w. */
  bits: z.int().min(1).max(maxModulusBits),
  length: z.int().min(1).max(maxLength),
  elements: bytesField(maxUpdateBytes),
})

/** The most that a block of this shape takes. @throws OwmError `bad_privacy` */
export function maxInputBytes(shape: SumShape): number {
  checkShape(shape)
  return Math.min(maxUpdateBytes, packedBytes(shape) + overheadBytes)
}

/** `elements` modulo 2^w. */
export function encodeInput(elements: Uint32Array, shape: SumShape): Uint8Array {
  return encode({ v: 1, bits: modulusBits(shape), length: elements.length, elements: pack(elements, shape) })
}

/** @throws RejectedError `oversized`, `malformed`, `schema_mismatch`, `wrong_shape`, `not_canonical` */
export function decodeInput(bytes: Uint8Array, shape: SumShape): Uint32Array {
  const block = decode(bytes, blockSchema, maxInputBytes(shape))
  if (block.bits !== modulusBits(shape) || block.length !== shape.length) {
    const expected = `${shape.length} elements of ${modulusBits(shape)} bits`
    throw new RejectedError(
      'reject',
      'wrong_shape',
      `The sum has ${expected}, the input ${block.length} of ${block.bits}.`,
    )
  }
  const elements = unpack(block.elements, shape)
  if (elements === null)
    throw new RejectedError('reject', 'not_canonical', 'The input has bytes or bits too many or few.')
  return elements
}
