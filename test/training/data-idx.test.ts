import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { blake3Of, OwmError } from '../../src/lib/index.ts'
import { createRandom } from '../../src/onnx/index.ts'
import { readIdx } from '../../src/training/data/idx-file.ts'
import { openDataset } from '../../src/training/index.ts'
import { suite } from '../suite.ts'
import { checkDataset, examplesOf, failure, put } from './data-files.ts'

const test = suite('IDX images')
const random = createRandom(5)

function idx(shape: readonly number[], values: Uint8Array): Uint8Array {
  const header = Buffer.alloc(4 + 4 * shape.length)
  header.set([0, 0, 8, shape.length])
  for (const [axis, size] of shape.entries()) header.writeUInt32BE(size, 4 + 4 * axis)
  return Buffer.concat([header, values])
}
const pixels = (count: number, size: number): Uint8Array =>
  Uint8Array.from({ length: count * size }, () => random.below(256))
const count = 200
const images = pixels(count, 6)
const labels = Uint8Array.from({ length: count }, (_, at) => at % 4)
const imageFile = put('images', idx([count, 2, 3], images))
const labelFile = put('labels', idx([count], labels))
const source = { kind: 'idx', images: imageFile, labels: labelFile, heldOutShare: 64 } as const

test('pixels become shades from 0 to 1, labels classes, each on the side that its pixels decide', () => {
  const { training, heldOut } = checkDataset(source)
  const expected = Array.from({ length: count }, (_, at) => {
    const own = images.subarray(6 * at, 6 * at + 6)
    return { heldOut: blake3Of(own)[0]! < 64, example: [[...own].map((value) => Math.fround(value / 255)), [at % 4]] }
  })
  const of = (side: boolean) => expected.filter(({ heldOut }) => heldOut === side).map(({ example }) => example)
  assert.equal(training, of(false))
  assert.equal(heldOut, of(true))
})

test('shapes keep their axes, or are rows of numbers', () => {
  assert.equal(openDataset(source, 'training').fields, [
    { name: 'inputs', type: 'float32', shape: [1, 2, 3] },
    { name: 'targets', type: 'int32', shape: [], values: 4 },
  ])
  assert.equal(openDataset({ ...source, flat: true }, 'training').fields[0]!.shape, [6])
  const colours = put('colours', idx([4, 3, 2, 2], pixels(4, 12)))
  const few = put('few', idx([4], Uint8Array.of(0, 1, 2, 9)))
  const dataset = openDataset({ kind: 'idx', images: colours, labels: few, heldOutShare: 0 }, 'training')
  assert.equal(
    dataset.fields.map(({ shape }) => shape),
    [[3, 2, 2], []],
  )
  assert.equal(dataset.classes?.length, 10)
})

test('compressed or not, the content is the same', () => {
  const zipped = {
    ...source,
    images: put('images.gz', gzipSync(idx([count, 2, 3], images))),
    labels: put('l.bin', gzipSync(idx([count], labels))),
  }
  assert.equal(examplesOf(zipped, 'training'), examplesOf(source, 'training'))
  assert.is(openDataset(zipped, 'training').fingerprint, openDataset(source, 'training').fingerprint)
})

test('files of their own are held out whole', () => {
  const other = {
    images: put('t-images', idx([7, 2, 3], pixels(7, 6))),
    labels: put('t-labels', idx([7], Uint8Array.of(0, 1, 2, 3, 4, 5, 5))),
  }
  const pair = { ...source, heldOut: other }
  const training = openDataset(pair, 'training')
  const heldOut = openDataset(pair, 'heldOut')
  assert.equal([training.length, heldOut.length], [count, 7])
  assert.equal(training.fields, heldOut.fields)
  assert.is(training.classes?.length, 6)
})

test('two images that are equal are on one side, whatever their labels', () => {
  const one = pixels(1, 6)
  const twice = Buffer.concat(Array.from({ length: 40 }, () => one))
  const files = {
    images: put('same', idx([40, 2, 3], twice)),
    labels: put('same-labels', idx([40], labels.subarray(0, 40))),
  }
  const parts = (['training', 'heldOut'] as const).map((part) => {
    try {
      return openDataset({ kind: 'idx', ...files, heldOutShare: 128 }, part).length
    } catch {
      return 0
    }
  })
  assert.equal(parts.toSorted(), [0, 40].toSorted())
})

const nine = put('nine', idx([9], labels.subarray(0, 9)))
for (const [name, content, problem] of [
  ['no IDX', Buffer.from('hello'), /begins with two zero bytes/],
  ['floats', Uint8Array.of(0, 0, 13, 1, 0, 0, 0, 1, 0), /type 13/],
  ['too many axes', Uint8Array.of(0, 0, 8, 9), /9 axes/],
  ['an empty file', new Uint8Array(0), /begins with two zero bytes/],
  ['a short file', idx([9, 2, 3], pixels(8, 6)), /70 bytes are announced by the header, and there are 64/],
  ['a long file', idx([9, 2, 3], pixels(10, 6)), /70 bytes are announced/],
  ['nothing', idx([0, 2, 3], new Uint8Array(0)), /there is nothing in 0x2x3/],
  ['more than fits', idx([2 ** 31, 2 ** 31], new Uint8Array(0)), /more than fit/],
  [
    'a broken archive',
    Buffer.concat([gzipSync(idx([9, 2, 3], pixels(9, 6))).subarray(0, 40), Buffer.alloc(20)]),
    /decompressed|gzip/,
  ],
  ['an archive that grows', gzipSync(idx([9, 2, 3], new Uint8Array(10_000_000))), /more than the 70 bytes announced/],
] as const) {
  test(`${name} is an error that names the file`, () => {
    const file = put('bad', content)
    const { code, message } = failure({ ...source, images: file, labels: nine })
    assert.is(code, 'malformed_data')
    assert.ok(message.startsWith(file), message)
    assert.match(message, problem)
  })
}

test('images and labels that do not belong together are refused', () => {
  const few = put('few-labels', idx([count - 1], labels.subarray(1)))
  assert.match(failure({ ...source, labels: few }).message, /199 labels for the 200 images/)
  assert.match(failure({ ...source, labels: imageFile }).message, /images, not labels/)
  assert.match(failure({ ...source, images: labelFile }).message, /labels, not images/)
  const other = { images: put('o', idx([1, 3, 3], pixels(1, 9))), labels: put('ol', idx([1], Uint8Array.of(0))) }
  assert.match(failure({ ...source, heldOut: other }).message, /3x3|images of/)
  assert.is(failure({ ...source, images: '/nowhere' }).code, 'unreadable_data')
  assert.is(failure({ ...source, heldOutShare: 0 }, 'heldOut').code, 'no_training_data')
  assert.is(failure({ ...source, heldOutShare: 256 }).code, 'bad_data_source')
})

test('no bytes do harm', () => {
  const good = idx([3, 2, 2], pixels(3, 4))
  const mutated = fc.tuple(fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { maxLength: 4 }), fc.boolean())
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 64 }), mutated), (input) => {
      let bytes = input as Uint8Array
      if (!(input instanceof Uint8Array)) {
        bytes = input[1] ? gzipSync(good) : Uint8Array.from(good)
        for (const [at, value] of input[0]) bytes[at % bytes.length] = value
      }
      try {
        const { shape, values } = readIdx(put('fuzzed', bytes))
        assert.is(
          values.length,
          shape.reduce((product, size) => product * size, 1),
        )
      } catch (error) {
        assert.instance(error, OwmError)
      }
    }),
    { numRuns: 300 },
  )
})

test.run()
