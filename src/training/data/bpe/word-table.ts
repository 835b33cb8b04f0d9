/** Numbers for byte strings, in the order in which they came: an open hash table over one buffer, without a string for each. */
export interface WordTable {
  readonly size: number
  /** All words, one behind the other; word N lies from `starts[N]` to `starts[N + 1]`. Replaced as the table grows. */
  readonly bytes: Uint8Array
  readonly starts: Float64Array
  /** The number of `source[from..to]`: what it has, or the next. */
  add(source: Uint8Array, from: number, to: number): number
}

const firstWords = 1024
const firstBytes = 16 * 1024

export function createWordTable(): WordTable {
  let size = 0
  let bytes = new Uint8Array(firstBytes)
  let starts = new Float64Array(firstWords + 1)
  let hashes = new Int32Array(firstWords)
  /** A word's number and one, or 0. Twice as many places as words at least. */
  let slots = new Int32Array(4 * firstWords)

  const place = (number: number): void => {
    const mask = slots.length - 1
    let at = hashes[number]! & mask
    while (slots[at] !== 0) at = (at + 1) & mask
    slots[at] = number + 1
  }
  const equals = (number: number, source: Uint8Array, from: number, length: number): boolean => {
    const start = starts[number]!
    if (starts[number + 1]! - start !== length) return false
    for (let i = 0; i < length; i++) if (bytes[start + i] !== source[from + i]) return false
    return true
  }
  const append = (source: Uint8Array, from: number, to: number, hash: number): void => {
    const start = starts[size]!
    const end = start + to - from
    if (end > bytes.length) bytes = grown(bytes, new Uint8Array(2 * end))
    if (size === hashes.length) {
      hashes = grown(hashes, new Int32Array(2 * size))
      starts = grown(starts, new Float64Array(2 * size + 1))
    }
    for (let i = from; i < to; i++) bytes[start + i - from] = source[i]!
    hashes[size] = hash
    starts[++size] = end
    if (2 * size <= slots.length) place(size - 1)
    else {
      slots = new Int32Array(2 * slots.length)
      for (let number = 0; number < size; number++) place(number)
    }
  }

  return {
    get size() {
      return size
    },
    get bytes() {
      return bytes
    },
    get starts() {
      return starts
    },
    add: (source, from, to) => {
      // FNV-1a (Fowler, Noll and Vo), with its high bits stirred into the low ones.
      let hash = 0x811c9dc5
      for (let at = from; at < to; at++) hash = Math.imul(hash ^ source[at]!, 0x01000193)
      hash ^= hash >>> 15
      const mask = slots.length - 1
      for (let at = hash & mask; slots[at] !== 0; at = (at + 1) & mask) {
        const number = slots[at]! - 1
        if (hashes[number] === hash && equals(number, source, from, to - from)) return number
      }
      append(source, from, to, hash)
      return size - 1
    },
  }
}

function grown<T extends Uint8Array | Int32Array | Float64Array>(from: T, to: T): T {
  to.set(from)
  return to
}
