import { type Quantised, unitExponent } from '../quantise.ts'

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
export function readQuantised(quantised: Quantised): ValueReader {
  const { bits, length, exponents, values } = quantised
  return {
    length,
    read(from, into) {
      for (let at = 0; at < into.length; at++) {
        const i = from + at
        const code = bits === 8 ? (values[i]! << 24) >> 24 : ((values[i >> 1]! >> ((i & 1) * 4)) << 28) >> 28
        into[at] = code << (exponents[i >> 8]! - unitExponent)
      }
    },
  }
}
