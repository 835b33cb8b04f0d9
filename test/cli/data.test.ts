import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { drawImages, printable } from '../../src/cli/data-sample.ts'
import { exitCodes } from '../../src/lib/index.ts'
import { owm, temporaryFolder } from '../processes.ts'
import { suite } from '../suite.ts'

const test = suite('owm data')
const folder = temporaryFolder()
const put = (name: string, content: string | Uint8Array): string => {
  writeFileSync(join(folder, name), content)
  return join(folder, name)
}

test('inspect tells what a table is, and shows no control characters', async () => {
  const rows = Array.from({ length: 100 }, (_, at) => `${at},${at % 3},cl\x1b[2Jass ${at % 2}\n`)
  const table = put('table.csv', `a,b,label\n${rows.join('')}`)
  const { code, stdout, stderr } = await owm(['data', 'inspect', table])
  assert.equal([code, stderr], [0, ''])
  for (const pattern of [
    /kind +a table \(CSV\)/,
    /target +label/,
    /learn from +\d+ rows of 2 inputs/,
    /held out +\d+ rows/,
    /classes +cl·\[2Jass 0: 50 {2}cl·\[2Jass 1: 50/,
    /duplicates +none/,
    /owm train local --model mlp --data \S+table.csv/,
  ]) {
    assert.match(stdout, pattern)
  }
  assert.not.ok(stdout.includes('\x1b'))
})

test('inspect gives programs one JSON object', async () => {
  const text = put('text.txt', 'peers train models\n'.repeat(500))
  const { code, stdout } = await owm(['data', 'inspect', text, '--tail', '0.2', '--json'])
  const found = JSON.parse(stdout) as {
    source: { kind: string }
    sizeBytes: number
    training: { textBytes: number }
    baselines: { bigram: number }
  }
  assert.equal([code, found.source.kind, found.sizeBytes, found.training.textBytes], [0, 'text', 9500, 7600])
  assert.ok(found.baselines.bigram > 0)
})

test('a tokenizer is written whole, and used', async () => {
  const text = put('more.txt', 'peers train models and sign what they learned\n'.repeat(500))
  const out = join(folder, 'tokenizer.json')
  const { code, stdout } = await owm(['data', 'tokenizer', text, '--vocabulary', '280', '--out', out, '--json'])
  assert.is(code, 0)
  assert.is((JSON.parse(stdout) as { vocabulary: number }).vocabulary, 280)
  assert.is((JSON.parse(readFileSync(out, 'utf8')) as { model: { type: string } }).model.type, 'BPE')
})

test('what is wrong is said in one sentence, with an exit code', async () => {
  const missing = join(folder, 'missing')
  const cases: readonly (readonly [string[], number, RegExp])[] = [
    [['inspect', missing], exitCodes.badInput, /missing cannot be read: ENOENT/],
    [['inspect', put('bad.csv', 'a,b\n1,2\n1\n')], exitCodes.badInput, /bad.csv, row 2 at byte 8: 1 cells/],
    [['inspect', folder, '--tail', '2'], exitCodes.usage, /above 0 and below 1/],
    [['tokenizer', missing, '--vocabulary', '255', '--out', 'x'], exitCodes.usage, /from 256/],
    [['tokenizer', missing, '--out', join(folder, 'none')], exitCodes.badInput, /cannot be read/],
  ]
  for (const [args, expected, problem] of cases) {
    const { code, stderr } = await owm(['data', ...args])
    assert.is(code, expected, stderr)
    assert.match(stderr, problem)
  }
  assert.not.ok(existsSync(join(folder, 'none')))
})

test('images are drawn side by side, as many as fit', () => {
  const image = (label: string, shade: number) => ({
    label,
    height: 4,
    width: 4,
    pixels: Array.from({ length: 16 }, () => shade),
  })
  assert.equal(drawImages([image('a', 0), image('b', 1), image('c', 0.5)], 10), ['a     b', '      @@@@', '      @@@@'])
  const large = { label: 'x', height: 100, width: 100, pixels: Array.from({ length: 10_000 }, () => 1) }
  const lines = drawImages([large], 80)
  assert.equal([lines[1]!.length, lines.length], [32, 17])
  assert.is(printable('a\u0007\u202eb\n'), 'a··b·')
})

test.run()
