/**
 * Numbers of few bits: blocks of 256 share a step, and each value is a small code times it.
 *
 * Form: a byte for the step of each block, then the pattern of each code. Of all steps with which the codes of a block
 * can be written, the smallest.
 */
import { RejectedError } from '../../lib/index.ts'
import { maxUnits } from './fixed-vector.ts'
import { type Bits, codeOf, type Levels, levelsOf, unused } from './levels.ts'
import { packPatterns, patternBytes, patternReader, unpackPatterns } from './patterns.ts'
import type { Scheme } from './scheme.ts'
import { stepAtLeast, steps } from './steps.ts'

const blockLength = 256
/**
 * Which steps are tried, in places of the table below the one that reaches the peak: eight halve it. With few codes it is
 * worth to cut the peaks off (Banner et al. 2019); what is cut is sent later.
 */
const tries: Readonly<Record<Bits, readonly number[]>> = {
  16: [0],
  8: [0],
  4: [0, 2, 4, 6, 8],
  2: [0, 3, 6, 9, 12, 15],
  1: [0],
}

/** @param sparse the numbers are what top-k keeps: none rounds to 0 units */
export function quantising(bits: Bits, sparse: boolean): Scheme {
  const levels = levelsOf(bits, sparse)
  const maxStep = steps.findLastIndex((step) => step * levels.most <= maxUnits)
  return {
    name: bits === 1 ? 'sign' : `${bits} bits`,
    maxBytes: (length) => blockCount(length) + patternBytes(length, bits),
    approximate: (targets, random) => {
      const units = new Int32Array(targets.length)
      for (let from = 0; from < targets.length; from += blockLength) {
        const to = Math.min(targets.length, from + blockLength)
        const step = steps[bestStep(levels, maxStep, targets, from, to, random !== undefined)]!
        if (step === 0) continue
        for (let i = from; i < to; i++) units[i] = codeOf(targets[i]! / step, levels, random?.unit()) * step
      }
      return units
    },
    pack: (units) => {
      const chosen = new Uint8Array(blockCount(units.length))
      const patterns = new Uint16Array(units.length)
      for (let block = 0, from = 0; block < chosen.length; block++, from += blockLength) {
        const to = Math.min(units.length, from + blockLength)
        const byte = canonicalStep(levels, units, from, to)
        chosen[block] = byte
        const step = steps[byte]!
        if (step === 0) continue
        for (let i = from; i < to; i++) patterns[i] = levels.patterns[units[i]! / step + levels.most]!
      }
      return Buffer.concat([chosen, packPatterns(patterns, bits)])
    },
    unpack: (bytes, length) => {
      const blocks = blockCount(length)
      if (bytes.length !== blocks + patternBytes(length, bits)) {
        throw new RejectedError(
          'reject',
          'wrong_size',
          `${bytes.length} bytes are not ${length} numbers of ${bits} bits.`,
        )
      }
      const patterns = unpackPatterns(bytes.subarray(blocks), bits)
      if (patterns.subarray(length).some((pattern) => pattern !== 0)) throw notCanonical('its last bits are not 0')
      const units = new Int32Array(length)
      for (let block = 0, from = 0; block < blocks; block++, from += blockLength) {
        const to = Math.min(length, from + blockLength)
        const byte = bytes[block]!
        if (byte > maxStep || (sparse && byte === 0)) throw notCanonical('a step is out of range')
        const step = steps[byte]!
        for (let i = from; i < to; i++) {
          const pattern = patterns[i]!
          const code = levels.codes[pattern]!
          if (code === unused || (step === 0 && pattern !== 0)) throw notCanonical('a code is not in use')
          units[i] = code * step
        }
        if (canonicalStep(levels, units, from, to) !== byte) throw notCanonical('another step says the same')
      }
      return units
    },
    reader: (bytes, length) => {
      const patternAt = patternReader(bytes.subarray(blockCount(length)), bits)
      return {
        length,
        read: (from, into) => {
          for (let at = 0; at < into.length; ) {
            const block = Math.floor((from + at) / blockLength)
            const end = Math.min(into.length, (block + 1) * blockLength - from)
            const step = steps[bytes[block]!]!
            for (; at < end; at++) into[at] = levels.codes[patternAt(from + at)]! * step
          }
        },
      }
    },
  }
}

function blockCount(length: number): number {
  return Math.ceil(length / blockLength)
}

/** The byte of the step with the least squared error among a few, or for random rounding of the one that cuts nothing. */
function bestStep(
  levels: Levels,
  maxStep: number,
  targets: Float64Array,
  from: number,
  to: number,
  uncut: boolean,
): number {
  let peak = 0
  let sum = 0
  for (let i = from; i < to; i++) {
    const size = Math.abs(targets[i]!)
    sum += size
    if (size > peak) peak = size
  }
  // Less than half of the smallest step is nothing.
  if (peak < 0.5) return 0
  const top = Math.min(maxStep, stepAtLeast(peak / levels.most))
  if (uncut) return top
  if (levels.bits === 1) {
    // For +-step, the mean size is best (Bernstein et al. 2018; Karimireddy et al. 2019).
    const mean = sum / (to - from)
    const above = stepAtLeast(mean)
    const below = Math.max(0, above - 1)
    return Math.min(maxStep, steps[above]! - mean <= mean - steps[below]! ? above : below)
  }
  let best = top
  let least = Number.POSITIVE_INFINITY
  for (const lower of tries[levels.bits]) {
    const byte = Math.max(1, top - lower)
    const error = squaredError(levels, targets, from, to, steps[byte]!)
    // It falls, and then rises.
    if (error >= least) break
    least = error
    best = byte
  }
  return best
}

function squaredError(levels: Levels, targets: Float64Array, from: number, to: number, step: number): number {
  let sum = 0
  for (let i = from; i < to; i++) {
    const off = targets[i]! - codeOf(targets[i]! / step, levels) * step
    sum += off * off
  }
  return sum
}

/** The byte of the smallest step of which all of the block's numbers are multiples by codes. */
function canonicalStep({ most, kind }: Levels, units: Int32Array, from: number, to: number): number {
  let peak = 0
  for (let i = from; i < to; i++) peak = Math.max(peak, Math.abs(units[i]!))
  if (peak === 0) return 0
  let divisor = peak
  const enough = Math.ceil(peak / most)
  for (let i = from; i < to && divisor > enough; i++) divisor = greatestDivisor(divisor, Math.abs(units[i]!))
  for (let byte = stepAtLeast(enough); byte < steps.length && steps[byte]! <= divisor; byte++) {
    const step = steps[byte]!
    if (divisor % step === 0 && (kind !== 'odd' || (divisor / step) % 2 === 1)) return byte
  }
  throw new RangeError('These numbers have no common step.')
}

function greatestDivisor(a: number, b: number): number {
  while (b !== 0) [a, b] = [b, a % b]
  return a
}

function notCanonical(what: string): RejectedError {
  return new RejectedError('reject', 'not_canonical', `The numbers of a vector are not in their one form: ${what}.`)
}
