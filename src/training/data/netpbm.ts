/** Netpbm's binary images: P5 (PGM, grey) and P6 (PPM, colour), 8 bits a sample. */
import { BadImage, checkSize, type Image } from './image.ts'

/** Comments included. */
const maxHeaderBytes = 4096

export function isNetpbm(bytes: Uint8Array): boolean {
  return bytes[0] === 0x50 && (bytes[1] === 0x35 || bytes[1] === 0x36) && /\s/.test(String.fromCharCode(bytes[2] ?? 0))
}

export function decodeNetpbm(bytes: Uint8Array): Image {
  const header = Buffer.from(bytes.subarray(0, maxHeaderBytes)).toString('latin1')
  const gap = String.raw`(?:\s|#[^\n\r]*[\n\r])+`
  const found = new RegExp(String.raw`^P([56])${gap}(\d{1,9})${gap}(\d{1,9})${gap}(\d{1,9})\s`).exec(header)
  if (found === null) throw new BadImage('this is neither PNG nor binary PGM or PPM (P5, P6).')
  const [channels, width, height, most] = [found[1] === '5' ? 1 : 3, ...found.slice(2).map(Number)] as [
    1 | 3,
    number,
    number,
    number,
  ]
  checkSize(width, height)
  if (most < 1 || most > 255) throw new BadImage(`samples to ${most} are not read, only 8 bits (to 255).`)
  const length = width * height * channels
  const samples = bytes.subarray(found[0].length, found[0].length + length)
  if (samples.length < length) throw new BadImage(`${samples.length} of ${length} samples are there; is it complete?`)
  const pixels =
    most === 255 ? samples.slice() : samples.map((value) => Math.round((Math.min(value, most) * 255) / most))
  return { channels, height, width, pixels }
}
