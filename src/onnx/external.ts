/**
 * Tensors that a model keeps outside its file (onnx.proto, `data_location = EXTERNAL`). A reference comes from the file,
 * so it may point anywhere: only plain files in the model's own folder are read, and only within their length.
 */
import { constants } from 'node:fs'
import { type FileHandle, open, realpath } from 'node:fs/promises'
import { isAbsolute, join, sep } from 'node:path'
import { errorCode, OwmError } from '../lib/index.ts'
import { type ExternalReference, type StoredTensor, storedBytes } from './read-tensor.ts'

/** Older exporters write one file a tensor. */
const maxOpenFiles = 64

/** Reads what the references point at, each into a buffer of its own. */
export async function readExternal(
  folder: string,
  wanted: readonly { readonly reference: ExternalReference; readonly stored: StoredTensor }[],
  signal?: AbortSignal,
): Promise<Map<ExternalReference, Uint8Array>> {
  const found = new Map<ExternalReference, Uint8Array>()
  const open = new Map<string, FileHandle>()
  try {
    for (const { reference, stored } of wanted) {
      signal?.throwIfAborted()
      const { location, offset, length } = reference
      const bytes = storedBytes(stored)
      if (length !== undefined && length !== bytes) {
        throw refused(location, `${length} bytes are given for a tensor of ${bytes}`)
      }
      let file = open.get(location)
      if (file === undefined) {
        if (open.size >= maxOpenFiles) await closeAll(open)
        file = await openWithin(folder, location)
        open.set(location, file)
      }
      const { size } = await file.stat()
      if (offset + bytes > size) throw refused(location, `it ends before a tensor of ${bytes} bytes at ${offset}`)
      found.set(reference, await readRange(file, offset, bytes, location))
    }
    return found
  } finally {
    await closeAll(open)
  }
}

async function closeAll(open: Map<string, FileHandle>): Promise<void> {
  for (const file of open.values()) await file.close()
  open.clear()
}

/** Opens a plain file that is in the folder, with no way out by `..`, by a link or by a name that is not plain. */
async function openWithin(folder: string, location: string): Promise<FileHandle> {
  const names = location.split('/')
  if (isAbsolute(location) || names.some((name) => name === '..') || /[\\:\0]/.test(location)) {
    throw refused(location, 'it is not within the model’s folder')
  }
  try {
    const [inside, path] = [await realpath(folder), await realpath(join(folder, location))]
    if (!path.startsWith(inside.endsWith(sep) ? inside : inside + sep)) {
      throw refused(location, 'a link leads out of the model’s folder')
    }
    const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
    if ((await file.stat()).isFile()) return file
    await file.close()
    throw refused(location, 'it is no plain file')
  } catch (error) {
    if (error instanceof OwmError) throw error
    throw refused(location, errorCode(error))
  }
}

/** A file of any size; a buffer of the exact length. */
export async function readRange(file: FileHandle, offset: number, bytes: number, name: string): Promise<Uint8Array> {
  const buffer = new Uint8Array(bytes)
  for (let at = 0; at < bytes; ) {
    const { bytesRead } = await file.read(buffer, at, Math.min(bytes - at, readAtOnce), offset + at)
    if (bytesRead === 0) throw refused(name, 'it became shorter while it was read')
    at += bytesRead
  }
  return buffer
}
/** What the system reads in one call is bounded. */
const readAtOnce = 1 << 28

function refused(location: string, why: string): OwmError {
  const message = `The file "${location}", in which the model keeps tensors, cannot be used: ${why}.`
  return new OwmError('external_data', message, { location })
}
