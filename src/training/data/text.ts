/**
 * Text as examples of a language model: a window from each place. Files of a folder are held out whole; of a file that
 * is named by itself, blocks of lines are, so that what is held out reads on for a page. Tokens are held in memory, one
 * to four bytes each.
 */
import { statSync } from 'node:fs'
import { errorCode } from '../../lib/index.ts'
import type { TextSource } from '../index.ts'
import { readTextFiles } from '../text-files.ts'
import type { DataPart } from './dataset.ts'
import { openFile } from './file.ts'
import { noData, unreadable } from './malformed.ts'
import type { OpenDataset } from './source.ts'
import type { SourceOf } from './source-schema.ts'
import { emptyPart, isHeldOut } from './split.ts'
import { windowsOfText } from './tokens.ts'
import { plural } from './wording.ts'

export interface Text {
  readonly bytes: Uint8Array
  readonly files: number
  readonly skipped: Readonly<Record<string, number>>
}

/** A file is cut into about this many blocks, each long enough to hold many windows. */
const blocks = 256
const leastBlockBytes = 1024
const mostBlockBytes = 64 * 1024
const lineFeed = 10

/** `windows`: int32 [context + 1]. @throws OwmError `no_training_data`, `malformed_data`, `unreadable_data` */
export function openText(source: SourceOf<'text'>, part: DataPart): OpenDataset {
  const { bytes, files, skipped } = readText(source, part)
  const what = `${plural(bytes.length, 'byte')} of text in ${plural(files, 'file')}`
  return { ...windowsOfText(bytes, source, what), skipped }
}

/** The bytes of a part. @throws OwmError `no_training_data`, `unreadable_data` */
export function readText(source: SourceOf<'text'>, part: DataPart): Text {
  // What is cut off at the end is held out of all that is there.
  const whole = source.heldOutTail !== undefined
  const [share, asked] = whole ? [0, 'training' as const] : [source.heldOutShare, part]
  const files = source.roots.filter(isFile)
  const folders = source.roots.filter((root) => !files.includes(root))
  const pieces: Uint8Array[] = []
  let left = source.maxBytes
  for (const file of files) {
    const bytes = readBlocks(file, left, (block) => isHeldOut(block, share) === (asked === 'heldOut'))
    left -= bytes.length
    if (bytes.length > 0) pieces.push(bytes)
  }
  let found: Omit<Text, 'bytes'> = { files: pieces.length, skipped: {} }
  if (folders.length > 0 && left > 0) {
    const { extensions } = source
    const text = readFolders(
      { roots: folders, extensions, maxBytes: left, heldOutShare: share },
      asked,
      pieces.length > 0,
    )
    if (text !== undefined) {
      found = { files: pieces.length + text.files, skipped: text.skipped }
      pieces.push(text.bytes)
    }
  }
  const bytes = pieces.length === 1 ? pieces[0]! : new Uint8Array(Buffer.concat(pieces))
  if (bytes.length === 0) throw emptyPart(part, `the text in ${source.roots.join(', ')}`)
  if (!whole) return { ...found, bytes }
  const cut = Math.floor(bytes.length * (1 - (source.heldOutTail ?? 0)))
  return { ...found, bytes: part === 'heldOut' ? bytes.subarray(cut) : bytes.subarray(0, cut) }
}

/** Undefined where there is nothing and something was found elsewhere. */
function readFolders(source: TextSource, part: DataPart, elsewhere: boolean): Text | undefined {
  try {
    return readTextFiles(source, part)
  } catch (error) {
    if (errorCode(error) !== 'no_training_data') throw error
    if (elsewhere) return undefined
    throw part === 'heldOut' ? emptyPart(part, `the text in ${source.roots.join(', ')}`) : error
  }
}

/** The blocks of a file that are wanted, one after the other. */
function readBlocks(path: string, maxBytes: number, wanted: (block: Uint8Array) => boolean): Uint8Array {
  const file = openFile(path)
  try {
    const bytes = new Uint8Array(Math.min(file.size, maxBytes))
    const length = file.read(bytes, 0)
    if (bytes.subarray(0, length).includes(0)) throw noData(`${path} is no text: there are zero bytes in it.`)
    const size = Math.min(mostBlockBytes, Math.max(leastBlockBytes, Math.ceil(length / blocks)))
    let kept = 0
    for (let from = 0; from < length; ) {
      const to = endOfBlock(bytes.subarray(0, length), from, size)
      if (wanted(bytes.subarray(from, to))) {
        bytes.copyWithin(kept, from, to)
        kept += to - from
      }
      from = to
    }
    return bytes.subarray(0, kept)
  } finally {
    file.close()
  }
}

/** After the line in which `size` bytes are reached; in the middle of a line that is as long as a block again. */
function endOfBlock(bytes: Uint8Array, from: number, size: number): number {
  const least = from + size
  if (least >= bytes.length) return bytes.length
  const end = bytes.indexOf(lineFeed, least - 1)
  return end === -1 || end >= least + size ? Math.min(bytes.length, least + size) : end + 1
}

function isFile(path: string): boolean {
  try {
    return statSync(path).isFile()
  } catch (error) {
    throw unreadable(path, error)
  }
}
