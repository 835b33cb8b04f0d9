import { mkdirSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { crc32, deflateSync } from 'node:zlib'
import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { OwmError } from '../../src/lib/index.ts'
import { createRandom } from '../../src/onnx/index.ts'
import { decodeImage } from '../../src/training/data/decode-image.ts'
import { openDataset } from '../../src/training/index.ts'
import { suite } from '../suite.ts'
import { checkDataset, exampleOf, failure, folder, put } from './data-files.ts'

const test = suite('class folders')
const random = createRandom(8)
const bytes = (length: number): Uint8Array => Uint8Array.from({ length }, () => random.below(256))
const netpbm = (sign: string, width: number, height: number, samples: Uint8Array, most = 255): Uint8Array =>
  Buffer.concat([Buffer.from(`${sign}\n# made here\n${width} ${height}\n${most}\n`), samples])

interface Png {
  readonly width: number
  readonly height: number
  readonly colour: number
  readonly bits?: number
  /** Rows of samples as they are packed. */
  readonly rows: readonly Uint8Array[]
  readonly palette?: Uint8Array
  readonly interlace?: number
}

/** With each row filtered in another way. */
function png({ width, height, colour, bits = 8, rows, palette, interlace = 0 }: Png): Uint8Array {
  const chunk = (type: string, content: Uint8Array): Uint8Array => {
    const body = Buffer.concat([Buffer.from(type), content])
    const out = Buffer.alloc(body.length + 8)
    out.writeUInt32BE(content.length)
    out.set(body, 4)
    out.writeUInt32BE(crc32(body), body.length + 4)
    return out
  }
  const header = Buffer.alloc(13)
  header.writeUInt32BE(width)
  header.writeUInt32BE(height, 4)
  header.set([bits, colour, 0, 0, interlace], 8)
  const samples = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 }[colour] ?? 1
  const step = Math.max(1, (samples * bits) >> 3)
  const filtered = rows.map((row, y) => {
    const filter = y % 5
    const out = new Uint8Array(row.length + 1)
    out[0] = filter
    for (const [x, value] of row.entries()) {
      const left = x < step ? 0 : row[x - step]!
      const up = rows[y - 1]?.[x] ?? 0
      const corner = x < step ? 0 : (rows[y - 1]?.[x - step] ?? 0)
      const guess = left + up - corner
      const near = [left, up, corner].reduce((best, one) =>
        Math.abs(guess - one) < Math.abs(guess - best) ? one : best,
      )
      out[x + 1] = value - [0, left, up, (left + up) >> 1, near][filter]!
    }
    return out
  })
  const data = deflateSync(Buffer.concat(filtered))
  return Buffer.concat([
    Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a),
    chunk('IHDR', header),
    ...(palette === undefined ? [] : [chunk('PLTE', palette)]),
    chunk('tEXt', Buffer.from('passed over')),
    chunk('IDAT', data.subarray(0, 5)),
    chunk('IDAT', data.subarray(5)),
    chunk('IEND', new Uint8Array(0)),
  ])
}

for (const [colour, samples, kept] of [
  [0, 1, [0]],
  [2, 3, [0, 1, 2]],
  [4, 2, [0]],
  [6, 4, [0, 1, 2]],
] as const) {
  test(`PNG of colour type ${colour}, under every filter`, () => {
    const rows = Array.from({ length: 11 }, () => bytes(7 * samples))
    const image = decodeImage(png({ width: 7, height: 11, colour, rows }), 'x')
    const expected = rows.flatMap((row) =>
      Array.from({ length: 7 }, (_, x) => kept.map((channel) => row[x * samples + channel]!)).flat(),
    )
    assert.equal([image.width, image.height, image.channels, [...image.pixels]], [7, 11, kept.length, expected])
  })
}

test('PNG of few bits and of a palette', () => {
  const bits = decodeImage(
    png({
      width: 5,
      height: 2,
      colour: 0,
      bits: 2,
      rows: [Uint8Array.of(0b00011011, 0b11000000), Uint8Array.of(0, 0)],
    }),
    'x',
  )
  assert.equal([...bits.pixels], [0, 85, 170, 255, 255, 0, 0, 0, 0, 0])
  const palette = Uint8Array.of(1, 2, 3, 40, 50, 60)
  const rows = [Uint8Array.of(0b10000000)]
  assert.equal(
    [...decodeImage(png({ width: 2, height: 1, colour: 3, bits: 1, rows, palette }), 'x').pixels],
    [40, 50, 60, 1, 2, 3],
  )
})

test('PGM and PPM, with comments and with fewer shades', () => {
  const grey = decodeImage(netpbm('P5', 2, 2, Uint8Array.of(0, 5, 10, 15), 15), 'x')
  assert.equal([grey.channels, ...grey.pixels], [1, 0, 85, 170, 255])
  const colour = decodeImage(netpbm('P6', 1, 2, Uint8Array.of(1, 2, 3, 4, 5, 6)), 'x')
  assert.equal([colour.channels, colour.height, ...colour.pixels], [3, 2, 1, 2, 3, 4, 5, 6])
})

const pixels = Array.from({ length: 60 }, () => bytes(12))
for (const [at, own] of pixels.entries()) {
  const content =
    at % 2 === 0
      ? netpbm('P5', 3, 4, own)
      : png({ width: 3, height: 4, colour: 0, rows: [0, 3, 6, 9].map((from) => own.subarray(from, from + 3)) })
  put(`digits/${at % 3 === 0 ? 'zero' : 'other'}/${String(at).padStart(2, '0')}.image`, content)
}
put('digits/.hidden/x', 'passed over')
put('digits/readme.txt', 'passed over')
const images = { kind: 'folder', root: join(folder, 'digits'), content: { kind: 'images' }, heldOutShare: 64 } as const

test('images of any kind in folders by class', () => {
  const { training, heldOut } = checkDataset(images)
  const found = [...training, ...heldOut].map((one) => `${one}`).sort()
  const expected = pixels.map(
    (own, at) => `${[...own].map((value) => Math.fround(value / 255))},${at % 3 === 0 ? 1 : 0}`,
  )
  assert.equal(found, expected.sort())
  const dataset = openDataset(images, 'training')
  assert.equal(
    [dataset.fields[0]!.shape, dataset.classes],
    [
      [1, 4, 3],
      ['other', 'zero'],
    ],
  )
  assert.equal(openDataset({ ...images, content: { kind: 'images', flat: true } }, 'training').fields[0]!.shape, [12])
  assert.match(dataset.about, /grey images of 3x4 in 2 classes/)
})

test('colours lie one behind the other', () => {
  put('colours/a/1.ppm', netpbm('P6', 2, 1, Uint8Array.of(0, 51, 102, 153, 204, 255)))
  const dataset = openDataset({ ...images, root: join(folder, 'colours'), heldOutShare: 0 }, 'training')
  const shades = [0, 153, 51, 204, 102, 255].map((value) => Math.fround(value / 255))
  assert.equal([dataset.fields[0]!.shape, exampleOf(dataset, 0)[0]], [[3, 1, 2], shades])
})

test('of any files, the first bytes', () => {
  for (let at = 0; at < 30; at++) put(`mail/${at % 2 === 0 ? 'spam' : 'ham'}/${at}`, `message ${at}`)
  const source = { ...images, root: join(folder, 'mail'), content: { kind: 'bytes', length: 12 } } as const
  const { training, heldOut } = checkDataset(source)
  const texts = [...training, ...heldOut].map(([inputs, target]) => `${Buffer.from(inputs!)}${target}`)
  const expected = Array.from({ length: 30 }, (_, at) => `${`message ${at}`.padEnd(12, '\0')}${at % 2 === 0 ? 1 : 0}`)
  assert.equal(texts.sort(), expected.sort())
})

test('links are not followed, and a folder without classes is an error', () => {
  mkdirSync(join(folder, 'linked/a'), { recursive: true })
  symlinkSync(join(folder, 'digits/zero'), join(folder, 'linked/b'))
  symlinkSync(join(folder, 'digits/zero/00.image'), join(folder, 'linked/a/1'))
  assert.is(failure({ ...images, root: join(folder, 'linked') }).code, 'no_training_data')
  assert.is(failure({ ...images, root: join(folder, 'linked/a') }).code, 'no_training_data')
  assert.is(failure({ ...images, root: join(folder, 'nowhere') }).code, 'unreadable_data')
})

test('images of two sizes are an error that names the file when it is read', () => {
  put('sizes/a/1', netpbm('P5', 3, 4, pixels[0]!))
  const odd = put('sizes/a/2', netpbm('P5', 4, 3, pixels[0]!))
  const dataset = openDataset({ ...images, root: join(folder, 'sizes'), heldOutShare: 0 }, 'training')
  exampleOf(dataset, 0)
  assert.throws(
    () => exampleOf(dataset, 1),
    (error: OwmError) => error.code === 'malformed_data' && error.message.startsWith(`${odd}: it is 4x3`),
  )
})

const good = png({
  width: 3,
  height: 4,
  colour: 0,
  rows: [0, 3, 6, 9].map((from) => pixels[0]!.subarray(from, from + 3)),
})
for (const [name, content, problem] of [
  ['no image', Buffer.from('GIF89a'), /neither PNG nor/],
  ['a short PGM', netpbm('P5', 3, 4, pixels[0]!.subarray(1)), /11 of 12 samples/],
  ['16 bits', netpbm('P5', 1, 1, Uint8Array.of(1, 1), 65535), /only 8 bits/],
  ['a giant', netpbm('P5', 99_999, 99_999, new Uint8Array(1)), /99999x99999/],
  ['a cut PNG', good.subarray(0, -20), /ends too early/],
  ['a damaged PNG', Uint8Array.from(good, (value, at) => (at === 60 ? value ^ 1 : value)), /is damaged/],
  ['an interlaced PNG', png({ width: 1, height: 1, colour: 0, rows: [Uint8Array.of(1)], interlace: 1 }), /interlaced/],
  [
    'a PNG of 16 bits',
    png({ width: 1, height: 1, colour: 0, bits: 16, rows: [Uint8Array.of(1, 1)] }),
    /16 bits of colour type 0/,
  ],
  ['a PNG with too few rows', png({ width: 1, height: 2, colour: 0, rows: [Uint8Array.of(1)] }), /2 of 4 bytes/],
  [
    'a PNG with too many rows',
    png({ width: 1, height: 1, colour: 0, rows: [Uint8Array.of(1), Uint8Array.of(1)] }),
    /decompressed/,
  ],
  [
    'a colour outside the palette',
    png({ width: 1, height: 1, colour: 3, rows: [Uint8Array.of(9)], palette: Uint8Array.of(1, 2, 3) }),
    /not in its palette/,
  ],
] as const) {
  test(`${name} is an error that names the file`, () => {
    assert.throws(
      () => decodeImage(content, 'some/file'),
      (error: OwmError) => {
        assert.is(error.code, 'malformed_data')
        assert.ok(error.message.startsWith('some/file: '))
        assert.match(error.message, problem)
        return true
      },
    )
  })
}

test('no image does harm', () => {
  const changes = fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { maxLength: 4 })
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 80 }), changes), (input) => {
      const image = input instanceof Uint8Array ? Buffer.concat([good.subarray(0, 8), input]) : Uint8Array.from(good)
      if (!(input instanceof Uint8Array)) for (const [at, value] of input) image[at] = value
      try {
        const { width, height, channels, pixels } = decodeImage(image, 'x')
        assert.is(pixels.length, width * height * channels)
      } catch (error) {
        assert.instance(error, OwmError)
      }
    }),
    { numRuns: 500 },
  )
})

test.run()
