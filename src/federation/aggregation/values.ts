import { blockLength, type Quantised, unitExponent } from '../quantise.ts'

/** An update's weights in units of 2^-24, read a block at a time: many updates need not be decoded all at once. */
export interface ValueReader {
  readonly length: number
  /** Fills `into` with the values from `from` on. */
  read(from: number, into: Int32Array): void
}

export function readerOf(values: Int32Array | ValueReader): ValueReader {
  if (!(values instanceof Int32Array)) return values
  return { length: values.length, read: (from, into) => into.set(values.subarray(from, from + into.length)) }
}

/** Of the block-exponent format: codes of at most 127 and 7 times at most 2^20 and 2^24 are below 2^27. */
export function readQuantised({ bits, length, exponents, values }: Quantised): ValueReader {
  const codes = new Int8Array(values.buffer, values.byteOffset, values.byteLength)
  return {
    length,
    read(from, into) {
      let at = 0
      while (at < into.length) {
        const block = Math.floor((from + at) / blockLength)
        const end = Math.min(into.length, (block + 1) * blockLength - from)
        const shift = exponents[block]! - unitExponent
        if (bits === 8) for (; at < end; at++) into[at] = codes[from + at]! << shift
        else for (; at < end; at++) into[at] = nibble(values[(from + at) >> 1]!, from + at) << shift
      }
    },
  }
}

/** The low half of a byte for an even index, the high for an odd one, with its sign. */
function nibble(byte: number, index: number): number {
  return ((byte >> ((index & 1) * 4)) << 28) >> 28
}
