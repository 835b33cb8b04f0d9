import { createCipheriv } from 'node:crypto'

/**
 * Pseudo-random words: the key stream of AES-256-CTR with a counter from zero (NIST SP 800-38A), read as uint32,
 * little-endian. A key is used for one stream and nothing else, so the constant counter is safe.
 */

export const keyBytes = 32
/** Small enough to stay in the second cache, large enough that the calls cost little. */
const chunkBytes = 64 * 1024
const zeros = new Uint8Array(chunkBytes)
const counterFromZero = new Uint8Array(16)

/** Calls `use` with the first `words` words of the key's stream, part by part. */
export function eachKeystreamPart(
  key: Uint8Array,
  words: number,
  use: (part: Uint32Array, from: number) => void,
): void {
  const cipher = createCipheriv('aes-256-ctr', key, counterFromZero)
  for (let from = 0; from < words; from += chunkBytes / 4) {
    const count = Math.min(chunkBytes / 4, words - from)
    use(wordsOf(cipher.update(zeros.subarray(0, count * 4))), from)
  }
}

/** The first `words` words of the key's stream. */
export function keystream(key: Uint8Array, words: number): Uint32Array {
  const stream = new Uint32Array(words)
  eachKeystreamPart(key, words, (part, from) => stream.set(part, from))
  return stream
}

/** Random numbers from a secret key: for sampling noise. Each stream of a key gives the same numbers. */
export class RandomWords {
  readonly #cipher
  #part: Uint32Array = new Uint32Array(0)
  #next = 0

  constructor(key: Uint8Array) {
    this.#cipher = createCipheriv('aes-256-ctr', key, counterFromZero)
  }

  /** Uniform in `[0, 2^32)`. */
  word(): number {
    if (this.#next === this.#part.length) {
      this.#part = wordsOf(this.#cipher.update(zeros))
      this.#next = 0
    }
    return this.#part[this.#next++]!
  }

  /** Uniform in `[0, limit)`, without bias; `limit` is an integer of 1 to 2^53. */
  below(limit: number): number {
    if (limit <= 2 ** 32) {
      const fair = 2 ** 32 - (2 ** 32 % limit)
      for (;;) {
        const drawn = this.word()
        if (drawn < fair) return drawn % limit
      }
    }
    const fair = 2 ** 53 - (2 ** 53 % limit)
    for (;;) {
      const drawn = (this.word() >>> 11) * 2 ** 32 + this.word()
      if (drawn < fair) return drawn % limit
    }
  }

  /** As `below`, for limits of any size. */
  belowBig(limit: bigint): bigint {
    const bits = limit.toString(2).length
    const spare = BigInt((32 - (bits % 32)) % 32)
    for (;;) {
      let drawn = 0n
      for (let drawnBits = 0; drawnBits < bits; drawnBits += 32) drawn = (drawn << 32n) | BigInt(this.word())
      drawn >>= spare
      if (drawn < limit) return drawn
    }
  }
}

function wordsOf(bytes: Buffer): Uint32Array {
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : Uint8Array.from(bytes)
  return new Uint32Array(aligned.buffer, aligned.byteOffset, aligned.byteLength / 4)
}
