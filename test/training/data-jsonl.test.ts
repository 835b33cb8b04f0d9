import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { blake3Of, OwmError } from '../../src/lib/index.ts'
import { openDataset } from '../../src/training/index.ts'
import { suite } from '../suite.ts'
import { checkDataset, exampleOf, failure, put } from './data-files.ts'

const test = suite('JSON lines')
const jsonl = (lines: readonly unknown[]): string => lines.map((line) => `${JSON.stringify(line)}\n`).join('')

const documents = Array.from({ length: 80 }, (_, at) => `document ${at}: ${'é'.repeat(at % 7)}\nend`)
const text = {
  kind: 'jsonl',
  file: put('documents.jsonl', jsonl(documents.map((one, at) => ({ id: at, text: one })))),
  content: { kind: 'text', field: 'text', separator: '\n\n', context: 10 },
  heldOutShare: 64,
} as const
const numbers = {
  kind: 'jsonl',
  file: put(
    'numbers.jsonl',
    jsonl(
      Array.from({ length: 90 }, (_, at) => ({
        x: [
          [at, -at],
          [0.5, at % 2],
        ],
        label: `c${at % 3}`,
      })),
    ),
  ),
  content: { kind: 'examples', inputs: 'x', target: 'label' },
  heldOutShare: 64,
} as const

test('documents are joined, each on the side that its text decides', () => {
  const of = (part: 'training' | 'heldOut'): string => Buffer.from(openDataset(text, part).text!.content!).toString()
  const heldOut = documents.filter((one) => blake3Of(Buffer.from(one))[0]! < 64)
  assert.is(of('heldOut'), heldOut.map((one) => `${one}\n\n`).join(''))
  assert.is(
    of('training'),
    documents
      .filter((one) => !heldOut.includes(one))
      .map((one) => `${one}\n\n`)
      .join(''),
  )
  checkDataset(text)
})

test('numbers keep their shape, labels become classes', () => {
  const { training, heldOut } = checkDataset(numbers)
  assert.is(training.length + heldOut.length, 90)
  for (const [inputs, target] of [...training, ...heldOut]) {
    const at = inputs![0]!
    assert.equal([inputs, target], [[at, at === 0 ? inputs![1] : -at, 0.5, at % 2], [at % 3]])
  }
  const dataset = openDataset(numbers, 'training')
  assert.equal(
    [dataset.fields[0]!.shape, dataset.classes],
    [
      [2, 2],
      ['c0', 'c1', 'c2'],
    ],
  )
  assert.equal(
    openDataset({ ...numbers, content: { ...numbers.content, flat: true } }, 'training').fields[0]!.shape,
    [4],
  )
})

test('how a line is written does not move it', () => {
  const other = Array.from(
    { length: 90 },
    (_, at) => ` {"label" : "c${at % 3}",  "x":[[${at}.0, ${at === 0 ? '' : '-'}${at}],[5e-1,${at % 2}]]}\r\n\r\n`,
  )
  const rewritten = { ...numbers, file: put('rewritten.jsonl', other.join('')) }
  const [a, b] = [openDataset(numbers, 'heldOut'), openDataset(rewritten, 'heldOut')]
  assert.is(a.length, b.length)
  for (let at = 0; at < a.length; at++) assert.equal(exampleOf(a, at), exampleOf(b, at))
})

test('a number as target is told standardised', () => {
  const file = put('prices.jsonl', jsonl([1, 2, 3.5].map((y) => ({ x: [y], y }))))
  const dataset = openDataset(
    { kind: 'jsonl', file, content: { kind: 'examples', inputs: 'x', target: 'y' }, heldOutShare: 0 },
    'training',
  )
  const deviation = Math.sqrt(((1 - 6.5 / 3) ** 2 + (2 - 6.5 / 3) ** 2 + (3.5 - 6.5 / 3) ** 2) / 3)
  assert.ok(Math.abs(exampleOf(dataset, 0)[1]![0]! - (1 - 6.5 / 3) / deviation) < 1e-6)
})

for (const [name, content, problem] of [
  ['no JSON', '{"x":[1],"label":1}\n{"x":[1', /object 2 at byte 20: it is no JSON/],
  ['no object', '[1]\n', /it is no object/],
  ['another shape', '{"x":[1],"label":1}\n{"x":[1,2],"label":1}\n', /no numbers of the shape 1/],
  ['ragged numbers', '{"x":[[1],[1,2]],"label":1}\n', /no array of numbers/],
  ['a word among numbers', '{"x":[1,"2"],"label":1}\n', /no array of numbers/],
  ['no label', '{"x":[1]}\n', /has no number and no word/],
] as const) {
  test(`${name} is an error that names the place`, () => {
    const { code, message } = failure({ ...numbers, file: put('bad.jsonl', content) })
    assert.is(code, 'malformed_data')
    assert.match(message, problem)
  })
}

test('a document without text is an error', () => {
  assert.match(failure({ ...text, content: { ...text.content, field: 'body' } }).message, /no text in its field body/)
})

test('no lines do harm', () => {
  const line = fc.oneof(
    fc.json(),
    fc
      .record({
        x: fc.oneof(fc.array(fc.double()), fc.json()),
        label: fc.oneof(fc.string(), fc.double(), fc.constant(null)),
      })
      .map((one) => JSON.stringify(one)),
    fc.integer({ min: 1, max: 100_000 }).map((depth) => `{"x":${'['.repeat(depth)}${']'.repeat(depth)},"label":1}`),
  )
  fc.assert(
    fc.property(fc.array(line, { maxLength: 5 }), (lines) => {
      const file = put('fuzzed.jsonl', lines.join('\n'))
      for (const source of [
        { ...numbers, file },
        { ...text, file },
      ]) {
        try {
          const dataset = openDataset(source, 'training')
          for (let at = 0; at < dataset.length; at++) exampleOf(dataset, at)
        } catch (error) {
          assert.instance(error, OwmError)
        }
      }
    }),
    { numRuns: 200 },
  )
})

test.run()
