import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { blake3Of, errorCode, type OwmError } from '../../src/lib/index.ts'
import { createRandom } from '../../src/onnx/index.ts'
import { heldOutText, ngramBitsPerByte, readText, type TextSource } from '../../src/training/index.ts'
import { measureNgram } from '../../src/training/ngram.ts'
import { readTextFiles } from '../../src/training/text-files.ts'
import { suite } from '../suite.ts'

const test = suite('training text')
let folder = ''
test.beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'owm-text-'))
})
test.afterEach(() => rmSync(folder, { recursive: true, force: true }))

const put = (name: string, content: string | Uint8Array): void => {
  mkdirSync(join(folder, name, '..'), { recursive: true })
  writeFileSync(join(folder, name), content)
}
const source = (changes: Partial<TextSource> = {}): TextSource => ({
  roots: [folder],
  extensions: ['.md', '.ts'],
  maxBytes: 1_000_000,
  heldOutShare: 0,
  ...changes,
})
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString()

test('files by extension, below all roots, in an order of its own, the same each time', () => {
  put('a/one.md', 'one')
  put('a/deep/er/two.ts', 'two')
  put('b/three.md', 'three')
  put('b/four.js', 'four')
  const roots = [join(folder, 'a'), join(folder, 'b')]
  const read = readTextFiles(source({ roots }), 'training')
  assert.equal(text(read.bytes).trim().split('\n').sort(), ['one', 'three', 'two'])
  assert.is(read.files, 3)
  assert.equal(readTextFiles(source({ roots }), 'training').bytes, read.bytes)
})

test('what is no text is left out and counted', () => {
  put('good.md', 'good')
  put('copy.md', 'good')
  put('binary.md', Uint8Array.of(1, 0, 2))
  put('empty.md', '')
  put('locked/inside.md', 'secret')
  put('elsewhere.txt', 'outside')
  symlinkSync(join(folder, 'elsewhere.txt'), join(folder, 'link.md'))
  symlinkSync(folder, join(folder, 'circle'))
  chmodSync(join(folder, 'locked'), 0)
  const read = readTextFiles(source(), 'training')
  chmodSync(join(folder, 'locked'), 0o700)
  // Root reads everything: then the locked file is text like any other.
  const asRoot = process.getuid?.() === 0
  assert.equal(text(read.bytes).trim().split('\n').sort(), asRoot ? ['good', 'secret'] : ['good'])
  assert.equal(read.skipped, { unreadable: asRoot ? 0 : 1, binary: 1, duplicate: 1, oversized: 0 })
})

test('a file is held out by the first byte of its hash, and then never learned from', async () => {
  const names = Array.from({ length: 60 }, (_, i) => `file ${i} of sixty`)
  for (const [i, content] of names.entries()) put(`${i}.md`, content)
  const expected = names.filter((content) => blake3Of(Buffer.from(content))[0]! < 64).sort()
  const held = text(await heldOutText(source({ heldOutShare: 64 }), 100_000))
  const { bytes } = await readText(source({ heldOutShare: 64 }))
  assert.equal(held.trim().split('\n').sort(), expected)
  assert.equal([...held.trim().split('\n'), ...text(bytes).trim().split('\n')].sort(), names.sort())
})

test('a limit takes from many files, not from the first alone', () => {
  for (let i = 0; i < 50; i++) put(`${i}.md`, `${String.fromCharCode(60 + i)}`.repeat(20_000))
  const read = readTextFiles(source({ maxBytes: 100_000 }), 'training')
  assert.is(read.bytes.length, 100_000)
  assert.ok(new Set(read.bytes).size > 20, `${new Set(read.bytes).size} different files`)
})

test('one large file fills the whole limit, where there are no others', () => {
  put('small.md', 'small')
  put('large.md', 'x'.repeat(90_000))
  assert.is(readTextFiles(source({ maxBytes: 50_000 }), 'training').bytes.length, 50_000)
  assert.is(readTextFiles(source({ maxBytes: 200_000 }), 'training').bytes.length, 90_007)
})

test('no text is an error that names the roots', async () => {
  put('a.js', 'not asked for')
  for (const roots of [[folder], [join(folder, 'missing')], []]) {
    try {
      await readText(source({ roots }))
      assert.unreachable()
    } catch (error) {
      assert.is(errorCode(error), 'no_training_data')
      assert.equal((error as OwmError).details['roots'], roots)
    }
  }
})

/** Witten-Bell by its definition, with maps of strings. */
function slowNgram(train: readonly Uint8Array[], heldOut: Uint8Array, order: number, window: number): number {
  const counts = new Map<string, Map<number, number>>()
  for (const part of train) {
    for (let length = 0; length < order; length++) {
      for (let at = length; at < part.length; at++) {
        const context = part.subarray(at - length, at).join()
        const next = counts.get(`${length}:${context}`) ?? new Map<number, number>()
        counts.set(`${length}:${context}`, next.set(part[at]!, (next.get(part[at]!) ?? 0) + 1))
      }
    }
  }
  const probability = (at: number, length: number): number => {
    if (length < 0) return 1 / 256
    const lower = probability(at, length - 1)
    const next = counts.get(`${length}:${heldOut.subarray(at - length, at).join()}`)
    if (next === undefined) return lower
    const total = [...next.values()].reduce((sum, count) => sum + count, 0)
    return ((next.get(heldOut[at]!) ?? 0) + next.size * lower) / (total + next.size)
  }
  let bits = 0
  let bytes = 0
  for (let at = 0; at < heldOut.length; at++) {
    if (at % window === 0) continue
    bits -= Math.log2(probability(at, Math.min(order - 1, at)))
    bytes++
  }
  return bits / bytes
}

test('the n-gram baselines are what their definition says', async () => {
  const random = createRandom(3)
  const draw = (length: number): Uint8Array => Uint8Array.from({ length }, () => random.below(4) * random.below(60))
  const train = [draw(3000), draw(1)]
  const heldOut = draw(500)
  for (const order of [1, 2, 3] as const) {
    const expected = slowNgram(train, heldOut, order, 16)
    assert.ok(Math.abs(measureNgram(train, heldOut, order, 16) - expected) < 1e-9)
    assert.is(await ngramBitsPerByte(train, heldOut, order, 16), measureNgram(train, heldOut, order, 16))
  }
})

test('probabilities of a context add up to one', () => {
  const train = [Uint8Array.from({ length: 2000 }, (_, i) => (i * i) % 7)]
  // What the first bytes cost is the same each time, and taken away.
  const first = measureNgram(train, Uint8Array.of(1, 2, 4), 2, 4) * 2
  const bits = (last: number): number => measureNgram(train, Uint8Array.of(1, 2, 4, last), 2, 4) * 3 - first
  const sum = Array.from({ length: 256 }, (_, last) => 2 ** -bits(last)).reduce((total, share) => total + share, 0)
  assert.ok(Math.abs(sum - 1) < 1e-9)
})

test.run()
