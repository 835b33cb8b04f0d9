import { mkdirSync, mkdtempSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { createRandom } from '../../src/onnx/index.ts'
import { encodeTokenizer } from '../../src/training/data/bpe/tokenizer-file.ts'
import { createWordCounts, openDataset, readTokenizer, trainBpe } from '../../src/training/index.ts'
import { suite } from '../suite.ts'
import { checkDataset, exampleOf, failure, folder, put } from './data-files.ts'

const test = suite('text as windows')
const random = createRandom(9)
const lines = (count: number): string =>
  Array.from({ length: count }, () => 'abcdefg '.repeat(1 + random.below(9)).slice(random.below(8))).join('\n')
const long = `${lines(2000)}\n`
const file = put('long.txt', long)
const source = { kind: 'text', roots: [file], context: 8, heldOutShare: 50 } as const
const contentOf = (init: Parameters<typeof openDataset>[0], part: 'training' | 'heldOut'): string =>
  Buffer.from(openDataset(init, part).text?.content ?? []).toString()

test('a window begins at each place, and ends at the last', () => {
  const bytes = [...Buffer.from('to be or not')]
  const dataset = openDataset(
    { kind: 'text', roots: [put('be.txt', 'to be or not')], context: 4, heldOutShare: 0 },
    'training',
  )
  assert.is(dataset.length, bytes.length - 4)
  for (let at = 0; at < dataset.length; at++) assert.equal(exampleOf(dataset, at), [bytes.slice(at, at + 5)])
  assert.equal(dataset.fields, [{ name: 'windows', type: 'int32', shape: [5], values: 256 }])
})

test('of a file, blocks of whole lines are held out, and nothing is lost', () => {
  const [training, heldOut] = [contentOf(source, 'training'), contentOf(source, 'heldOut')]
  assert.is(training.length + heldOut.length, long.length)
  assert.ok(heldOut.length > 0.05 * long.length && heldOut.length < 0.4 * long.length, `${heldOut.length}`)
  assert.equal([...training.split('\n'), ...heldOut.split('\n')].sort(), [...long.split('\n'), ''].sort())
  assert.ok(long.includes(heldOut.slice(0, 1000)), 'what is held out reads on')
})

test('what a data set must do', () => {
  checkDataset({ ...source, roots: [put('short.txt', lines(200))], heldOutShare: 128 })
})

test('the last part can be held out instead, as published figures do', () => {
  const tail = { ...source, heldOutTail: 0.1 }
  const cut = Math.floor(long.length * 0.9)
  assert.is(contentOf(tail, 'training'), long.slice(0, cut))
  assert.is(contentOf(tail, 'heldOut'), long.slice(cut))
})

test('of a folder, whole files are held out', () => {
  const root = mkdtempSync(join(folder, 'texts-'))
  mkdirSync(join(root, 'deeper'))
  for (let at = 0; at < 60; at++) put(`${root.slice(folder.length + 1)}/deeper/${at}.md`, `file ${at} of sixty`)
  const init = { ...source, roots: [root], extensions: ['.md'] }
  const [training, heldOut] = [contentOf(init, 'training'), contentOf(init, 'heldOut')]
  const all = [...training.trim().split('\n'), ...heldOut.trim().split('\n')].sort()
  assert.equal(all, Array.from({ length: 60 }, (_, at) => `file ${at} of sixty`).sort())
  assert.match(openDataset(init, 'heldOut').about, /bytes of text in \d+ files/)
  // A folder of which nothing is held out does not spoil a file beside it.
  const few = { ...init, roots: [file, put('few/a.md', 'one').slice(0, -5)], heldOutShare: 3 }
  assert.is(openDataset({ ...few, heldOutShare: 50 }, 'heldOut').text?.bytes, contentOf(source, 'heldOut').length)
  const both = { ...init, roots: [root, file], heldOutTail: 0.25 }
  assert.is(contentOf(both, 'training').length, Math.floor((training.length + heldOut.length + long.length) * 0.75))
})

test('tokens of a tokenizer are told by its file', () => {
  const words = createWordCounts()
  words.add(Buffer.from(long))
  const tokenizer = put('tokenizer.json', encodeTokenizer(trainBpe(words, { vocabulary: 300 })))
  const bytes = openDataset(source, 'training')
  const dataset = openDataset({ ...source, tokenizer }, 'training')
  assert.equal(dataset.fields[0], {
    name: 'windows',
    type: 'int32',
    shape: [9],
    values: readTokenizer(tokenizer).vocabulary,
  })
  assert.is(dataset.text?.bytes, bytes.text?.bytes)
  assert.ok(dataset.text!.tokens < bytes.text!.tokens / 2)
  const tokens = Array.from({ length: 20 }, (_, at) => exampleOf(dataset, 9 * at)[0]!).flat()
  const decoded = Buffer.from(readTokenizer(tokenizer).decode(tokens)).toString()
  assert.is(decoded, contentOf(source, 'training').slice(0, decoded.length))
  assert.is.not(dataset.fingerprint, bytes.fingerprint)
})

test('a limit, too little, and what is no text', () => {
  assert.is(openDataset({ ...source, heldOutShare: 0, maxBytes: 1000 }, 'training').text?.bytes, 1000)
  assert.is(failure({ ...source, roots: [put('tiny', 'tiny')] }).code, 'no_training_data')
  assert.is(failure({ ...source, roots: [put('binary', Uint8Array.of(1, 0, 2))] }).code, 'no_training_data')
  assert.is(failure({ ...source, roots: [join(folder, 'nowhere')] }).code, 'unreadable_data')
  assert.is(failure({ ...source, roots: [] }).code, 'bad_data_source')
  assert.is(failure({ ...source, tokenizer: file }).code, 'malformed_data')
})

test('the side of a block stays, whatever is behind it', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 500 }), (more) => {
      // Blocks of a file below 256 KiB are as long as before.
      const longer = put('longer.txt', long.slice(0, 40_000) + lines(more))
      const before = contentOf({ ...source, roots: [put('before.txt', long.slice(0, 40_000))] }, 'heldOut')
      const after = contentOf({ ...source, roots: [longer] }, 'heldOut')
      const kept = Math.max(0, before.length - 3000)
      assert.is(after.slice(0, kept), before.slice(0, kept))
    }),
    { numRuns: 10 },
  )
})

test.run()
