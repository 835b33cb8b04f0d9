/** Examples as one block of bytes: what a run's checkpoints are measured on, where that is no text. */
import { z } from 'zod'
import { blake3Of, decode, encode, OwmError, toHex } from '../../lib/index.ts'
import { elementCount } from '../../onnx/index.ts'
import type { Dataset, Field } from './dataset.ts'

/** As many as the test images of MNIST, and some more. */
const maxExamples = 16_384
/** What is sent to every trainer, once. */
const maxBlockBytes = 48 * 1024 * 1024
const overheadBytes = 1024

const blockSchema = z.strictObject({
  v: z.literal(1),
  count: z.int().min(1).max(maxExamples),
  tensors: z.record(z.string().max(64), z.instanceof(Uint8Array)),
})

/** Some of the examples, evenly spread: float32 and int32, little-endian, under the names of their fields. */
export function encodeExamples(dataset: Dataset, wanted = maxExamples): Uint8Array {
  const bytesEach = exampleBytes(dataset.fields)
  const fitting = Math.floor((maxBlockBytes - overheadBytes) / bytesEach)
  const count = Math.min(dataset.length, wanted, maxExamples, Math.max(1, fitting))
  const buffers = dataset.fields.map(({ type, shape }) => {
    const length = count * elementCount(shape)
    return type === 'float32' ? new Float32Array(length) : new Int32Array(length)
  })
  for (let row = 0; row < count; row++) dataset.read(Math.floor((row * dataset.length) / count), buffers, row)
  const tensors = Object.fromEntries(dataset.fields.map(({ name }, at) => [name, new Uint8Array(buffers[at]!.buffer)]))
  return encode({ v: 1, count, tensors })
}

/** @throws RejectedError as `decode`; OwmError `bad_held_out` where they are not as the fields say */
export function openExamples(bytes: Uint8Array, fields: readonly Field[]): Dataset {
  const { count, tensors } = decode(bytes, blockSchema, maxBlockBytes)
  const parts = fields.map((field) => {
    const part = tensors[field.name]
    if (part?.byteLength !== 4 * count * elementCount(field.shape)) {
      throw new OwmError('bad_held_out', `${count} examples to measure on do not have ${field.name} as the run says.`)
    }
    const { buffer } = new Uint8Array(part)
    const values = field.type === 'float32' ? new Float32Array(buffer) : new Int32Array(buffer)
    if (field.type === 'int32' && values.some((value) => value < 0 || value >= field.values)) {
      throw new OwmError('bad_held_out', `Examples to measure on have ${field.name} beyond ${field.values}.`)
    }
    return { values, size: elementCount(field.shape) }
  })
  return {
    about: `${count} held-out examples`,
    fields,
    length: count,
    fingerprint: toHex(blake3Of(bytes)),
    read: (index, into, row) => {
      for (const [at, { values, size }] of parts.entries()) {
        into[at]!.set(values.subarray(index * size, (index + 1) * size) as never, row * size)
      }
    },
    close: () => undefined,
  }
}

function exampleBytes(fields: readonly Field[]): number {
  return fields.reduce((sum, { shape }) => sum + 4 * elementCount(shape), 0)
}
