/** Patterns of few bits in bytes, in their order: the first in the lowest bits; 16 bits with the low byte first. */
import type { Bits } from './levels.ts'

export function patternBytes(count: number, bits: Bits): number {
  return Math.ceil((count * bits) / 8)
}

export function packPatterns(patterns: Uint16Array, bits: Bits): Uint8Array {
  const bytes = new Uint8Array(patternBytes(patterns.length, bits))
  if (bits === 16) {
    for (let i = 0; i < patterns.length; i++) {
      bytes[2 * i] = patterns[i]!
      bytes[2 * i + 1] = patterns[i]! >> 8
    }
    return bytes
  }
  const each = 8 / bits
  for (let byte = 0, i = 0; byte < bytes.length; byte++) {
    let packed = 0
    for (let at = 0; at < each && i < patterns.length; at++, i++) packed |= patterns[i]! << (at * bits)
    bytes[byte] = packed
  }
  return bytes
}

/** As many as fit: those after the last one that belongs are 0, where the form is canonical. */
export function unpackPatterns(bytes: Uint8Array, bits: Bits): Uint16Array {
  if (bits === 16) {
    const patterns = new Uint16Array(bytes.length >> 1)
    for (let i = 0; i < patterns.length; i++) patterns[i] = bytes[2 * i]! | (bytes[2 * i + 1]! << 8)
    return patterns
  }
  const each = 8 / bits
  const mask = (1 << bits) - 1
  const patterns = new Uint16Array(bytes.length * each)
  for (let byte = 0, i = 0; byte < bytes.length; byte++) {
    for (let rest = bytes[byte]!, at = 0; at < each; at++, i++, rest >>= bits) patterns[i] = rest & mask
  }
  return patterns
}

/** One pattern at a time. */
export function patternReader(bytes: Uint8Array, bits: Bits): (index: number) => number {
  if (bits === 16) return (index) => bytes[2 * index]! | (bytes[2 * index + 1]! << 8)
  if (bits === 8) return (index) => bytes[index]!
  const each = 8 / bits
  const mask = (1 << bits) - 1
  return (index) => (bytes[Math.floor(index / each)]! >> ((index % each) * bits)) & mask
}
