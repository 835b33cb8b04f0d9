import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { errorCode, OwmError } from '../../src/lib/index.ts'
import { eachWord } from '../../src/training/data/bpe/words.ts'
import {
  createTokenizer,
  createWordCounts,
  decodeTokenizer,
  encodeTokenizer,
  trainBpe,
  type Vocabulary,
} from '../../src/training/index.ts'
import { suite } from '../suite.ts'

const test = suite('byte-pair encoding')

interface HuggingFace {
  readonly corpus: string
  readonly file: { readonly model: { readonly merges: unknown; readonly vocab: unknown } }
  readonly samples: readonly { readonly text: string; readonly ids: readonly number[] }[]
}
/** What Hugging Face's `tokenizers` makes of the same text; `pytorch/tokenizer.py` records it. */
const recorded = JSON.parse(readFileSync(join(import.meta.dirname, 'vectors/tokenizer.json'), 'utf8')) as HuggingFace

function learn(text: string | Uint8Array, vocabulary: number, minFrequency = 2): Vocabulary {
  const words = createWordCounts()
  words.add(Buffer.from(text))
  return trainBpe(words, { vocabulary, minFrequency })
}
const vocabulary = learn(recorded.corpus, 420)
const tokenizer = createTokenizer(vocabulary)

test('the same merges as those of Hugging Face, of the same text', () => {
  const { model } = JSON.parse(encodeTokenizer(vocabulary)) as HuggingFace['file']
  assert.equal(model.merges, recorded.file.model.merges)
  assert.equal(model.vocab, recorded.file.model.vocab)
})

test('the same tokens, and the text comes back', () => {
  for (const { text, ids } of recorded.samples) {
    assert.equal([...tokenizer.encode(text)], ids)
    assert.is(Buffer.from(tokenizer.decode(ids)).toString(), text)
  }
})

test('a file of Hugging Face is read, and ours is written the same again', () => {
  const theirs = decodeTokenizer(Buffer.from(JSON.stringify(recorded.file)))
  assert.equal(theirs, vocabulary)
  assert.equal(decodeTokenizer(Buffer.from(encodeTokenizer(vocabulary))), vocabulary)
  assert.is(encodeTokenizer(theirs), encodeTokenizer(vocabulary))
})

test('merges of older files are two words in a string, added tokens keep their number', () => {
  const merges = vocabulary.merges.map(([a, b]) => [a, b])
  const file = JSON.parse(encodeTokenizer(vocabulary)) as { model: { merges: string[][] }; added_tokens: unknown[] }
  const older = {
    ...file,
    added_tokens: [{ id: vocabulary.tokens.length, content: '<|endoftext|>', special: true }],
    model: { ...file.model, merges: file.model.merges.map((pair) => pair.join(' ')) },
  }
  const read = decodeTokenizer(Buffer.from(JSON.stringify(older)))
  assert.equal(read.merges, merges)
  assert.is(Buffer.from(createTokenizer(read).decode([vocabulary.tokens.length])).toString(), '<|endoftext|>')
  assert.equal(createTokenizer(read).encode('<|endoftext|>'), tokenizer.encode('<|endoftext|>'))
})

/** By its definition: counts all pairs of all words anew for each merge. Equal bytes are one token. */
function slowMerges(words: readonly Uint8Array[], count: number): number[][] {
  const tokens = learn('', 256).tokens.map((bytes) => Buffer.from(bytes).toString('latin1'))
  let rows = words.map((word) => [...word].map((byte) => tokens.indexOf(String.fromCharCode(byte))))
  const merges: number[][] = []
  while (tokens.length < 256 + count) {
    const counts = new Map<number, number>()
    for (const row of rows) {
      for (let at = 1; at < row.length; at++) {
        const pair = row[at - 1]! * 1000 + row[at]!
        counts.set(pair, (counts.get(pair) ?? 0) + 1)
      }
    }
    const [best, most] = [...counts].sort((a, b) => b[1] - a[1] || a[0] - b[0])[0] ?? [0, 0]
    if (most < 2) break
    const [left, right] = [Math.floor(best / 1000), best % 1000]
    merges.push([left, right])
    const joined = tokens[left]! + tokens[right]!
    if (!tokens.includes(joined)) tokens.push(joined)
    const token = tokens.indexOf(joined)
    rows = rows.map((row) => {
      const out: number[] = []
      for (let at = 0; at < row.length; at++) {
        const found = row[at] === left && row[at + 1] === right
        out.push(found ? token : row[at]!)
        if (found) at++
      }
      return out
    })
  }
  return merges
}

test('the merges are those of the definition', () => {
  const text = fc.string({ unit: fc.constantFrom('a', 'b', 'c', ' ', 'aa', 'ba'), maxLength: 150 })
  fc.assert(
    fc.property(text, (content) => {
      const bytes = Buffer.from(content)
      const words: Uint8Array[] = []
      eachWord(bytes, (from, to) => words.push(bytes.subarray(from, to)))
      assert.equal(learn(content, 276).merges, slowMerges(words, 20))
    }),
    { numRuns: 200 },
  )
})

test('words are those of the pattern', () => {
  const pattern =
    /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu
  const unit = fc.constantFrom(
    ...'abzé漢😀19½Ⅷ \n\t\r\u00a0\u0085\u2028\ufeff.,-’',
    "'",
    "'s",
    "'ll",
    "'re",
    '  ',
    '\n\n',
    '\u0301',
  )
  fc.assert(
    fc.property(fc.string({ unit, maxLength: 40 }), (text) => {
      const bytes = Buffer.from(text)
      const words: string[] = []
      eachWord(bytes, (from, to) => words.push(bytes.subarray(from, to).toString()))
      assert.equal(words, text.match(pattern) ?? [])
    }),
    { numRuns: 1000 },
  )
})

test('any bytes come back, also such as are no UTF-8', () => {
  const piece = fc.oneof(
    fc.uint8Array({ maxLength: 20 }),
    fc.string({ unit: 'binary' }).map((text) => Buffer.from(text)),
  )
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 10 }), (pieces) => {
      const bytes = new Uint8Array(Buffer.concat(pieces))
      assert.equal(new Uint8Array(tokenizer.decode(tokenizer.encode(bytes))), bytes)
    }),
    { numRuns: 500 },
  )
})

test('a word as long as a book is encoded, and nothing is learned from it', () => {
  const long = 'round'.repeat(60_000)
  assert.is(Buffer.from(tokenizer.decode(tokenizer.encode(long))).toString(), long)
  assert.equal(learn(long, 300).merges, [])
})

test('the order of texts makes no difference, nor how often a pair is met anew', () => {
  const halves = [recorded.corpus.slice(0, 9000), recorded.corpus.slice(9000)].map((half) => Buffer.from(half))
  const one = createWordCounts()
  const other = createWordCounts()
  for (const half of halves) one.add(half)
  for (const half of halves.toReversed()) other.add(half)
  assert.equal(trainBpe(one, { vocabulary: 400 }), trainBpe(other, { vocabulary: 400 }))
})

test('it ends where no pair is left, and tells how far it is', () => {
  assert.is(learn('ab ab', 1000, 1).tokens.length, 258)
  assert.is(learn('ab ab', 1000).tokens.length, 257)
  const told: number[] = []
  const words = createWordCounts()
  words.add(Buffer.from(recorded.corpus))
  trainBpe(words, { vocabulary: 400, onProgress: ({ done, total }) => told.push(done / total) })
  assert.ok(told.length > 0 && told.every((share) => share > 0 && share <= 1))
  for (const size of [255, 2 ** 21, 300.5]) {
    assert.throws(
      () => trainBpe(words, { vocabulary: size }),
      (error: unknown) => errorCode(error) === 'bad_usage',
    )
  }
})

const good = JSON.parse(encodeTokenizer(learn('ab ab abc abc', 260))) as {
  readonly model: { readonly vocab: Readonly<Record<string, number>> }
}
const withWords = (words: Readonly<Record<string, number>>): unknown => ({
  ...good,
  model: { ...good.model, vocab: { ...good.model.vocab, ...words } },
})
for (const [name, file, problem] of [
  ['no JSON', '{', /no JSON/],
  ['another model', { ...good, model: { ...good.model, type: 'WordPiece' } }, /model.type.*only byte-level BPE/],
  ['a normalizer', { ...good, normalizer: { type: 'NFC' } }, /normalizer/],
  ['another way to cut words', { ...good, pre_tokenizer: { type: 'Whitespace' } }, /pre_tokenizer/],
  [
    'a merge of what is no token',
    { ...good, model: { ...good.model, merges: [['a', 'zz']] } },
    /model.merges.0.*not two tokens/,
  ],
  ['a hole in the numbers', withWords({ zz: 999 }), /no token has the number/],
  ['one number twice', withWords({ zz: 3 }), /two tokens have the number 3/],
  ['a character that is no byte', withWords({ 漢: 300 }), /stands for no bytes/],
] as const) {
  test(`a file with ${name} is refused`, () => {
    try {
      decodeTokenizer(Buffer.from(typeof file === 'string' ? file : JSON.stringify(file)), 'some.json')
      assert.unreachable()
    } catch (error) {
      assert.is(errorCode(error), 'malformed_data')
      assert.ok((error as Error).message.startsWith('some.json'))
      assert.match((error as Error).message, problem)
    }
  })
}

test('a vocabulary that loses bytes, and numbers that are no tokens, are errors', () => {
  assert.throws(
    () => createTokenizer({ tokens: [Uint8Array.of(1)], merges: [] }),
    (error: unknown) => errorCode(error) === 'bad_tokenizer',
  )
  assert.throws(
    () => createTokenizer({ ...vocabulary, merges: [[0, 1]] }),
    (error: unknown) => errorCode(error) === 'bad_tokenizer',
  )
  for (const token of [420, -1, 0.5])
    assert.throws(
      () => tokenizer.decode([token]),
      (error: unknown) => errorCode(error) === 'bad_token',
    )
})

test('no file does harm', () => {
  const text = encodeTokenizer(learn('ab ab abc abc', 260))
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(text.length - 1), fc.constantFrom(...'"{}[],:0a9 ')), { maxLength: 3 }),
      (changes) => {
        const bytes = Buffer.from(text)
        for (const [at, character] of changes) bytes[at] = character.charCodeAt(0)
        try {
          createTokenizer(decodeTokenizer(bytes)).encode('abc')
        } catch (error) {
          assert.instance(error, OwmError)
        }
      },
    ),
    { numRuns: 200 },
  )
})

test.run()
