/** Writes a file of one's own again, with other weights and nothing else changed. */
import { createHash } from 'node:crypto'
import { readdir, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { OwmError, writeFileAtomic } from '../lib/index.ts'
import { encodeModel } from './encode.ts'
import { elementCount, type Model } from './model.ts'
import { type ModelFile, openModelFile } from './model-file.ts'
import { isNarrow, narrowed } from './narrow-floats.ts'
import { bytesField, type Rope, readFields, ropeBytes, stringField, varintField } from './protobuf.ts'
import type { StoredTensor } from './read-tensor.ts'

/** Tensors of a file that is too large for protobuf go beside it; well below its 2 GiB. */
const externalFrom = 1.5 * 2 ** 30
/** Tensors go beside the file from this size on, to places that a runtime can map; axes and shapes stay. */
const minExternalBytes = 256
const alignmentBytes = 4096

function checkValues(file: ModelFile, values: ReadonlyMap<string, Float32Array>): void {
  for (const [name, { length }] of values) {
    const tensor = file.model.graph.initializers.get(name)
    if (tensor?.type !== 'float32' || elementCount(tensor.shape) !== length) {
      throw new OwmError('wrong_length', `The file has no tensor "${name}" of ${length} float32.`, { name })
    }
  }
}

/**
 * The file with other values of some of its tensors, which it has by these names. All else, and what is equal, stays
 * byte for byte. Narrow floats are rounded to the file's type.
 *
 * @throws OwmError `wrong_length`; `external_data` where tensors are outside the file: see `writeModelFile`
 */
export function withTensors(file: ModelFile, values: ReadonlyMap<string, Float32Array>): Uint8Array {
  for (const { external } of file.model.stored.values()) {
    if (external !== undefined) {
      throw new OwmError('external_data', 'This model keeps tensors in other files: write it to a folder.')
    }
  }
  checkValues(file, values)
  return rewritten(file, values, undefined)
}

/**
 * Writes the file with other values of some tensors; whole or, where it keeps tensors outside, is larger than 1.5 GiB or
 * `external` asks for it, with one file of tensors beside it, whose name says its content: the model is complete at
 * every instant. Such a file of an older state of this model is removed.
 */
export async function writeModelFile(
  path: string,
  file: ModelFile,
  {
    values = new Map(),
    external,
  }: { readonly values?: ReadonlyMap<string, Float32Array>; readonly external?: boolean } = {},
): Promise<void> {
  checkValues(file, values)
  const outside = [...file.model.stored.values()].some((stored) => stored.external !== undefined)
  const total = [...file.model.graph.initializers.values()].reduce((sum, { data }) => sum + data.length, 0)
  const folder = dirname(path)
  const prefix = `${basename(path)}.`
  if (total <= externalFrom && !(external ?? outside)) {
    await writeFileAtomic(path, rewritten(file, values, { location: '', places: new Map() }))
    await removeOthers(folder, prefix)
    return
  }
  const places = new Map<string, ExternalPlace>()
  const digest = createHash('sha256')
  let end = 0
  const parts: Uint8Array[] = []
  for (const [name, stored] of file.model.stored) {
    const data = dataOf(file, name, stored, values)
    if (data.length < minExternalBytes) continue
    const gap = (alignmentBytes - (end % alignmentBytes)) % alignmentBytes
    parts.push(new Uint8Array(gap), data)
    digest.update(name).update(data)
    places.set(name, { offset: end + gap, length: data.length })
    end += gap + data.length
  }
  const location = `${prefix}${digest.digest('hex').slice(0, 16)}.data`
  if (parts.length > 0) await writeFileAtomic(join(folder, location), parts)
  await writeFileAtomic(path, rewritten(file, values, { location, places }))
  await removeOthers(folder, prefix, location)
}

/** Tensors of an older state of the model, to which nothing refers any more. */
async function removeOthers(folder: string, prefix: string, kept?: string): Promise<void> {
  for (const name of await readdir(folder)) {
    const own = name.startsWith(prefix) && /^[0-9a-f]{16}\.data$/.test(name.slice(prefix.length))
    if (own && name !== kept) await rm(join(folder, name), { force: true })
  }
}

/** Writes a model that was made here, in the same way. */
export async function exportModel(
  path: string,
  model: Model,
  options: { readonly external?: boolean } = {},
): Promise<void> {
  await writeModelFile(path, openModelFile(encodeModel(model)), options)
}

interface ExternalPlace {
  readonly offset: number
  readonly length: number
}
interface Outside {
  readonly location: string
  readonly places: ReadonlyMap<string, ExternalPlace>
}

/** A tensor's bytes as the file's type has them: new ones, or its own. */
function dataOf(
  file: ModelFile,
  name: string,
  stored: StoredTensor,
  values: ReadonlyMap<string, Float32Array>,
): Uint8Array {
  const given = values.get(name)
  const data =
    given === undefined
      ? file.model.graph.initializers.get(name)!.data
      : new Uint8Array(given.buffer, given.byteOffset, given.byteLength)
  return isNarrow(stored.type) ? narrowed(new Float32Array(data.slice().buffer), stored.type) : data
}

/** Copies the file's fields, and writes anew the tensors whose content or place changes. */
function rewritten(
  file: ModelFile,
  values: ReadonlyMap<string, Float32Array>,
  outside: Outside | undefined,
): Uint8Array {
  const tensor = (bytes: Uint8Array): Rope => {
    let name = ''
    for (const field of readFields(bytes)) if (field.number === 8) name = field.string()
    const stored = file.model.stored.get(name)
    if (stored === undefined) return bytes
    const place = outside?.places.get(name)
    const moves = outside !== undefined && (place !== undefined || stored.external !== undefined)
    const data = dataOf(file, name, stored, values)
    const same = !values.has(name) || Buffer.compare(data, dataOf(file, name, stored, new Map())) === 0
    if (same && !moves) return bytes
    const kept = [...readFields(bytes)]
      .filter((field) => !contentFields.has(field.number))
      .map((field) => field.whole())
    return [kept, place === undefined ? bytesField(9, data) : externalFields(outside!.location, place)]
  }
  const graph = (bytes: Uint8Array): Rope => replaced(bytes, 5, tensor)
  return ropeBytes(replaced(file.bytes, 7, graph))
}
/** Data of all kinds, and where they are. */
const contentFields: ReadonlySet<number> = new Set([4, 5, 6, 7, 9, 10, 11, 13, 14])

function externalFields(location: string, { offset, length }: ExternalPlace): Rope {
  const entries = { location, offset: String(offset), length: String(length) }
  return [
    Object.entries(entries).map(([key, value]) => bytesField(13, [stringField(1, key), stringField(2, value)])),
    varintField(14, 1),
  ]
}

/** A message with one of its fields replaced wherever it occurs, and all others as they are. */
function replaced(message: Uint8Array, number: number, replace: (bytes: Uint8Array) => Rope): Rope {
  return [...readFields(message)].map((field) => {
    if (field.number !== number) return field.whole()
    const content = field.bytes()
    const next = replace(content)
    return next === content ? field.whole() : bytesField(number, next)
  })
}
