/** Text to tokens and back, by the merges of byte-pair encoding. Lossless for any bytes, also such as are no UTF-8. */
import { OwmError } from '../../../lib/index.ts'
import { createHeap } from './heap.ts'
import type { Vocabulary } from './train.ts'
import { createWordTable, type WordTable } from './word-table.ts'
import { eachWord } from './words.ts'

export interface Tokenizer {
  /** Tokens are below this. */
  readonly vocabulary: number
  /** Text is taken as UTF-8. */
  encode(content: Uint8Array | string): Int32Array
  /** @throws OwmError `bad_token` for a number that is no token */
  decode(tokens: ArrayLike<number>): Uint8Array
}

/** Words whose tokens are kept, so that a word is looked into once. */
const maxKnownWords = 1 << 18
const maxKnownWordBytes = 64
/** A longer word is cut: what is needed to join its tokens is twelve times as long. */
const maxPieceBytes = 64 * 1024
/** Ranks and tokens are below 2^20, places in a word below 2^16. */
const radix = 2 ** 20

/** @throws OwmError `bad_tokenizer` unless each byte is a token and each merge makes one */
export function createTokenizer({ tokens, merges }: Vocabulary): Tokenizer {
  const tokenOf = new Map(tokens.map((bytes, token) => [latin(bytes), token]))
  const tokenOfByte = Int32Array.from({ length: 256 }, (_, byte) => {
    const token = tokenOf.get(String.fromCharCode(byte))
    if (token === undefined)
      throw new OwmError('bad_tokenizer', `The byte ${byte} is no token: other bytes than these are lost.`)
    return token
  })
  const ranks = new Map<number, number>()
  const results = Int32Array.from(merges, ([left, right], rank) => {
    const [a, b] = [tokens[left], tokens[right]]
    const token = a === undefined || b === undefined ? undefined : tokenOf.get(latin(a) + latin(b))
    if (token === undefined)
      throw new OwmError('bad_tokenizer', `Merge ${rank}, of the tokens ${left} and ${right}, makes no token.`)
    if (!ranks.has(left * radix + right)) ranks.set(left * radix + right, rank)
    return token
  })

  let known: WordTable = createWordTable()
  /** Tokens of known words, one behind the other. */
  let knownTokens = createTokenList()
  let knownEnds: number[] = []

  // A word as a list that is linked both ways; -1 ends it.
  const symbols = new Int32Array(maxPieceBytes)
  const following = new Int32Array(maxPieceBytes)
  const preceding = new Int32Array(maxPieceBytes)
  const heap = createHeap((a, b) => a < b)
  const offer = (at: number): void => {
    const next = at < 0 ? -1 : following[at]!
    if (next < 0) return
    const rank = ranks.get(symbols[at]! * radix + symbols[next]!)
    if (rank !== undefined) heap.push(rank * maxPieceBytes + at)
  }
  const join = (bytes: Uint8Array, from: number, to: number, into: TokenList): void => {
    const length = to - from
    for (let at = 0; at < length; at++) {
      symbols[at] = tokenOfByte[bytes[from + at]!]!
      following[at] = at + 1 < length ? at + 1 : -1
      preceding[at] = at - 1
    }
    for (let at = 0; at < length - 1; at++) offer(at)
    // The earliest merge first, of equals the leftmost: what was overtaken by another is passed over.
    for (let best = heap.pop(); best !== -1; best = heap.pop()) {
      const rank = Math.floor(best / maxPieceBytes)
      const at = best % maxPieceBytes
      const next = following[at]!
      if (symbols[at]! < 0 || next < 0 || ranks.get(symbols[at]! * radix + symbols[next]!) !== rank) continue
      symbols[at] = results[rank]!
      symbols[next] = -1
      const after = following[next]!
      following[at] = after
      if (after >= 0) preceding[after] = at
      offer(preceding[at]!)
      offer(at)
    }
    for (let at = 0; at >= 0; at = following[at]!) into.push(symbols[at]!)
  }
  const addWord = (bytes: Uint8Array, from: number, to: number, into: TokenList): void => {
    if (to - from === 1) {
      into.push(tokenOfByte[bytes[from]!]!)
      return
    }
    if (to - from > maxKnownWordBytes) {
      for (let at = from; at < to; at += maxPieceBytes) join(bytes, at, Math.min(to, at + maxPieceBytes), into)
      return
    }
    if (known.size >= maxKnownWords) {
      known = createWordTable()
      knownTokens = createTokenList()
      knownEnds = []
    }
    const word = known.add(bytes, from, to)
    if (word === knownEnds.length) {
      join(bytes, from, to, knownTokens)
      knownEnds.push(knownTokens.length)
    }
    into.append(knownTokens, word === 0 ? 0 : knownEnds[word - 1]!, knownEnds[word]!)
  }

  return {
    vocabulary: tokens.length,
    encode: (content) => {
      const bytes = typeof content === 'string' ? Buffer.from(content) : content
      const list = createTokenList(Math.ceil(bytes.length / 3))
      eachWord(bytes, (from, to) => addWord(bytes, from, to, list))
      return list.take()
    },
    decode: (ids) => {
      let length = 0
      for (let at = 0; at < ids.length; at++) {
        const bytes = tokens[ids[at]!]
        if (bytes === undefined) throw new OwmError('bad_token', `${ids[at]} is none of the ${tokens.length} tokens.`)
        length += bytes.length
      }
      const text = new Uint8Array(length)
      for (let at = 0, to = 0; at < ids.length; at++) {
        text.set(tokens[ids[at]!]!, to)
        to += tokens[ids[at]!]!.length
      }
      return text
    },
  }
}

interface TokenList {
  readonly length: number
  readonly tokens: Int32Array
  push(token: number): void
  append(from: TokenList, start: number, end: number): void
  /** What is in it, in an array of its own size. */
  take(): Int32Array
}

function createTokenList(room = 1024): TokenList {
  let tokens = new Int32Array(Math.max(16, room))
  let length = 0
  const reserve = (count: number): void => {
    if (length + count <= tokens.length) return
    const larger = new Int32Array(2 * (length + count))
    larger.set(tokens)
    tokens = larger
  }
  return {
    get length() {
      return length
    },
    get tokens() {
      return tokens
    },
    push: (token) => {
      reserve(1)
      tokens[length++] = token
    },
    append: (from, start, end) => {
      reserve(end - start)
      const source = from.tokens
      for (let at = start; at < end; at++) tokens[length++] = source[at]!
    },
    take: () => tokens.slice(0, length),
  }
}

/** A string that equals another where the bytes do. */
function latin(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')
}
