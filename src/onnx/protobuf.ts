/**
 * Protocol Buffers' wire format (https://protobuf.dev/programming-guides/encoding), as much as ONNX needs.
 *
 * A message being written is a rope of parts: a tensor's bytes are copied once, into the final file. A message being
 * read may come from anybody: every length is checked against what is left before anything is made of it.
 */
import { OwmError } from '../lib/index.ts'

export type Rope = Uint8Array | readonly Rope[]

const varint = 0
const fixed64 = 1
const lengthDelimited = 2
const fixed32 = 5
const utf8 = new TextDecoder('utf-8', { fatal: true })

export function varintField(field: number, value: number | bigint): Rope {
  return [varintBytes(field * 8 + varint), varintBytes(value)]
}
export function bytesField(field: number, value: Rope): Rope {
  return [varintBytes(field * 8 + lengthDelimited), varintBytes(ropeLength(value)), value]
}
export function stringField(field: number, value: string): Rope {
  return bytesField(field, Buffer.from(value, 'utf8'))
}
export function floatField(field: number, value: number): Rope {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setFloat32(0, value, true)
  return [varintBytes(field * 8 + fixed32), bytes]
}

/** Two's complement over 64 bits: a negative number takes ten bytes. */
function varintBytes(value: number | bigint): Uint8Array {
  const bytes: number[] = []
  let rest = BigInt.asUintN(64, BigInt(value))
  while (rest > 127n) {
    bytes.push(Number(rest & 127n) | 128)
    rest >>= 7n
  }
  bytes.push(Number(rest))
  return Uint8Array.from(bytes)
}

function ropeLength(rope: Rope): number {
  return rope instanceof Uint8Array ? rope.length : rope.reduce((sum, part) => sum + ropeLength(part), 0)
}

export function ropeBytes(rope: Rope): Uint8Array {
  const bytes = new Uint8Array(ropeLength(rope))
  let offset = 0
  const copy = (part: Rope): void => {
    if (part instanceof Uint8Array) {
      bytes.set(part, offset)
      offset += part.length
    } else for (const inner of part) copy(inner)
  }
  copy(rope)
  return bytes
}

/** One field of a message. The value's form follows from the wire type; the caller asks for the form it expects. */
export class Field {
  readonly number: number
  readonly #value: bigint | Uint8Array
  readonly #whole: () => Uint8Array

  constructor(number: number, value: bigint | Uint8Array, whole: () => Uint8Array) {
    this.number = number
    this.#value = value
    this.#whole = whole
  }

  /** The field as it is written, with its key: a view into the message. */
  whole(): Uint8Array {
    return this.#whole()
  }

  /** Length-delimited content, a view into the message. */
  bytes(): Uint8Array {
    if (typeof this.#value === 'bigint') throw malformed(`field ${this.number} holds a number where bytes belong`)
    return this.#value
  }
  string(maxBytes = 1024): string {
    const bytes = this.bytes()
    if (bytes.length > maxBytes) throw malformed(`a text of ${bytes.length} bytes where ${maxBytes} are allowed`)
    try {
      return utf8.decode(bytes)
    } catch {
      throw malformed(`the text of field ${this.number} is not UTF-8`)
    }
  }
  /** A signed integer that a double holds exactly. */
  integer(): number {
    if (typeof this.#value !== 'bigint') throw malformed(`field ${this.number} holds bytes where a number belongs`)
    return safeInteger(this.#value)
  }
  float(): number {
    if (typeof this.#value !== 'bigint') throw malformed(`field ${this.number} holds bytes where a number belongs`)
    return new Float32Array(Uint32Array.of(Number(BigInt.asUintN(32, this.#value))).buffer)[0]!
  }
  /** A repeated float, packed or not. */
  floats(maxCount: number): number[] {
    if (typeof this.#value === 'bigint') return [this.float()]
    const view = new DataView(this.#value.buffer, this.#value.byteOffset, this.#value.byteLength)
    const count = view.byteLength / 4
    if (!Number.isInteger(count) || count > maxCount) throw malformed(`field ${this.number} is no list of floats`)
    return Array.from({ length: count }, (_, i) => view.getFloat32(i * 4, true))
  }
  /** Numbers of a fixed size, packed or not, as they are written. */
  fixed(bytesEach: 4 | 8): Uint8Array {
    if (typeof this.#value !== 'bigint') return this.#value
    return new Uint8Array(BigUint64Array.of(this.#value).buffer).subarray(0, bytesEach)
  }
  /** A repeated integer, packed or not. */
  integers(maxCount: number): number[] {
    return this.bigints(maxCount).map(safeInteger)
  }
  /** The same in 64 bits, whose upper half is negative. */
  bigints(maxCount: number): bigint[] {
    if (typeof this.#value === 'bigint') return [this.#value]
    const values: bigint[] = []
    for (let at = 0; at < this.#value.length; ) {
      if (values.length >= maxCount) throw malformed(`more than ${maxCount} numbers in field ${this.number}`)
      const [value, next] = readVarint(this.#value, at)
      values.push(value)
      at = next
    }
    return values
  }
}

/** The fields of a message in their order. Groups, long dead, are refused. */
export function* readFields(message: Uint8Array): Generator<Field> {
  const view = new DataView(message.buffer, message.byteOffset, message.byteLength)
  for (let at = 0; at < message.length; ) {
    const from = at
    const whole = (to: number) => () => message.subarray(from, to)
    const [key, start] = readVarint(message, at)
    const number = Number(key >> 3n)
    const wire = Number(key & 7n)
    if (number === 0 || key > 0xffff_ffffn) throw malformed('a field number out of range')
    if (wire === varint) {
      const [value, next] = readVarint(message, start)
      at = next
      yield new Field(number, value, whole(at))
    } else if (wire === fixed32 || wire === fixed64) {
      at = start + (wire === fixed32 ? 4 : 8)
      if (at > message.length) throw malformed('the message ends within a number')
      const value = wire === fixed32 ? BigInt(view.getUint32(start, true)) : view.getBigUint64(start, true)
      yield new Field(number, value, whole(at))
    } else if (wire === lengthDelimited) {
      const [length, next] = readVarint(message, start)
      if (length > BigInt(message.length - next)) throw malformed('a length points past the end')
      at = next + Number(length)
      yield new Field(number, message.subarray(next, at), whole(at))
    } else throw malformed(`wire type ${wire}`)
  }
}

function readVarint(bytes: Uint8Array, at: number): [bigint, number] {
  let low = 0
  // Most varints are short: four bytes fit a number, the rest goes through bigint.
  for (let i = 0; i < 4; i++) {
    const byte = bytes[at + i]
    if (byte === undefined) throw malformed('the message ends within a number')
    low |= (byte & 127) << (7 * i)
    if (byte < 128) return [BigInt(low), at + i + 1]
  }
  let value = BigInt(low)
  for (let i = 4; i < 10; i++) {
    const byte = bytes[at + i]
    if (byte === undefined) throw malformed('the message ends within a number')
    value |= BigInt(byte & 127) << BigInt(7 * i)
    if (byte < 128) return [BigInt.asUintN(64, value), at + i + 1]
  }
  throw malformed('a number of more than ten bytes')
}

function safeInteger(unsigned: bigint): number {
  const value = BigInt.asIntN(64, unsigned)
  // The ends of the range stand for "to the end", in a slice.
  if (value === 2n ** 63n - 1n) return Number.MAX_SAFE_INTEGER
  if (value === -(2n ** 63n)) return Number.MIN_SAFE_INTEGER
  const number = Number(value)
  if (!Number.isSafeInteger(number)) throw malformed(`the number ${value} is out of range`)
  return number
}

function malformed(what: string): OwmError {
  return new OwmError('malformed_model', `Not a valid ONNX file: ${what}.`)
}
