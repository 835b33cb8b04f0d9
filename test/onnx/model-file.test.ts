/** Files from elsewhere: every way in which they store tensors, and what they may not reach. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { errorCode, OwmError } from '../../src/lib/index.ts'
import {
  createGraphBuilder,
  createRandom,
  encodeModel,
  exportModel,
  openModelFile,
  readModelFile,
  tensorOf,
  withTensors,
  writeModelFile,
} from '../../src/onnx/index.ts'
import { bytesField, floatField, type Rope, ropeBytes, stringField, varintField } from '../../src/onnx/protobuf.ts'
import { suite } from '../suite.ts'

const test = suite('onnx model file')

const temporary = mkdtempSync(join(tmpdir(), 'owm-model-file-'))
test.after(() => rmSync(temporary, { recursive: true, force: true }))

/** A file that adds its one tensor `w` to its input `x`. */
function fileOf(tensor: Rope): Uint8Array {
  const value = (field: number, name: string): Rope => {
    const shape = bytesField(1, varintField(1, 3))
    return bytesField(field, [
      stringField(1, name),
      bytesField(2, bytesField(1, [varintField(1, 1), bytesField(2, shape)])),
    ])
  }
  const add = [
    stringField(1, 'x'),
    stringField(1, 'w'),
    stringField(2, 'y'),
    stringField(3, 'add'),
    stringField(4, 'Add'),
  ]
  const graph = [bytesField(1, add), stringField(2, 'g'), bytesField(5, tensor), value(11, 'x'), value(12, 'y')]
  return ropeBytes([
    varintField(1, 8),
    stringField(2, 'elsewhere'),
    bytesField(7, graph),
    bytesField(8, [stringField(1, ''), varintField(2, 17)]),
    bytesField(8, [stringField(1, 'ai.onnx.ml'), varintField(2, 3)]),
    bytesField(14, [stringField(1, 'note'), stringField(2, 'kept')]),
  ])
}
const head = (type: number, count = 3): Rope => [varintField(1, count), varintField(2, type), stringField(8, 'w')]
const bytesFrom = (values: Float32Array | Uint16Array | Float64Array): Uint8Array => new Uint8Array(values.buffer)
const packed = (...values: number[]): Rope => values.map((value) => ropeBytes(varintField(1, value)).subarray(1))
const numbers = (file: Uint8Array): number[] => {
  const { type, data } = openModelFile(file).model.graph.initializers.get('w')!
  const copy = data.slice().buffer
  if (type === 'int64') return Array.from(new BigInt64Array(copy), Number)
  if (type === 'float64') return [...new Float64Array(copy)]
  return [
    ...(type === 'float32' ? new Float32Array(copy) : type === 'int32' ? new Int32Array(copy) : new Uint8Array(copy)),
  ]
}
const codeOf = async (action: () => unknown): Promise<string> => {
  try {
    await action()
    return 'none'
  } catch (error) {
    if (error instanceof OwmError) return error.code
    throw error
  }
}

test('a tensor’s numbers are read from wherever they are', () => {
  const half = Uint16Array.of(0x3c00, 0xc100, 0x0001)
  const floats = bytesFrom(Float32Array.of(1, -2.5, 3))
  const kinds: readonly (readonly [Rope, readonly number[]])[] = [
    [
      [head(1), bytesField(9, floats)],
      [1, -2.5, 3],
    ],
    [
      [head(1), bytesField(4, floats)],
      [1, -2.5, 3],
    ],
    [
      [head(1), [1, -2.5, 3].map((value) => floatField(4, value))],
      [1, -2.5, 3],
    ],
    [
      [head(6), bytesField(5, packed(1, -2, 3))],
      [1, -2, 3],
    ],
    [
      [head(9), [1, 0, 1].map((value) => varintField(5, value))],
      [1, 0, 1],
    ],
    [
      [head(7), bytesField(7, packed(1, -2, 3))],
      [1, -2, 3],
    ],
    [
      [head(11), bytesField(10, bytesFrom(Float64Array.of(1, 2, 0.1)))],
      [1, 2, 0.1],
    ],
    // Narrow floats are read as float32: 1, -2.5 and the smallest above 0.
    [
      [head(10), bytesField(9, bytesFrom(half))],
      [1, -2.5, 2 ** -24],
    ],
    [
      [head(10), bytesField(5, packed(...half))],
      [1, -2.5, 2 ** -24],
    ],
    [
      [head(16), bytesField(9, bytesFrom(Uint16Array.of(0x3f80, 0xc020, 0x7f80)))],
      [1, -2.5, Number.POSITIVE_INFINITY],
    ],
  ]
  for (const [tensor, expected] of kinds) assert.equal(numbers(fileOf(tensor)), expected)
})

test('a tensor whose numbers are not what it says is refused', async () => {
  const floats = bytesFrom(Float32Array.of(1, 2, 3))
  const kinds: readonly (readonly [Rope, string])[] = [
    [[head(1, 4), bytesField(9, floats)], 'malformed_model'],
    [[head(1), bytesField(7, packed(1, 2, 3))], 'malformed_model'],
    [[head(7), bytesField(7, packed(1, 2))], 'malformed_model'],
    [[head(7), bytesField(7, packed(1, 2, 3, 4))], 'malformed_model'],
    [[head(8), bytesField(6, new Uint8Array(3))], 'unsupported_model'],
    [[head(3), bytesField(9, new Uint8Array(3))], 'unsupported_model'],
    [[head(1, -3), bytesField(9, floats)], 'malformed_model'],
    [[head(1, 2 ** 40), bytesField(9, floats)], 'oversized'],
    [[varintField(1, 2 ** 20), head(1, 2 ** 20), bytesField(9, floats)], 'oversized'],
  ]
  for (const [tensor, code] of kinds) assert.is(await codeOf(() => openModelFile(fileOf(tensor))), code)
})

test('with other numbers all else stays byte for byte, and with the same ones everything', () => {
  const described = [varintField(1, 3), varintField(2, 1), bytesField(4, bytesFrom(Float32Array.of(1, 2, 3)))]
  const original = fileOf([described, stringField(8, 'w'), stringField(12, 'what it is for')])
  const file = openModelFile(original)
  const same = withTensors(file, new Map([['w', Float32Array.of(1, 2, 3)]]))
  assert.ok(Buffer.compare(same, original) === 0)
  const changed = withTensors(file, new Map([['w', Float32Array.of(1, 2, 4)]]))
  assert.equal(numbers(changed), [1, 2, 4])
  const text = Buffer.from(changed).toString('latin1')
  for (const part of ['what it is for', 'elsewhere', 'note', 'kept', 'ai.onnx.ml']) assert.ok(text.includes(part), part)
})

test('narrow floats go back as they came, and new ones are rounded to even', () => {
  const random = createRandom(3)
  for (const type of [10, 16]) {
    const bits = Uint16Array.from({ length: 3000 }, () => random.below(65_536))
    // Every not-a-number comes back as the usual one.
    const [exponent, fraction] = type === 10 ? [0x7c00, 0x3ff] : [0x7f80, 0x7f]
    const kept = bits.map((value) => ((value & exponent) === exponent && (value & fraction) !== 0 ? 0 : value))
    const file = openModelFile(fileOf([head(type, 3000), bytesField(9, bytesFrom(kept))]))
    const { data } = file.model.graph.initializers.get('w')!
    const again = withTensors(file, new Map([['w', new Float32Array(data.slice().buffer)]]))
    assert.ok(Buffer.compare(again, file.bytes) === 0)
  }
  const file = openModelFile(fileOf([head(10), bytesField(9, new Uint8Array(6))]))
  // 2049 lies between 2048 and 2050; 65519 is the last that is not infinite.
  const rounded = withTensors(file, new Map([['w', Float32Array.of(2049, 2051, 65_519)]]))
  assert.equal(numbers(rounded), [2048, 2052, 65_504])
  assert.equal(numbers(withTensors(file, new Map([['w', Float32Array.of(65_520, -1e-9, 3e-8)]]))), [
    Number.POSITIVE_INFINITY,
    -0,
    2 ** -24,
  ])
})

test('numbers for a tensor that is not there, or of another size, are refused', async () => {
  const file = openModelFile(fileOf([head(1), bytesField(9, bytesFrom(Float32Array.of(1, 2, 3)))]))
  assert.is(await codeOf(() => withTensors(file, new Map([['v', new Float32Array(3)]]))), 'wrong_length')
  assert.is(await codeOf(() => withTensors(file, new Map([['w', new Float32Array(4)]]))), 'wrong_length')
})

const external = (entries: Record<string, string>): Rope => [
  head(1),
  Object.entries(entries).map(([key, value]) => bytesField(13, [stringField(1, key), stringField(2, value)])),
  varintField(14, 1),
]
const folder = join(temporary, 'model')
const path = join(folder, 'model.onnx')
const written = (entries: Record<string, string>): string => {
  mkdirSync(join(folder, 'parts'), { recursive: true })
  writeFileSync(join(folder, 'weights.bin'), bytesFrom(Float32Array.of(0, 1, 2, 3)))
  writeFileSync(join(folder, 'parts', 'weights.bin'), bytesFrom(Float32Array.of(7, 8, 9)))
  writeFileSync(join(temporary, 'secret'), bytesFrom(Float32Array.of(4, 5, 6)))
  writeFileSync(path, fileOf(external(entries)))
  return path
}

test('external tensors are read at their offset, of the folder and below', async () => {
  const read = async (entries: Record<string, string>): Promise<number[]> => {
    const { model } = await readModelFile(written(entries))
    return [...new Float32Array(model.graph.initializers.get('w')!.data.buffer as ArrayBuffer)]
  }
  assert.equal(await read({ location: 'weights.bin' }), [0, 1, 2])
  assert.equal(await read({ location: 'weights.bin', offset: '4', length: '12' }), [1, 2, 3])
  assert.equal(await read({ location: 'parts/weights.bin', checksum: 'ignored' }), [7, 8, 9])
})

test('no external tensor leads out of the folder, or past the end of its file', async () => {
  mkdirSync(folder, { recursive: true })
  symlinkSync(join(temporary, 'secret'), join(folder, 'link'))
  symlinkSync(temporary, join(folder, 'up'))
  mkdirSync(join(temporary, 'model-beside'), { recursive: true })
  symlinkSync(join(temporary, 'model-beside'), join(folder, 'beside'))
  writeFileSync(join(temporary, 'model-beside', 'secret'), new Uint8Array(12))
  const refused: readonly Record<string, string>[] = [
    { location: '../secret' },
    { location: 'parts/../../secret' },
    { location: join(temporary, 'secret') },
    { location: 'link' },
    { location: 'up/secret' },
    { location: 'beside/secret' },
    { location: 'parts' },
    { location: 'missing.bin' },
    { location: 'C:\\secret' },
    { location: '..\\secret' },
    { location: 'weights.bin', offset: '8' },
    { location: 'weights.bin', offset: '999999999999999' },
    { location: 'weights.bin', length: '11' },
    { location: 'weights.bin', length: '16' },
  ]
  for (const entries of refused) {
    assert.is(await codeOf(() => readModelFile(written(entries))), 'external_data', JSON.stringify(entries))
  }
  const malformed: readonly Record<string, string>[] = [
    { offset: '4' },
    { location: '' },
    { location: 'weights.bin', offset: '-4' },
    { location: 'weights.bin', length: '1e3' },
  ]
  for (const entries of malformed) {
    assert.is(await codeOf(() => readModelFile(written(entries))), 'malformed_model', JSON.stringify(entries))
  }
})

test('limits come before tensors are read', async () => {
  const huge = [varintField(1, 2 ** 14), varintField(1, 2 ** 14), varintField(2, 1)]
  const one = (name: string): Rope => {
    const entry = bytesField(13, [stringField(1, 'location'), stringField(2, 'weights.bin')])
    return [huge, stringField(8, name), entry, varintField(14, 1)]
  }
  // Two of 2^28 numbers each, of a file of 16 bytes.
  const graph = [bytesField(5, one('a')), bytesField(5, one('b'))]
  written({ location: 'weights.bin' })
  writeFileSync(path, ropeBytes([bytesField(7, graph), bytesField(8, varintField(2, 17))]))
  assert.is(await codeOf(() => readModelFile(path)), 'oversized')
  writeFileSync(path, ropeBytes([bytesField(7, graph[0]!), bytesField(8, varintField(2, 17))]))
  assert.is(await codeOf(() => readModelFile(path)), 'external_data')
})

test('a file that is missing, a folder, or cut is an error with a code', async () => {
  const code = await readModelFile(join(temporary, 'nowhere.onnx')).then(() => 'none', errorCode)
  assert.is(code, 'unreadable_model')
  assert.is(await codeOf(() => readModelFile(temporary)), 'malformed_model')
  const bytes = fileOf(external({ location: 'weights.bin' }))
  written({ location: 'weights.bin' })
  for (let length = 0; length < bytes.length; length += 7) {
    writeFileSync(path, bytes.subarray(0, length))
    assert.ok(['malformed_model', 'external_data', 'none'].includes(await codeOf(() => readModelFile(path))))
  }
})

test('written files leave nothing half done beside them, and a model that refers to what is there', async () => {
  const large = Float32Array.from({ length: 300 }, (_, i) => i / 7)
  const file = openModelFile(fileOf([head(1, 300), bytesField(9, bytesFrom(large))]))
  const target = join(temporary, 'out', 'large.onnx')
  for (const add of [0, 1, 1, 2]) {
    const values = new Map([['w', large.map((value) => value + add)]])
    await writeModelFile(target, file, { values, external: true })
    const { model } = await readModelFile(target)
    assert.equal(new Float32Array(model.graph.initializers.get('w')!.data.buffer as ArrayBuffer), values.get('w'))
    assert.is(readdirSync(join(temporary, 'out')).length, 2)
  }
  // Whole again, the tensors beside are gone, and the file is as it was.
  await writeModelFile(target, await readModelFile(target), { values: new Map([['w', large]]), external: false })
  assert.equal(readdirSync(join(temporary, 'out')), ['large.onnx'])
  assert.equal(numbers(readFileSync(target)), [...large])
})

test('a model made here goes out whole, or with its tensors beside it', async () => {
  const g = createGraphBuilder('line')
  const values = Array.from({ length: 128 }, (_, i) => i / 3)
  const weights = g.initializer('w', tensorOf('float32', [128], values))
  g.output('y', g.op('Mul', [g.input('x', 'float32', ['batch', 128]), weights]))
  const model = g.model()
  await exportModel(join(temporary, 'made', 'whole.onnx'), model)
  assert.ok(Buffer.compare(readFileSync(join(temporary, 'made', 'whole.onnx')), encodeModel(model)) === 0)
  await exportModel(join(temporary, 'made', 'beside.onnx'), model, { external: true })
  assert.is(readdirSync(join(temporary, 'made')).length, 3)
  const again = await readModelFile(join(temporary, 'made', 'beside.onnx'))
  assert.equal(again.model.graph.initializers.get('w')!.data, model.graph.initializers.get('w')!.data)
})

test.run()
