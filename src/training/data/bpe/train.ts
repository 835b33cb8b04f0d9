/**
 * Byte-pair encoding (Sennrich, Haddow and Birch 2016) over bytes, as GPT-2 has it: begins with the 256 bytes, and
 * again and again makes the pair that is most often seen side by side within words one token. Of pairs seen equally
 * often the one with the smaller tokens is taken, so that the same text gives the same tokens everywhere, and the
 * same as Hugging Face's trainer.
 */
import { OwmError } from '../../../lib/index.ts'
import { byteOfToken, tokenOfByte } from './alphabet.ts'
import { createHeap } from './heap.ts'
import { createPairs, type Pairs } from './pairs.ts'
import { createWordTable } from './word-table.ts'
import { eachWord } from './words.ts'

/** What a tokenizer is: the bytes of each token, and which two become one, the earlier first. */
export interface Vocabulary {
  readonly tokens: readonly Uint8Array[]
  readonly merges: readonly (readonly [left: number, right: number])[]
}

/** Pairs seen less often make no token. */
export const defaultMinFrequency = 2
/** A tokenizer with more is no use: its table would be larger than the model. */
export const maxVocabulary = 1 << 20
/** Longer ones are no words but data in disguise: nothing is learned from them. */
const maxWordBytes = 1024
const tellEveryMerges = 64

/** The words of a text and how often each is there: all that is learned from. Texts are added one after the other. */
export function createWordCounts() {
  const table = createWordTable()
  const counts: number[] = []
  return {
    table,
    counts: counts as readonly number[],
    add: (text: Uint8Array): void =>
      eachWord(text, (from, to) => {
        if (to - from > maxWordBytes) return
        const word = table.add(text, from, to)
        counts[word] = (counts[word] ?? 0) + 1
      }),
  }
}
export type WordCounts = ReturnType<typeof createWordCounts>

/** @throws OwmError `bad_usage` for a vocabulary below 256 or above `maxVocabulary` */
export function trainBpe(
  words: WordCounts,
  {
    vocabulary,
    minFrequency = defaultMinFrequency,
    onProgress,
  }: {
    readonly vocabulary: number
    readonly minFrequency?: number
    /** How many of how many merges are made; text may have no more pairs before that. */
    readonly onProgress?: (progress: { readonly done: number; readonly total: number }) => void
  },
): Vocabulary {
  if (!(Number.isInteger(vocabulary) && vocabulary >= 256 && vocabulary <= maxVocabulary)) {
    throw new OwmError('bad_usage', `A vocabulary has 256 to ${maxVocabulary} tokens, not ${vocabulary}.`)
  }
  const { table, counts } = words
  const symbols = Int32Array.from(table.bytes.subarray(0, table.starts[table.size]!), (byte) => tokenOfByte[byte]!)
  const lengths = Int32Array.from({ length: table.size }, (_, word) => table.starts[word + 1]! - table.starts[word]!)
  const pairs = createPairs()
  for (let word = 0; word < table.size; word++) {
    const start = table.starts[word]!
    for (let at = start + 1; at < start + lengths[word]!; at++) {
      pairs.add(symbols[at - 1]!, symbols[at]!, counts[word]!, word)
    }
  }
  const heap = createHeap(pairs.before)
  for (const pair of pairs.takeNew()) heap.push(pair)

  // Two ways to the same bytes are one token.
  const tokens = createWordTable()
  for (const byte of byteOfToken) tokens.add(Uint8Array.of(byte), 0, 1)
  const bytesOf = (token: number): Uint8Array => tokens.bytes.subarray(tokens.starts[token]!, tokens.starts[token + 1]!)
  const merges: (readonly [number, number])[] = []
  while (tokens.size < vocabulary) {
    const pair = heap.pop()
    if (pair === -1) break
    if (pairs.isStale(pair)) {
      if (pairs.refresh(pair) > 0) heap.push(pair)
      continue
    }
    if (pairs.count(pair) < Math.max(1, minFrequency)) break
    const [left, right] = pairs.of(pair)
    const joined = new Uint8Array(Buffer.concat([bytesOf(left), bytesOf(right)]))
    const token = tokens.add(joined, 0, joined.length)
    merges.push([left, right])
    for (const word of pairs.remove(pair)) {
      lengths[word] = merge({ symbols, start: table.starts[word]!, length: lengths[word]! }, [left, right, token], {
        pairs,
        count: counts[word]!,
        word,
      })
    }
    for (const fresh of pairs.takeNew()) heap.push(fresh)
    if (merges.length % tellEveryMerges === 0) {
      onProgress?.({ done: merges.length, total: vocabulary - 256 })
    }
  }
  return { tokens: Array.from({ length: tokens.size }, (_, token) => bytesOf(token).slice()), merges }
}

/** Puts `token` for each `left, right` of a word, from its beginning, and tells the pairs around. Gives the new length. */
function merge(
  { symbols, start, length }: { readonly symbols: Int32Array; readonly start: number; readonly length: number },
  [left, right, token]: readonly [number, number, number],
  { pairs, count, word }: { readonly pairs: Pairs; readonly count: number; readonly word: number },
): number {
  const end = start + length
  let to = start
  for (let at = start; at < end; to++) {
    if (symbols[at] !== left || at + 1 >= end || symbols[at + 1] !== right) {
      symbols[to] = symbols[at++]!
      continue
    }
    if (to > start) {
      pairs.subtract(symbols[to - 1]!, left, count)
      pairs.add(symbols[to - 1]!, token, count, word)
    }
    if (at + 2 < end) {
      pairs.subtract(right, symbols[at + 2]!, count)
      pairs.add(token, symbols[at + 2]!, count, word)
    }
    symbols[to] = token
    at += 2
  }
  return to - start
}
