/**
 * The largest of a vector's numbers, in size (Aji and Heafield 2017). The rest is 0 for the receiver, and is sent later
 * by error feedback.
 *
 * Form: how many, in four bytes, lowest first; their indices; the numbers, by another scheme.
 */
import { RejectedError } from '../../lib/index.ts'
import { maxGapBytes, packGaps, unpackGaps } from './gaps.ts'
import type { Scheme } from './scheme.ts'

const headBytes = 4
/** Less rounds to 0 units. */
const least = 0.5

/** @param values writes numbers none of which is 0 */
export function topK(share: number, values: Scheme): Scheme {
  const mostOf = (length: number): number => Math.min(length, Math.ceil(length * share))
  return {
    name: `top ${share} in ${values.name}`,
    maxBytes: (length) => {
      const most = mostOf(length)
      return headBytes + maxGapBytes(most, length) + values.maxBytes(most)
    },
    approximate: (targets, random) => {
      const indices = largest(targets, mostOf(targets.length))
      const kept = values.approximate(
        Float64Array.from(indices, (index) => targets[index]!),
        random,
      )
      const units = new Int32Array(targets.length)
      for (const [i, index] of indices.entries()) units[index] = kept[i]!
      return units
    },
    pack: (units) => {
      const indices = nonZero(units)
      const head = new Uint8Array(headBytes)
      new DataView(head.buffer).setUint32(0, indices.length, true)
      return Buffer.concat([head, packGaps(indices), values.pack(indices.map((index) => units[index]!))])
    },
    unpack: (bytes, length) => {
      if (bytes.length < headBytes) throw new RejectedError('reject', 'malformed', 'A sparse vector has no count.')
      const count = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(0, true)
      if (count > mostOf(length)) {
        throw new RejectedError(
          'reject',
          'malformed',
          `A sparse vector has ${count} numbers of ${mostOf(length)} allowed.`,
        )
      }
      const { indices, end } = unpackGaps(bytes.subarray(headBytes), count, length)
      return spread(values.unpack(bytes.subarray(headBytes + end), count), indices, length)
    },
    reader: (bytes, length) => {
      const count = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(0, true)
      const { indices, end } = unpackGaps(bytes.subarray(headBytes), count, length)
      const units = values.unpack(bytes.subarray(headBytes + end), count)
      return {
        length,
        read: (from, into) => {
          into.fill(0)
          const to = from + into.length
          for (let i = firstAtLeast(indices, from); i < count && indices[i]! < to; i++) {
            into[indices[i]! - from] = units[i]!
          }
        },
      }
    },
  }
}

/** The place of the first index that is not below `least`. */
function firstAtLeast(indices: Int32Array, least: number): number {
  let low = 0
  let high = indices.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (indices[middle]! < least) low = middle + 1
    else high = middle
  }
  return low
}

function spread(values: Int32Array, indices: Int32Array, length: number): Int32Array {
  const units = new Int32Array(length)
  for (let i = 0; i < values.length; i++) units[indices[i]!] = values[i]!
  return units
}
function nonZero(units: Int32Array): Int32Array {
  const indices = new Int32Array(units.length)
  let count = 0
  for (let i = 0; i < units.length; i++) if (units[i] !== 0) indices[count++] = i
  return indices.slice(0, count)
}

/** Their indices, rising. Of equals, those that come first. */
function largest(targets: Float64Array, count: number): Int32Array {
  if (count === 0) return new Int32Array()
  // The bits of floats that are not negative rise as these do: two histograms of 16 bits each find the smallest one kept.
  const sizes = new Float32Array(targets.length)
  for (let i = 0; i < sizes.length; i++) {
    const size = Math.abs(targets[i]!)
    if (size >= least) sizes[i] = size
  }
  const bits = new Uint32Array(sizes.buffer)
  const counts = new Uint32Array(0x1_0000)
  for (let i = 0; i < bits.length; i++) counts[bits[i]! >>> 16]!++
  const high = fromTop(counts, count)
  counts.fill(0)
  for (let i = 0; i < bits.length; i++) if (bits[i]! >>> 16 === high.bin) counts[bits[i]! & 0xffff]!++
  const low = fromTop(counts, high.left)
  const border = high.bin * 0x1_0000 + low.bin
  const kept = new Int32Array(count)
  let at = 0
  let equals = low.left
  for (let i = 0; i < bits.length; i++) {
    const size = bits[i]!
    if (size === 0 || size < border || (size === border && equals-- <= 0)) continue
    kept[at++] = i
  }
  return kept.subarray(0, at)
}

/** The bin with the `count`th from the top, and how many of it are among the `count`. */
function fromTop(counts: Uint32Array, count: number): { readonly bin: number; readonly left: number } {
  let left = count
  let bin = counts.length - 1
  for (; bin > 0 && counts[bin]! < left; bin--) left -= counts[bin]!
  return { bin, left }
}
