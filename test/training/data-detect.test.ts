import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import * as assert from 'uvu/assert'
import { errorCode } from '../../src/lib/index.ts'
import { detectSource, inspectData, openDataset, readTokenizer, trainTokenizer } from '../../src/training/index.ts'
import { suite } from '../suite.ts'
import { folder, put } from './data-files.ts'

const test = suite('what data is')
const at = (name: string): string => join(folder, name)
const failing = (paths: readonly string[], wishes = {}): string => {
  try {
    detectSource(paths, wishes)
  } catch (error) {
    return errorCode(error)
  }
  return 'nothing'
}

const idx = (shape: readonly number[], value = 0): Uint8Array => {
  const size = shape.reduce((product, one) => product * one, 1)
  const sizes = shape.flatMap((one) => [0, 0, 0, one])
  return Buffer.concat([
    Uint8Array.of(0, 0, 8, shape.length, ...sizes),
    Uint8Array.from({ length: size }, (_, at) => (shape.length === 1 ? at % 2 : at + value)),
  ])
}
put('digits/a', gzipSync(idx([9, 2, 2])))
put('digits/b', idx([9]))
put('digits/c', idx([4, 2, 2], 100))
put('digits/d', gzipSync(idx([4])))
put('digits/readme.txt', 'some digits')

test('pairs of IDX files, by content; the smaller pair is held out', () => {
  const expected = {
    kind: 'idx',
    images: at('digits/a'),
    labels: at('digits/b'),
    heldOut: { images: at('digits/c'), labels: at('digits/d') },
  }
  assert.equal(detectSource([at('digits')]), expected)
  assert.equal(detectSource([at('digits/b'), at('digits/a')], { flat: true, heldOutShare: 5, context: 9 }), {
    kind: 'idx',
    images: at('digits/a'),
    labels: at('digits/b'),
    flat: true,
    heldOutShare: 5,
  })
  assert.is(failing([at('digits/a')]), 'no_training_data')
})

test('tables: delimiter, header and target', () => {
  const of = (content: string, name = 'table.csv') => {
    const found = detectSource([put(name, content)])
    assert.is(found.kind, 'csv')
    return found.kind === 'csv' ? [found.delimiter, found.header, found.target] : []
  }
  assert.equal(of('a,b,c\n1,2,3\n'), [',', true, 'c'])
  assert.equal(of('Label;b;"c,d,e,f"\n1;2;3\n'), [';', true, 'Label'])
  assert.equal(of('1.5\t2\tx\n', 'table.TSV'), ['\t', false, '2'])
  assert.equal(detectSource([at('table.csv')], { target: 'b' }).kind, 'csv')
  assert.is(failing([put('words.csv', 'nothing here\n')]), 'malformed_data')
  assert.is(failing([at('table.csv'), at('words.csv')]), 'no_training_data')
  put('alone/iris.csv', 'a,y\n1,2\n')
  put('alone/README', 'flowers')
  assert.is(detectSource([at('alone')]).kind, 'csv')
})

test('JSON lines: text, or numbers with a label', () => {
  const of = (content: string, name = 'lines.jsonl') => {
    const found = detectSource([put(name, content)], { context: 5 })
    return found.kind === 'jsonl' ? found.content : found.kind
  }
  assert.equal(of('{"id":"7","text":"words"}\n'), { kind: 'text', field: 'text', context: 5 })
  assert.equal(of('{"id":"7","story":"words"}\n', 'x'), { kind: 'text', field: 'id', context: 5 })
  assert.equal(of('{"name":"n","pixels":[1,2],"label":3}\n'), { kind: 'examples', inputs: 'pixels', target: 'label' })
  assert.is(of('{"id": 7}', 'x.txt'), 'text')
})

test('folders of images are classes, folders of text only where that is asked for', () => {
  put('pictures/a/1.pgm', 'P5\n1 1\n255\nx')
  put('pictures/b/1.pgm', 'P5\n1 1\n255\ny')
  put('mail/spam/1', 'buy')
  put('mail/ham/1', 'hello')
  assert.equal(detectSource([at('pictures')], { flat: true }), {
    kind: 'folder',
    root: at('pictures'),
    content: { kind: 'images', flat: true },
  })
  assert.is(detectSource([at('mail')]).kind, 'text')
  assert.equal(detectSource([at('mail')], { kind: 'folder' }), {
    kind: 'folder',
    root: at('mail'),
    content: { kind: 'bytes' },
  })
})

test('anything else is text, or an error', () => {
  const book = put('book', 'call me')
  const found = detectSource([book, at('mail')], { context: 7, heldOutTail: 0.1, flat: true })
  assert.is(found.kind, 'text')
  if (found.kind === 'text')
    assert.equal([found.roots, found.context, found.heldOutTail, 'flat' in found], [[book, at('mail')], 7, 0.1, false])
  assert.is(failing([put('program', Uint8Array.of(127, 0, 1))]), 'malformed_data')
  assert.is(failing([at('nowhere')]), 'unreadable_data')
  assert.is(failing([]), 'bad_usage')
  assert.is(failing([book], { kind: 'idx' }), 'no_training_data')
})

test('an inspection counts examples, classes and duplicates, and shows some', async () => {
  const stages = new Set<string>()
  const found = await inspectData({ paths: [at('digits')], wishes: {} }, ({ stage }) => stages.add(stage))
  assert.equal([found.training.examples, found.duplicates, found.leaked], [9, 0, 0])
  assert.equal(found.training.classes, [
    { name: '0', count: 5 },
    { name: '1', count: 4 },
  ])
  assert.equal(found.sample.kind === 'images' && found.sample.images.map(({ label, width }) => [label, width]), [
    ['0', 2],
    ['1', 2],
  ])
  assert.ok(stages.has('counting'))
  put('leaky/a', idx([9, 2, 2]))
  put('leaky/b', idx([9]))
  put('leaky/c', idx([4, 2, 2]))
  put('leaky/d', idx([4]))
  assert.is((await inspectData({ paths: [at('leaky')], wishes: {} })).leaked, 4)
})

test('an inspection of text measures what counting predicts', async () => {
  const text = put('walk', 'one two three four five\n'.repeat(3000))
  const found = await inspectData({ paths: [text], wishes: { heldOutTail: 0.2 } })
  const { unigram, bigram, trigram } = found.baselines!
  assert.ok(unigram > 3 && bigram < 1.5 && trigram < bigram, `${unigram} ${bigram} ${trigram}`)
  assert.equal([found.sizeBytes, found.duplicates], [72_000, null])
  assert.ok(found.sample.kind === 'text' && found.sample.text.startsWith('one two'))
  const small = await inspectData({ paths: [put('small', 'some words '.repeat(20))], wishes: { heldOutShare: 0 } })
  assert.match(String(small.heldOut), /held out/)
})

test('a tokenizer is learned in a thread, and is read again', async () => {
  mkdirSync(at('texts'))
  for (let file = 0; file < 20; file++)
    put(`texts/${file}.txt`, `peers train models together, round ${file} of many\n`.repeat(20))
  const stages = new Set<string>()
  const trained = await trainTokenizer(
    { paths: [at('texts')], wishes: {}, vocabulary: 300, minFrequency: 2 },
    ({ stage }) => stages.add(stage),
  )
  assert.is(trained.vocabulary, 300)
  assert.ok(stages.has('words'))
  const tokenizer = put('tokenizer.json', trained.file)
  assert.is(readTokenizer(tokenizer).vocabulary, 300)
  const dataset = openDataset(detectSource([at('texts')], { tokenizer }), 'training')
  assert.ok(dataset.text!.tokens < dataset.text!.bytes / 2)
  try {
    await trainTokenizer({ paths: [at('digits')], wishes: {}, vocabulary: 300, minFrequency: 2 })
    assert.unreachable()
  } catch (error) {
    assert.is(errorCode(error), 'no_training_data')
  }
})

test.run()
