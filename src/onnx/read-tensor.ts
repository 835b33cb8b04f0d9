/** Reads `TensorProto`: raw bytes, as we write them; or, of files from elsewhere, typed lists and external data too. */
import { OwmError } from '../lib/index.ts'
import { type ElementType, elementBytes, elementCount, elementTypes, type Tensor } from './model.ts'
import { isNarrow, widened } from './narrow-floats.ts'
import { type Field, readFields } from './protobuf.ts'

/** Where an external tensor's bytes are. */
export interface ExternalReference {
  /** A path relative to the model's folder. Not to be trusted. */
  readonly location: string
  readonly offset: number
  /** Absent: as many bytes as the tensor has. */
  readonly length: number | undefined
}
/** How a tensor stands in its file. */
export interface StoredTensor {
  /** ONNX's number, of a type that may be narrower than what it was read as. */
  readonly type: number
  readonly shape: readonly number[]
  readonly external: ExternalReference | undefined
}
/** What is read of files from elsewhere beyond what our own have. */
export interface ForeignTensors {
  /** The bytes of an external tensor; undefined to leave it empty, where only the references are wanted. */
  external(reference: ExternalReference, stored: StoredTensor): Uint8Array | undefined
}

export const maxRank = 8
/** No tensor has more elements, whatever its type; keeps products of sizes exact too. */
const maxElements = 1 << 28
const typeNames = new Map(Object.entries(elementTypes).map(([name, number]) => [number as number, name as ElementType]))
const externalLocation = 1

export function readType(number: number, foreign: boolean): ElementType {
  const type = foreign && isNarrow(number) ? 'float32' : typeNames.get(number)
  if (type === undefined) throw unsupported(`the element type ${number}`)
  return type
}
export const storedBytes = ({ type, shape }: StoredTensor): number =>
  elementCount(shape) * (isNarrow(type) ? 2 : elementBytes[readType(type, false)])

interface NamedTensor {
  readonly name: string
  readonly tensor: Tensor
  readonly stored: StoredTensor
}

export function readTensor(bytes: Uint8Array, foreign?: ForeignTensors): NamedTensor {
  const shape: number[] = []
  let name = ''
  let number = 0
  let raw: Uint8Array | undefined
  let location = 0
  const typed: Field[] = []
  const entries = new Map<string, string>()
  for (const field of readFields(bytes)) {
    if (field.number === 1) shape.push(...field.integers(maxRank))
    else if (field.number === 2) number = field.integer()
    else if (field.number === 8) name = field.string()
    else if (field.number === 9) raw = field.bytes()
    else if (foreign !== undefined && isTyped(field.number)) typed.push(field)
    else if (foreign !== undefined && field.number === 13) readEntry(field.bytes(), entries)
    else if (foreign !== undefined && field.number === 14) location = field.integer()
    // A description, or metadata.
    else if (field.number !== 12 && (foreign === undefined || field.number !== 16)) {
      throw unsupported('a tensor whose data is not raw bytes in the file itself')
    }
    if (shape.length > maxRank) throw malformed(`a tensor of more than ${maxRank} axes`)
  }
  if (number === 0) throw malformed(`the tensor ${name} without a type`)
  const type = readType(number, foreign !== undefined)
  if (shape.some((size) => size < 0)) throw malformed(`the tensor ${name} with a negative size`)
  const count = elementCount(shape)
  if (count > maxElements) throw new OwmError('oversized', `The tensor ${name} has more than ${maxElements} elements.`)
  const external = location === externalLocation ? referenceOf(name, entries) : undefined
  const stored = { type: number, shape, external }
  const width = storedBytes(stored)
  let data: Uint8Array
  if (external !== undefined) {
    const given = foreign!.external(external, stored)
    if (given === undefined) return { name, tensor: { type, shape, data: new Uint8Array() }, stored }
    data = given
  } else if (raw === undefined && typed.length > 0) data = typedData(number, type, count, typed)
  else data = raw ?? new Uint8Array()
  if (data.length !== width) throw malformed(`the tensor ${name} whose data do not fill its shape`)
  return {
    name,
    tensor: { type, shape, data: type === 'float32' && isNarrow(number) ? widened(data, number) : data },
    stored,
  }
}

/** Fields of numbers: float_data, int32_data, int64_data, double_data. */
const isTyped = (field: number): boolean => field === 4 || field === 5 || field === 7 || field === 10

function typedData(number: number, type: ElementType, count: number, fields: readonly Field[]): Uint8Array {
  const wanted = type === 'float64' ? 10 : type === 'int64' ? 7 : number === elementTypes.float32 ? 4 : 5
  if (fields.some((field) => field.number !== wanted)) throw malformed('a tensor whose data are of another type')
  if (wanted === 4 || wanted === 10) {
    const parts = fields.map((field) => field.fixed(wanted === 4 ? 4 : 8))
    return parts.length === 1 ? parts[0]! : new Uint8Array(Buffer.concat(parts))
  }
  const values = fields.flatMap((field) => field.bigints(count))
  if (type === 'int64') return new Uint8Array(BigInt64Array.from(values, (value) => BigInt.asIntN(64, value)).buffer)
  const numbers = values.map((value) => Number(BigInt.asIntN(32, value)))
  // Two bytes of each are a narrow float's bits.
  if (isNarrow(number)) return new Uint8Array(Uint16Array.from(numbers).buffer)
  return new Uint8Array((type === 'int32' ? Int32Array.from(numbers) : Uint8Array.from(numbers)).buffer)
}

function readEntry(bytes: Uint8Array, entries: Map<string, string>): void {
  let [key, value] = ['', '']
  for (const field of readFields(bytes)) {
    if (field.number === 1) key = field.string()
    else if (field.number === 2) value = field.string()
  }
  if (entries.size > 16) throw malformed('a tensor with too many references')
  entries.set(key, value)
}

function referenceOf(name: string, entries: ReadonlyMap<string, string>): ExternalReference {
  const numberOf = (key: string): number | undefined => {
    const text = entries.get(key)
    if (text === undefined) return undefined
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN
    if (Number.isNaN(value)) throw malformed(`the tensor ${name} with the ${key} "${text}"`)
    return value
  }
  const location = entries.get('location')
  if (location === undefined || location === '') throw malformed(`the external tensor ${name} without a location`)
  return { location, offset: numberOf('offset') ?? 0, length: numberOf('length') }
}

export function malformed(what: string): OwmError {
  return new OwmError('malformed_model', `Not a valid ONNX file: ${what}.`)
}
export function unsupported(what: string): OwmError {
  return new OwmError('unsupported_model', `This ONNX file uses ${what}, which is not supported.`)
}
