import { appendFileSync, writeFileSync } from 'node:fs'
import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { OwmError } from '../../src/lib/index.ts'
import { createRandom } from '../../src/onnx/index.ts'
import { cellsOf } from '../../src/training/data/csv-row.ts'
import { openDataset } from '../../src/training/index.ts'
import { suite } from '../suite.ts'
import { checkDataset, exampleOf, examplesOf, failure, put } from './data-files.ts'

const test = suite('tables')
const random = createRandom(4)

const quoted = (cell: string): string => (/[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell)
const csv = (rows: readonly (readonly string[])[], end = '\n'): string =>
  rows.map((row) => row.map(quoted).join(',') + end).join('')

const colours = ['red', 'light, blue', 'a "dark"\r\ngreen']
const rows = Array.from({ length: 300 }, (_, at) => [
  `${at}`,
  `${(random.below(1000) - 500) / 10}`,
  colours[random.below(3)]!,
  at % 10 === 3 ? '' : `${random.below(100)}`,
  ['yes', 'no'][random.below(2)]!,
])
const header = ['number', 'temperature', 'colour', 'age', 'bought']
const file = put('table.csv', csv([header, ...rows]))
const source = { kind: 'csv', file, target: 'bought', heldOutShare: 64 } as const

test('numbers are standardised, categories are one of several, the target is a class', () => {
  const { training, heldOut } = checkDataset({ ...source, columns: ['temperature', 'colour', 'age'] })
  assert.is(training.length + heldOut.length, 300)
  const order = [...colours].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
  const temperatures = training.map(([inputs]) => inputs![0]!)
  const mean = temperatures.reduce((sum, value) => sum + value, 0) / training.length
  const variance = temperatures.reduce((sum, value) => sum + value * value, 0) / training.length
  assert.ok(Math.abs(mean) < 1e-5 && Math.abs(variance - 1) < 1e-4, `${mean} ${variance}`)
  for (const example of [...training, ...heldOut]) {
    const [, ...rest] = example[0]!
    assert.is(
      rest.slice(0, 3).reduce((sum, value) => sum + value, 0),
      1,
    )
  }
  // Rows are told by the number in their first column.
  const all = openDataset({ ...source, heldOutShare: 0, categories: 'index' }, 'training')
  const numbers = rows.map((row) => Number(row[0]))
  const deviation = Math.sqrt(numbers.reduce((sum, value) => sum + (value - 149.5) ** 2, 0) / 300)
  for (const [at, row] of rows.entries()) {
    const [inputs, target] = exampleOf(all, at)
    assert.ok(Math.abs(inputs![0]! - (at - 149.5) / deviation) < 1e-6)
    assert.is(inputs![2], order.indexOf(row[2]!))
    if (row[3] === '') assert.is(inputs![3], 0)
    assert.equal(target, [row[4] === 'yes' ? 1 : 0])
  }
  assert.equal(all.classes, ['no', 'yes'])
})

test('a number can be told instead of a class', () => {
  const dataset = openDataset({ ...source, target: 'temperature', heldOutShare: 0 }, 'training')
  assert.equal(dataset.fields[1], { name: 'targets', type: 'float32', shape: [] })
  const values = rows.map((row) => Number(row[1]))
  const mean = values.reduce((sum, value) => sum + value, 0) / 300
  const deviation = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / 300)
  for (let at = 0; at < 300; at++) {
    assert.ok(Math.abs(exampleOf(dataset, at)[1]![0]! - (values[at]! - mean) / deviation) < 1e-5)
  }
  assert.is(failure({ ...source, task: 'regression' }).code, 'malformed_data')
})

test('rows without target are left out and counted; whole numbers, if few, are classes in their order', () => {
  const dataset = openDataset({ ...source, target: 'age', heldOutShare: 0 }, 'training')
  assert.equal([dataset.length, dataset.skipped], [270, { 'without target': 30 }])
  assert.is(dataset.fields[1]!.type, 'float32')
  const digits = put(
    'digits.csv',
    csv([
      ['a', 'y'],
      ...Array.from({ length: 22 }, (_, at) => [`${at}.5`, at % 2 === 0 ? `${at % 11}` : ` ${at % 11}.0`]),
    ]),
  )
  const classes = openDataset({ kind: 'csv', file: digits, target: 'y', heldOutShare: 0 }, 'training').classes
  assert.equal(classes, ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '10'])
})

test('the side of a row is its own: other rows, columns and line ends do not move it', () => {
  const inputs = (init: Partial<typeof source> & { columns?: string[] }): Set<string> =>
    new Set(examplesOf({ ...source, ...init, target: 'bought', columns: ['colour'] }, 'heldOut').map((one) => `${one}`))
  const heldOut = openDataset(source, 'heldOut')
  const reordered = put('reordered.csv', `\ufeff${csv([header, ...rows.slice(100), ...rows.slice(0, 100)], '\r\n')}`)
  assert.is(openDataset({ ...source, file: reordered }, 'heldOut').length, heldOut.length)
  assert.equal(inputs({ file: reordered }), inputs({}))
  assert.is(openDataset({ ...source, columns: ['age'] }, 'heldOut').length, heldOut.length)
  const twice = put('twice.csv', csv([header, ...rows, ...rows]))
  assert.is(openDataset({ ...source, file: twice }, 'heldOut').length, 2 * heldOut.length)
})

test('without a header columns have numbers; other delimiters', () => {
  const plain = put('plain.tsv', '1\t2\tx\n3\t4\ty\n5\t6\tx')
  const dataset = openDataset(
    { kind: 'csv', file: plain, target: '2', header: false, delimiter: '\t', heldOutShare: 0 },
    'training',
  )
  assert.equal([dataset.length, dataset.fields[0]!.shape, dataset.classes], [3, [2], ['x', 'y']])
})

test('a table that is longer than its blocks is read in any order', () => {
  const many = Array.from({ length: 30_000 }, (_, at) => [`${at}`, 'x'.repeat(at % 50), `${at % 3}`])
  const large = put('large.csv', csv([['at', 'filler', 'y'], ...many]))
  const dataset = openDataset({ kind: 'csv', file: large, target: 'y', columns: ['at'], heldOutShare: 0 }, 'training')
  const first = exampleOf(dataset, 0)[0]![0]!
  const step = exampleOf(dataset, 1)[0]![0]! - first
  for (let at = 0; at < 2000; at++) {
    const index = (at * 7919) % 30_000
    const [inputs, target] = exampleOf(dataset, index)
    assert.ok(Math.abs(inputs![0]! - first - index * step) < 1e-2)
    assert.equal(target, [index % 3])
  }
})

for (const [name, content, problem] of [
  ['a row that is too short', 'a,y\n1,2\n3\n', /row 2 at byte 8: 1 cells, where there are 2 columns/],
  ['a quote within', 'a,y\n1,b"c"\n', /row 0 at byte 4: there is a quote within/],
  ['a quote that never ends', 'a,y\n"1,2\n3,4\n', /never closed/],
  ['words after quotes', 'a,y\n"1"x,2\n', /after the quotes of/],
  ['nothing', '', /it is empty/],
  ['no such column', 'a,b\n1,2\n', /no column y among a, b/],
  ['one name twice', 'a,a,y\n1,2,3\n', /two columns have the name a/],
  [
    'too many words',
    `a,y\n${Array.from({ length: 2000 }, (_, at) => `w${at},1\n`).join('')}`,
    /column a: more than 1024 different words/,
  ],
] as const) {
  test(`${name} is an error that names the place`, () => {
    const path = put('bad.csv', content)
    const { code, message } = failure({ kind: 'csv', file: path, target: 'y', heldOutShare: 0 })
    assert.is(code, 'malformed_data')
    assert.ok(message.startsWith(path), message)
    assert.match(message, problem)
  })
}

test('a line without end is refused before it fills the memory', () => {
  const path = put('endless.csv', 'a,y\n')
  for (let at = 0; at < 18; at++) appendFileSync(path, 'x'.repeat(1024 * 1024))
  assert.match(failure({ kind: 'csv', file: path, target: 'y' }).message, /over the limit of 16777216 bytes/)
})

test('a file that changes under the reader is noticed', () => {
  const path = put('changing.csv', csv([header, ...rows]))
  const dataset = openDataset({ ...source, file: path }, 'training')
  writeFileSync(path, 'x'.repeat(20_000))
  try {
    dataset.read(3, [new Float32Array(1000), new Int32Array(1)], 0)
    assert.unreachable()
  } catch (error) {
    assert.is((error as OwmError).code, 'malformed_data')
  }
  dataset.close()
})

test('cells come back as they were written', () => {
  const cell = fc.string({ unit: fc.constantFrom('a', '"', ',', '\n', '\r', ' ', 'é') })
  fc.assert(
    fc.property(fc.array(cell, { minLength: 1, maxLength: 6 }), (cells) => {
      const row = cells.map((one) => `"${one.replaceAll('"', '""')}"`).join(',')
      assert.equal(cellsOf(row, ','), cells)
    }),
  )
  fc.assert(
    fc.property(cell, (row) => {
      const cells = cellsOf(row, ',')
      assert.ok(typeof cells === 'string' || cells.length >= 1)
    }),
  )
})

test('no table does harm', () => {
  const piece = fc.constantFrom('a', '1', '-2.5', ',', ',', '\n', '\n', '"', '\r\n', ' ', '\u0000', 'NaN', '1e999', 'y')
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 60 }), (pieces) => {
      const path = put('fuzzed.csv', `a,y\n${pieces.join('')}`)
      try {
        const dataset = openDataset({ kind: 'csv', file: path, target: 'y', heldOutShare: 0 }, 'training')
        for (let at = 0; at < dataset.length; at++) exampleOf(dataset, at)
        dataset.close()
      } catch (error) {
        assert.instance(error, OwmError)
      }
    }),
    { numRuns: 500 },
  )
})

test.run()
