/**
 * An ONNX file of one's own, from any exporter: its graph as it is written there, and the file itself, so that it can be
 * written again with other weights and nothing else changed.
 */
import { open } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import { OwmError } from '../lib/index.ts'
import { decodeForeign, type ForeignModel, ownFileLimits } from './decode.ts'
import { readExternal, readRange } from './external.ts'
import { elementCount } from './model.ts'
import { type ExternalReference, type StoredTensor, unsupported } from './read-tensor.ts'

export interface ModelFile {
  readonly bytes: Uint8Array
  readonly model: ForeignModel
}

/** All the weights of a file: 2^28 numbers, 1 GiB of float32. */
const maxWeights = 1 << 28

/** @throws OwmError `oversized`, `malformed_model`, `unsupported_model`; external tensors need `readModelFile` */
export function openModelFile(bytes: Uint8Array): ModelFile {
  const external = (): never => {
    throw unsupported('tensors outside the file, where no file is')
  }
  return checked({ bytes, model: decodeForeign(bytes, { external }) })
}

/**
 * Reads a model from the user's own disk, with the tensors that it keeps in other files of its folder.
 *
 * @throws OwmError as `openModelFile`, `unreadable_model`, and `external_data` where such a file cannot be used
 */
export async function readModelFile(path: string, signal?: AbortSignal): Promise<ModelFile> {
  const bytes = await readWhole(path)
  // Read twice: first to see what is wanted, so that all files are read before a tensor is made.
  const wanted: { readonly reference: ExternalReference; readonly stored: StoredTensor }[] = []
  let total = 0
  const survey = (reference: ExternalReference, stored: StoredTensor): undefined => {
    total += elementCount(stored.shape)
    checkWeights(total)
    wanted.push({ reference, stored })
  }
  decodeForeign(bytes, { external: survey })
  const found = [...(await readExternal(dirname(path), wanted, signal)).values()]
  let at = 0
  return checked({ bytes, model: decodeForeign(bytes, { external: () => found[at++]! }) })
}

async function readWhole(path: string): Promise<Uint8Array> {
  const file = await open(path, 'r').catch((cause: NodeJS.ErrnoException) => {
    const reason = cause.code === 'ENOENT' ? 'there is no such file' : cause.message
    throw new OwmError('unreadable_model', `The model ${path} cannot be read: ${reason}.`, { path }, cause)
  })
  try {
    const stat = await file.stat()
    if (!stat.isFile()) throw new OwmError('malformed_model', `${path} is no file.`)
    const { maxBytes } = ownFileLimits
    if (stat.size > maxBytes)
      throw new OwmError('oversized', `A model of ${stat.size} bytes is over the limit of ${maxBytes}.`)
    return await readRange(file, 0, stat.size, basename(path))
  } finally {
    await file.close()
  }
}

function checked(file: ModelFile): ModelFile {
  let total = 0
  for (const { shape } of file.model.stored.values()) total += elementCount(shape)
  checkWeights(total)
  return file
}
function checkWeights(total: number): void {
  if (total > maxWeights) throw new OwmError('oversized', `A model of more than ${maxWeights} weights.`, { total })
}
