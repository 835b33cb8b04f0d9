/** PNG (W3C, third edition): 1 to 8 bits a sample, not interlaced. Transparency is left out, as most training does. */
import { crc32, inflateSync } from 'node:zlib'
import { BadImage, checkSize, type Image } from './image.ts'

const signature = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a)
/** Of the colour types: grey, colour, palette, grey with transparency, colour with transparency. */
const samplesOf: Readonly<Record<number, number>> = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 }
const bytesAround = 12

interface Header {
  readonly width: number
  readonly height: number
  readonly bits: number
  readonly colour: number
}

export function isPng(bytes: Uint8Array): boolean {
  return bytes.length > signature.length && signature.every((byte, at) => bytes[at] === byte)
}

export function decodePng(bytes: Uint8Array): Image {
  let header: Header | undefined
  let palette: Uint8Array | undefined
  const data: Uint8Array[] = []
  for (const { type, content } of chunksOf(bytes)) {
    if (type === 'IHDR') header = readHeader(content)
    else if (type === 'PLTE') palette = content
    else if (type === 'IDAT') data.push(content)
  }
  if (header === undefined) throw new BadImage('a PNG without a header.')
  const { width, height, bits, colour } = header
  const samples = samplesOf[colour]!
  const rowBytes = Math.ceil((width * samples * bits) / 8)
  const lines = inflate(Buffer.concat(data), height * (rowBytes + 1))
  unfilter(lines, height, rowBytes, Math.max(1, (samples * bits) >> 3))
  const channels = colour === 0 || colour === 4 ? 1 : 3
  const pixels = new Uint8Array(width * height * channels)
  const scale = colour === 3 ? 1 : 255 / (2 ** bits - 1)
  let to = 0
  for (let y = 0; y < height; y++) {
    const start = y * (rowBytes + 1) + 1
    const sample = (at: number): number => {
      const bit = at * bits
      return (lines[start + (bit >> 3)]! >> (8 - bits - (bit & 7))) & (2 ** bits - 1)
    }
    for (let x = 0; x < width; x++) {
      for (let channel = 0; channel < channels; channel++) {
        const value = colour === 3 ? palette?.[3 * sample(x) + channel] : sample(x * samples + channel) * scale
        if (value === undefined) throw new BadImage('a colour that is not in its palette.')
        pixels[to++] = value
      }
    }
  }
  return { channels, height, width, pixels }
}

function* chunksOf(bytes: Uint8Array): Generator<{ readonly type: string; readonly content: Uint8Array }> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  for (let at = signature.length; at + bytesAround <= bytes.length; ) {
    const length = view.getUint32(at)
    if (length > bytes.length - at - bytesAround) break
    const type = Buffer.from(bytes.subarray(at + 4, at + 8)).toString('latin1')
    const sum = crc32(bytes.subarray(at + 4, at + 8 + length))
    if (sum !== view.getUint32(at + 8 + length)) throw new BadImage(`its part ${JSON.stringify(type)} is damaged.`)
    if (type === 'IEND') return
    yield { type, content: bytes.subarray(at + 8, at + 8 + length) }
    at += length + bytesAround
  }
  throw new BadImage('it ends too early; is it complete?')
}

function readHeader(content: Uint8Array): Header {
  if (content.length !== 13) throw new BadImage('a header of a wrong length.')
  const view = new DataView(content.buffer, content.byteOffset, content.byteLength)
  const [width, height] = [view.getUint32(0), view.getUint32(4)]
  const [bits, colour, compression, filter, interlace] = content.subarray(8)
  checkSize(width, height)
  const small = bits === 1 || bits === 2 || bits === 4
  if (samplesOf[colour!] === undefined || !(bits === 8 || (small && (colour === 0 || colour === 3)))) {
    throw new BadImage(`${bits} bits of colour type ${colour} are not read; save it with 8 bits a channel.`)
  }
  if (compression !== 0 || filter !== 0 || interlace !== 0) {
    throw new BadImage('interlaced images are not read; save it without.')
  }
  return { width, height, bits: bits!, colour: colour! }
}

/** No more than the header has announced. */
function inflate(data: Uint8Array, length: number): Uint8Array {
  let lines: Uint8Array
  try {
    lines = inflateSync(data, { maxOutputLength: length })
  } catch (error) {
    throw new BadImage(`its pixels cannot be decompressed: ${(error as Error).message}.`)
  }
  if (lines.length !== length) throw new BadImage(`${lines.length} of ${length} bytes of pixels are there.`)
  return lines
}

/** Each line says in its first byte from what its bytes are counted (section 9). */
function unfilter(lines: Uint8Array, height: number, rowBytes: number, step: number): void {
  for (let y = 0; y < height; y++) {
    const start = y * (rowBytes + 1) + 1
    const filter = lines[start - 1]!
    if (filter > 4) throw new BadImage(`line ${y} has the filter ${filter}, which does not exist.`)
    for (let x = 0; x < rowBytes; x++) {
      const at = start + x
      const left = x < step ? 0 : lines[at - step]!
      const up = y === 0 ? 0 : lines[at - rowBytes - 1]!
      const corner = x < step || y === 0 ? 0 : lines[at - rowBytes - 1 - step]!
      lines[at] = lines[at]! + predicted(filter, left, up, corner)
    }
  }
}

function predicted(filter: number, left: number, up: number, corner: number): number {
  switch (filter) {
    case 1:
      return left
    case 2:
      return up
    case 3:
      return (left + up) >> 1
    case 4:
      return paeth(left, up, corner)
    default:
      return 0
  }
}

/** The one of the three that is nearest to left + up - corner. */
function paeth(left: number, up: number, corner: number): number {
  const guess = left + up - corner
  const [byLeft, byUp, byCorner] = [Math.abs(guess - left), Math.abs(guess - up), Math.abs(guess - corner)]
  if (byLeft <= byUp && byLeft <= byCorner) return left
  return byUp <= byCorner ? up : corner
}
