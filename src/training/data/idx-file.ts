/** IDX, the format of MNIST's files (LeCun, Cortes and Burges 1998): two zeros, a type, a number of axes, their sizes, the values. */
import { constants, gunzipSync } from 'node:zlib'
import { openFile, readBounded } from './file.ts'
import { malformed } from './malformed.ts'

export interface IdxArray {
  readonly shape: readonly number[]
  readonly values: Uint8Array
}

/** Held in memory as they are. */
const maxFileBytes = 1024 ** 3
const maxAxes = 4
const unsignedByte = 8
/** Of a compressed file, enough to hold the header; a thousand times as much at most comes out of it. */
const headerBytes = 4096

/** Compressed with gzip or not, whatever its name. @throws OwmError `malformed_data`, `unreadable_data` */
export function readIdx(file: string): IdxArray {
  const bytes = readBounded(file, maxFileBytes)
  const compressed = isGzip(bytes)
  const { shape, start } = readHeader(file, compressed ? inflateHead(file, bytes) : bytes)
  const length = start + shape.reduce((product, size) => product * size, 1)
  const content = compressed ? inflate(file, bytes, length) : bytes
  if (content.length !== length) {
    const problem = `${length} bytes are announced by the header, and there are ${content.length}; is the file complete?`
    throw malformed(file, `offset ${Math.min(content.length, length)}`, problem)
  }
  return { shape, values: content.subarray(start) }
}

/** What the header announces, without the values. @throws OwmError as `readIdx` */
export function readIdxShape(file: string): readonly number[] {
  const opened = openFile(file)
  try {
    const head = new Uint8Array(headerBytes)
    const bytes = head.subarray(0, opened.read(head, 0))
    return readHeader(file, isGzip(bytes) ? inflateHead(file, bytes) : bytes).shape
  } finally {
    opened.close()
  }
}

/** The shape that the first bytes of a file announce; undefined where it is no IDX file. For finding out what a file is. */
export function sniffIdx(head: Uint8Array): readonly number[] | undefined {
  try {
    return readHeader('', isGzip(head) ? inflateHead('', head) : head).shape
  } catch {
    return undefined
  }
}

function isGzip(bytes: Uint8Array): boolean {
  return bytes[0] === 0x1f && bytes[1] === 0x8b
}

function readHeader(file: string, bytes: Uint8Array): { readonly shape: readonly number[]; readonly start: number } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (bytes.length < 4 || view.getUint16(0) !== 0) {
    throw malformed(file, 'offset 0', 'this is no IDX file, which begins with two zero bytes.')
  }
  const axes = view.getUint8(3)
  if (view.getUint8(2) !== unsignedByte) {
    throw malformed(file, 'offset 2', `values of type ${view.getUint8(2)} are not read, only unsigned bytes (type 8).`)
  }
  if (axes < 1 || axes > maxAxes || bytes.length < 4 + 4 * axes) {
    throw malformed(file, 'offset 3', `${axes} axes, where 1 to ${maxAxes} and their sizes should be.`)
  }
  const shape = Array.from({ length: axes }, (_, axis) => view.getUint32(4 + 4 * axis))
  if (shape.includes(0)) throw malformed(file, 'offset 4', `there is nothing in ${shape.join('x')} values.`)
  const count = shape.reduce((product, size) => product * size, 1)
  if (count > maxFileBytes) throw malformed(file, 'offset 4', `${shape.join('x')} bytes are more than fit.`)
  return { shape, start: 4 + 4 * axes }
}

function inflateHead(file: string, bytes: Uint8Array): Uint8Array {
  try {
    return gunzipSync(bytes.subarray(0, headerBytes), { finishFlush: constants.Z_SYNC_FLUSH })
  } catch (cause) {
    throw malformed(file, '', `it is not what gzip has written: ${(cause as Error).message}.`)
  }
}

/** No more than the header has announced: what is small on the disk can be large in memory. */
function inflate(file: string, bytes: Uint8Array, length: number): Uint8Array {
  try {
    return gunzipSync(bytes, { maxOutputLength: length })
  } catch (cause) {
    const more = (cause as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE'
    const problem = more ? `there are more than the ${length} bytes announced.` : `${(cause as Error).message}.`
    throw malformed(file, '', `decompressed, ${problem}`)
  }
}
