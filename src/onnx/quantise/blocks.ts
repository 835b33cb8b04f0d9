/** Numbers as small integers with a common scale: w is about code * scale, off by half the scale at most. */
import { OwmError } from '../../lib/index.ts'
import type { PackedTensor } from '../model.ts'

export interface QuantisedMatrix {
  /** [rows, columns], each from -limit to limit. */
  readonly codes: Int8Array
  /** [ceil(rows / block), columns] */
  readonly scales: Float32Array
}

/** The largest code: as many below zero as above, so that zero is a code. */
export const largestCode = { 8: 127, 4: 7 } as const

/**
 * Quantises a matrix [rows, columns] by columns, cut in blocks of so many rows, each with a scale of its own.
 *
 * @throws OwmError `not_finite`
 */
export function quantiseColumns(
  values: Float32Array,
  columns: number,
  { bits, block }: { readonly bits: 4 | 8; readonly block: number },
): QuantisedMatrix {
  const rows = values.length / columns
  const limit = largestCode[bits]
  const codes = new Int8Array(values.length)
  const scales = new Float32Array(Math.ceil(rows / block) * columns)
  for (let from = 0; from < rows; from += block) {
    const to = Math.min(rows, from + block)
    const own = scales.subarray((from / block) * columns, (from / block + 1) * columns)
    for (let row = from; row < to; row++) {
      for (let column = 0; column < columns; column++) {
        const size = Math.abs(values[row * columns + column]!)
        if (!(size < Number.POSITIVE_INFINITY)) {
          throw new OwmError('not_finite', 'A weight that is not a number, or infinite, has no integer.')
        }
        if (size > own[column]!) own[column] = size
      }
    }
    // Where all is zero, or so small that its scale would be, every code is zero and any scale serves.
    for (let column = 0; column < columns; column++) own[column] = Math.fround(own[column]! / limit) || 1
    for (let row = from; row < to; row++) {
      for (let column = 0; column < columns; column++) {
        const at = row * columns + column
        const code = Math.round(values[at]! / own[column]!)
        codes[at] = Math.max(-limit, Math.min(limit, code))
      }
    }
  }
  return { codes, scales }
}

/** Codes as a tensor; two of four bits share a byte, the first in its low half. */
export function packed(codes: Int8Array, shape: readonly number[], bits: 4 | 8): PackedTensor {
  if (bits === 8) return { type: 'int8', shape, data: new Uint8Array(codes.buffer, codes.byteOffset, codes.length) }
  const data = new Uint8Array(Math.ceil(codes.length / 2))
  for (let at = 0; at < codes.length; at++) data[at >> 1]! |= (codes[at]! & 15) << (4 * (at & 1))
  return { type: 'int4', shape, data }
}
