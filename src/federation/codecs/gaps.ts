/**
 * Rising indices as the gaps between them, in Golomb's code for powers of two (Golomb 1966; Rice and Plaunt 1971): a gap
 * divided by `2^r` in unary, ones ended by a zero, then the remainder in r bits. The lowest bit of a byte comes first.
 *
 * Form: r in one byte, and the gaps. r is the one with which they are shortest; of two, the smaller.
 */
import { RejectedError } from '../../lib/index.ts'

const maxRice = 31

/** For `count` indices below `length`, with any r that is chosen well. */
export function maxGapBytes(count: number, length: number): number {
  if (count === 0) return 1
  // With r the whole part of log2(length / count), the unary parts have fewer than 2 count ones.
  const rice = 31 - Math.clz32(Math.max(1, Math.floor(length / count)))
  return 1 + Math.ceil((count * (rice + 3)) / 8)
}

export function packGaps(indices: Int32Array): Uint8Array {
  const gaps = indices.map((index, i) => index - (i === 0 ? 0 : indices[i - 1]! + 1))
  const rice = shortest(gaps)
  const bytes = new Uint8Array(1 + Math.ceil(bitsOf(gaps, rice) / 8))
  bytes[0] = rice
  let at = 8
  const one = (): void => {
    bytes[at >> 3] = bytes[at >> 3]! | (1 << (at & 7))
    at++
  }
  for (const gap of gaps) {
    for (let unary = gap >>> rice; unary > 0; unary--) one()
    at++
    for (let bit = 0; bit < rice; bit++) {
      if ((gap >>> bit) & 1) one()
      else at++
    }
  }
  return bytes
}

/**
 * Reads `count` indices below `length`.
 *
 * @returns the indices, and where what follows begins
 * @throws RejectedError `malformed`, `not_canonical`
 */
export function unpackGaps(bytes: Uint8Array, count: number, length: number): { indices: Int32Array; end: number } {
  const rice = bytes[0]
  if (rice === undefined) throw malformed('they have no r')
  const indices = new Int32Array(count)
  const gaps = new Int32Array(count)
  const endBit = bytes.length * 8
  let at = 8
  let next = 0
  for (let i = 0; i < count; i++) {
    let unary = 0
    // Neither runs longer than the bytes are, nor past the last index.
    for (; at < endBit && (bytes[at >> 3]! >> (at & 7)) & 1; at++) unary++
    at++
    if (at + rice > endBit) throw malformed('they end early')
    let rest = 0
    for (let bit = 0; bit < rice; bit++, at++) rest += ((bytes[at >> 3]! >> (at & 7)) & 1) * 2 ** bit
    const gap = unary * 2 ** rice + rest
    if (gap >= length - next) throw malformed('one is out of range')
    gaps[i] = gap
    indices[i] = next + gap
    next += gap + 1
  }
  const end = Math.ceil(at / 8)
  if (at % 8 !== 0 && bytes[end - 1]! >> (at % 8) !== 0) throw notCanonical()
  if (rice !== shortest(gaps)) throw notCanonical()
  return { indices, end }
}

/** The length is convex in r: it falls, then rises. */
function shortest(gaps: Int32Array): number {
  let rice = 0
  let least = bitsOf(gaps, 0)
  while (rice < maxRice) {
    const next = bitsOf(gaps, rice + 1)
    if (next >= least) break
    least = next
    rice++
  }
  return rice
}

function bitsOf(gaps: Int32Array, rice: number): number {
  let bits = gaps.length * (rice + 1)
  for (let i = 0; i < gaps.length; i++) bits += gaps[i]! >>> rice
  return bits
}

function malformed(what: string): RejectedError {
  return new RejectedError('reject', 'malformed', `The indices of a sparse vector cannot be read: ${what}.`)
}
function notCanonical(): RejectedError {
  return new RejectedError('reject', 'not_canonical', 'The indices of a sparse vector are not in their one form.')
}
