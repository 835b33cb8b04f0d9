/**
 * Tensors in a file, by name, in the format that other frameworks read too (https://github.com/huggingface/safetensors,
 * "Format"): a length, a header of JSON, then the bytes, aligned to eight. Of its types, those used here.
 */
import { z } from 'zod'
import { OwmError } from '../lib/index.ts'

export interface NamedTensor {
  readonly name: string
  readonly shape: readonly number[]
  readonly data: Float32Array
}
export interface TensorFile {
  readonly tensors: readonly NamedTensor[]
  readonly metadata: Readonly<Record<string, string>>
}

/** The format's own limit. */
const maxHeaderBytes = 100_000_000
const alignment = 8
const entrySchema = z.strictObject({
  dtype: z.literal('F32'),
  shape: z.array(z.int().min(0)).max(8),
  data_offsets: z.tuple([z.int().min(0), z.int().min(0)]),
})
const headerSchema = z
  .looseObject({ __metadata__: z.record(z.string(), z.string()).optional() })
  .transform(({ __metadata__, ...entries }) => ({ metadata: __metadata__ ?? {}, entries }))

/** The file as chunks, so that large tensors are not copied. */
export function encodeTensors({ tensors, metadata }: TensorFile): Uint8Array[] {
  let offset = 0
  const entries = tensors.map(({ name, shape, data }) => {
    const from = offset
    offset += data.byteLength
    return [name, { dtype: 'F32', shape, data_offsets: [from, offset] }] as const
  })
  const json = JSON.stringify({ __metadata__: metadata, ...Object.fromEntries(entries) })
  const bytes = Buffer.from(json)
  const header = Buffer.alloc(8 + Math.ceil(bytes.length / alignment) * alignment, ' ')
  header.writeBigUInt64LE(BigInt(header.length - 8))
  bytes.copy(header, 8)
  return [header, ...tensors.map(({ data }) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength))]
}

/** Tensors are views into `bytes` where these are aligned, else copies. @throws OwmError `malformed_tensors` */
export function decodeTensors(bytes: Uint8Array): TensorFile {
  if (bytes.length < 8) throw malformed('it has no header')
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const headerBytes = view.getBigUint64(0, true)
  if (headerBytes > maxHeaderBytes || headerBytes > bytes.length - 8) throw malformed('its header is longer than it')
  const body = bytes.subarray(8 + Number(headerBytes))
  let json: unknown
  try {
    json = JSON.parse(Buffer.from(bytes.subarray(8, 8 + Number(headerBytes))).toString())
  } catch {
    throw malformed('its header is no JSON')
  }
  const header = headerSchema.safeParse(json)
  if (!header.success) throw malformed('its metadata are no strings')
  let end = 0
  const tensors = Object.entries(header.data.entries).map(([name, value]): NamedTensor => {
    const entry = entrySchema.safeParse(value)
    if (!entry.success) throw malformed(`the tensor ${name} is not one of float32 with a shape and a place`)
    const { shape, data_offsets } = entry.data
    const [from, to] = data_offsets
    const count = shape.reduce((product, size) => product * size, 1)
    if (from !== end || to - from !== count * 4 || to > body.length) {
      throw malformed(`the data of the tensor ${name} do not fill its shape, in their order`)
    }
    end = to
    const part = body.subarray(from, to)
    const data = part.byteOffset % 4 === 0 ? part : part.slice()
    return { name, shape, data: new Float32Array(data.buffer, data.byteOffset, count) }
  })
  if (end !== body.length) throw malformed('it has bytes that belong to no tensor')
  return { tensors, metadata: header.data.metadata }
}

function malformed(what: string): OwmError {
  return new OwmError('malformed_tensors', `Not a safetensors file of float32: ${what}.`)
}
