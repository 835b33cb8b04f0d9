import { OwmError } from '../../lib/index.ts'

/**
 * What is summed: `length` integers, each of `bits` bits in a peer's contribution, of at most `peers` peers. The sum is
 * taken modulo 2^w with w just wide enough that it cannot wrap: `bits` and the bits of the number of peers.
 */
export interface SumShape {
  readonly length: number
  /** A summand is in `[-2^(bits-1), 2^(bits-1))`. */
  readonly bits: number
  readonly peers: number
}

/** Shares and bitmaps grow with it; a run's roster is not longer. */
export const maxPeers = 1024
/** uint32 arithmetic wraps at 2^32, and so at each smaller power of two. */
export const maxModulusBits = 32
/** 15 MiB of a masked contribution, at least 2 bits each. */
export const maxLength = 60_000_000

/** @throws OwmError `bad_privacy` */
export function checkShape({ length, bits, peers }: SumShape): void {
  const fits =
    Number.isInteger(length) && length >= 1 && length <= maxLength && Number.isInteger(bits) && bits >= 2 && peers >= 2
  if (fits && Number.isInteger(peers) && peers <= maxPeers && bits + peerBits(peers) <= maxModulusBits) return
  throw new OwmError(
    'bad_privacy',
    `${length} elements of ${bits} bits of ${peers} peers cannot be summed modulo 2^${maxModulusBits}.`,
  )
}

/** ceil(log2(peers)). */
function peerBits(peers: number): number {
  return 32 - Math.clz32(peers - 1)
}

/** w: the modulus is 2^w. */
export function modulusBits({ bits, peers }: SumShape): number {
  return bits + peerBits(peers)
}

/** Bytes of `length` elements of w bits, packed. */
export function packedBytes(shape: SumShape): number {
  return Math.ceil((shape.length * modulusBits(shape)) / 8)
}

/** Packs the low w bits of each element, from the lowest bit of the first byte on. */
export function pack(elements: Uint32Array, shape: SumShape): Uint8Array {
  const width = modulusBits(shape)
  const mask = maskOf(width)
  const packed = new Uint32Array(Math.ceil((elements.length * width) / 32))
  let bit = 0
  for (let i = 0; i < elements.length; i++, bit += width) {
    const value = (elements[i]! & mask) >>> 0
    // Beyond 2^31 bits `>>>` would not do: a bit's index is a double.
    const word = Math.floor(bit / 32)
    const offset = bit % 32
    packed[word] = packed[word]! | (value << offset)
    if (offset + width > 32) packed[word + 1] = value >>> (32 - offset)
  }
  return new Uint8Array(packed.buffer, 0, packedBytes({ ...shape, length: elements.length }))
}

/** The elements of packed bytes; null where the length is wrong or a bit after the last element is set. */
export function unpack(packed: Uint8Array, shape: SumShape): Uint32Array | null {
  if (packed.length !== packedBytes(shape)) return null
  const width = modulusBits(shape)
  const spare = packed.length * 8 - shape.length * width
  if (spare > 0 && packed[packed.length - 1]! >> (8 - spare) !== 0) return null
  const mask = maskOf(width)
  const words = new Uint32Array(Math.ceil(packed.length / 4) + 1)
  new Uint8Array(words.buffer).set(packed)
  const elements = new Uint32Array(shape.length)
  let bit = 0
  for (let i = 0; i < elements.length; i++, bit += width) {
    const word = Math.floor(bit / 32)
    const offset = bit % 32
    let value = words[word]! >>> offset
    if (offset + width > 32) value |= words[word + 1]! << (32 - offset)
    elements[i] = value & mask
  }
  return elements
}

/** As a signed number in `[-2^(w-1), 2^(w-1))`. */
export function signedElement(element: number, width: number): number {
  const shift = 32 - width
  return (element << shift) >> shift
}

function maskOf(width: number): number {
  return width === 32 ? 0xffffffff : 2 ** width - 1
}
