/**
 * The order in which examples are seen: a new permutation for each epoch, of which any place can be told without those
 * before it. A run that is resumed needs nothing but the number of its step.
 */
import { createRandom } from '../../onnx/index.ts'

/** Of a Feistel network; four make a permutation that passes for random (Luby and Rackoff 1988). */
const rounds = 4

/** The example at place `position` of an endless pass over `length` examples, 2^50 at most. */
export function createOrder(length: number, seed: number): (position: number) => number {
  // The smallest square of a power of two that holds them: numbers beyond the length are walked past (Black and Rogaway 2002).
  let halfBits = 1
  while (2 ** (2 * halfBits) < length) halfBits++
  const side = 2 ** halfBits
  let epoch = -1
  let keys: readonly number[] = []
  const permuted = (value: number): number => {
    let left = Math.floor(value / side)
    let right = value % side
    for (const key of keys) [left, right] = [right, (left ^ mixed(right, key)) & (side - 1)]
    return left * side + right
  }
  return (position) => {
    const wanted = Math.floor(position / length)
    if (wanted !== epoch) {
      epoch = wanted
      const random = createRandom(mixed(seed, epoch))
      keys = Array.from({ length: rounds }, () => random.uint32())
    }
    let value = permuted(position % length)
    while (value >= length) value = permuted(value)
    return value
  }
}

/** A hash of two 32-bit numbers (the finalizer of MurmurHash3). */
function mixed(a: number, b: number): number {
  let h = Math.imul(a ^ b, 0x9e3779b1) ^ Math.imul(b, 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}
