/**
 * Fixed point for updates: blocks of 256 values share an exponent; a value is `q * 2^e` with a small integer q. Powers
 * of two make every sum an integer in units of `2^-24`, exact in a double, hence the same on every machine and in every
 * order.
 */

export type Bits = 4 | 8

export const blockLength = 256
/** The unit of all sums: `2^unitExponent`. */
export const unitExponent = -24
/** With these, `q * 2^(e - unitExponent)` stays below 2^27, which leaves 2^26 for the weights of a sum. */
export const maxExponent: Readonly<Record<Bits, number>> = { 8: -4, 4: 0 }
/** The largest total weight with which a sum is exact. */
export const maxTotalSamples = 2 ** 26

export interface Quantised {
  readonly bits: Bits
  readonly length: number
  /** One per block. */
  readonly exponents: Int8Array
  /** int8, or two int4 per byte, low half first; the last half byte of an odd length is zero. */
  readonly values: Uint8Array
}

/** The largest |q|: symmetric, the lowest code is not used. */
export function maxCode(bits: Bits): number {
  return bits === 8 ? 127 : 7
}

export function blockCount(length: number): number {
  return Math.ceil(length / blockLength)
}
export function valueBytes(length: number, bits: Bits): number {
  return bits === 8 ? length : Math.ceil(length / 2)
}

/** Rounds to nearest. Values beyond the range are cut to it. NaN becomes 0. */
export function quantise(input: Float32Array, bits: Bits): Quantised {
  const exponents = new Int8Array(blockCount(input.length))
  const values = new Uint8Array(valueBytes(input.length, bits))
  const most = maxCode(bits)
  for (let block = 0; block < exponents.length; block++) {
    const from = block * blockLength
    const to = Math.min(input.length, from + blockLength)
    let peak = 0
    for (let i = from; i < to; i++) peak = Math.max(peak, Math.abs(input[i]!) || 0)
    let exponent = maxExponent[bits]
    while (exponent > unitExponent && peak <= most * 2 ** (exponent - 1)) exponent--
    exponents[block] = exponent
    const scale = 2 ** -exponent
    for (let i = from; i < to; i++) {
      const code = Math.max(-most, Math.min(most, Math.round((input[i]! || 0) * scale)))
      if (bits === 8) values[i] = code & 0xff
      else values[i >> 1] = values[i >> 1]! | ((code & 0x0f) << ((i & 1) * 4))
    }
  }
  return { bits, length: input.length, exponents, values }
}

/** `2^0` to `2^31`: a table, since this is the inner loop. */
const powers = Float64Array.from({ length: 32 }, (_, i) => 2 ** i)

/** Calls `use` with each value in units of `2^unitExponent`: integers below 2^27. */
function eachUnit(quantised: Quantised, use: (index: number, units: number) => void): void {
  const { bits, length, exponents, values } = quantised
  const codes = new Int8Array(values.buffer, values.byteOffset, values.byteLength)
  for (let i = 0; i < length; i++) {
    const code = bits === 8 ? codes[i]! : ((values[i >> 1]! >> ((i & 1) * 4)) << 28) >> 28
    use(i, code * powers[exponents[i >> 8]! - unitExponent]!)
  }
}

export function dequantise(quantised: Quantised): Float32Array {
  const output = new Float32Array(quantised.length)
  eachUnit(quantised, (i, units) => {
    output[i] = units * 2 ** unitExponent
  })
  return output
}

/** Adds `weight` times the update to the sums. Exact while the weights of a sum stay within `maxTotalSamples`. */
export function addWeighted(sums: Float64Array, quantised: Quantised, weight: number): void {
  eachUnit(quantised, (i, units) => {
    sums[i] = sums[i]! + units * weight
  })
}

/** The L2 norm squared, in index order and doubles: the same everywhere. */
export function squaredNorm(quantised: Quantised): number {
  let sum = 0
  eachUnit(quantised, (_, units) => {
    const value = units * 2 ** unitExponent
    sum += value * value
  })
  return sum
}

/** True when the encoding is the only one of its values' codes: in range, no lowest code, no stray half byte. */
export function isCanonical(quantised: Quantised): boolean {
  const { bits, length, exponents, values } = quantised
  if (exponents.length !== blockCount(length) || values.length !== valueBytes(length, bits)) return false
  for (const exponent of exponents) if (exponent < unitExponent || exponent > maxExponent[bits]) return false
  if (bits === 8) return !values.includes(0x80)
  for (const byte of values) if ((byte & 0x0f) === 0x08 || byte >> 4 === 0x08) return false
  return length % 2 === 0 || values[values.length - 1]! >> 4 === 0
}
