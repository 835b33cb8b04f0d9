/**
 * Adapters as a file of their own, with the names and shapes that PEFT gives them
 * (https://huggingface.co/docs/peft/developer_guides/checkpoint): `lora_A` [rank, inputs], `lora_B` [outputs, rank].
 * The metadata say of which base they are: adapters are of no use with another.
 */
import { z } from 'zod'
import { blake3Of, OwmError, toHex } from '../../lib/index.ts'
import { splitParameters } from '../../onnx/index.ts'
import { decodeTensors, encodeTensors } from '../safetensors.ts'
import { transposed } from '../tied-weights.ts'
import type { AdaptedModel } from './adapt.ts'

export interface AdapterFileMetadata {
  readonly rank: number
  readonly alpha: number
  /** Names of the adapted weights. */
  readonly targets: readonly string[]
  /** BLAKE3 of the base's weights, in hexadecimal. */
  readonly base: string
}

const numberText = z
  .string()
  .max(32)
  .regex(/^-?\d+(\.\d+)?(e[+-]?\d+)?$/)
  .transform(Number)
const targetsText = z
  .string()
  .max(1 << 20)
  .transform((text, context) => {
    try {
      return JSON.parse(text) as unknown
    } catch {
      context.addIssue('no JSON')
      return z.NEVER
    }
  })
  .pipe(z.array(z.string().max(1024)).max(50_000))
const metadataSchema = z.object({
  rank: numberText,
  alpha: numberText,
  targets: targetsText,
  base: z.string().regex(/^[0-9a-f]{64}$/),
})

/** What a file names its base by: of one length and order of weights, every bit counts. */
export function weightsHash(weights: Float32Array): string {
  return toHex(blake3Of(new Uint8Array(weights.buffer, weights.byteOffset, weights.byteLength)))
}

/** The file, as chunks. @throws OwmError `wrong_length` */
export function encodeAdapters(model: AdaptedModel, adapters: Float32Array): Uint8Array[] {
  const metadata: Record<keyof AdapterFileMetadata | 'format', string> = {
    format: 'pt',
    rank: `${model.rank}`,
    alpha: `${model.alpha}`,
    targets: JSON.stringify(model.adapters.map(({ parameter }) => parameter)),
    base: weightsHash(model.weights),
  }
  const tensors = splitParameters(model.layout, adapters).map(({ name, shape, values }) => {
    const [rows, columns] = shape as [number, number]
    return { name, shape: [columns, rows], data: transposed(values, rows, columns) }
  })
  return encodeTensors({ tensors, metadata })
}

/**
 * What the file says, so that `withAdapters(base, weights, { rank, alpha, targets })` makes the model for it.
 *
 * @throws OwmError `malformed_tensors`, `malformed_adapters`
 */
export function readAdapterMetadata(file: Uint8Array): AdapterFileMetadata {
  const found = metadataSchema.safeParse(decodeTensors(file).metadata)
  if (!found.success) {
    const field = found.error.issues[0]?.path.join('.')
    throw new OwmError('malformed_adapters', `The adapter file does not say its ${field}.`, { field })
  }
  return found.data
}

/**
 * The adapters in the model's layout.
 *
 * @throws OwmError `malformed_tensors`, `malformed_adapters`, `wrong_base` (other base weights), `wrong_adapters`
 *   (other rank, alpha, weights or shapes)
 */
export function decodeAdapters(file: Uint8Array, model: AdaptedModel): Float32Array {
  const { rank, alpha, base } = readAdapterMetadata(file)
  const unlike = (what: string): OwmError => new OwmError('wrong_adapters', `Adapters for another model: ${what}.`)
  if (base !== weightsHash(model.weights)) {
    throw new OwmError('wrong_base', `These adapters are of a base with the hash ${base}, not of this one.`, { base })
  }
  if (rank !== model.rank || alpha !== model.alpha) {
    throw unlike(`rank ${rank} and alpha ${alpha}, where it has ${model.rank} and ${model.alpha}`)
  }
  const tensors = new Map(decodeTensors(file).tensors.map((tensor) => [tensor.name, tensor]))
  const adapters = new Float32Array(model.layout.length)
  for (const { name, shape, values } of splitParameters(model.layout, adapters)) {
    const [rows, columns] = shape as [number, number]
    const tensor = tensors.get(name)
    if (tensor === undefined) throw unlike(`it has no ${name}`)
    tensors.delete(name)
    if (tensor.shape.join() !== `${columns},${rows}`) {
      throw unlike(`${name} of shape [${tensor.shape.join(', ')}], where it has [${columns}, ${rows}]`)
    }
    values.set(transposed(tensor.data, columns, rows))
  }
  const [extra] = tensors.keys()
  if (extra !== undefined) throw unlike(`it has ${extra}, which the model has not`)
  return adapters
}
