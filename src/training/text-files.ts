/**
 * Text for training, read from files in an order that depends on nothing but their names. Blocking: for worker
 * threads. A file that cannot be read, or is not text, is counted and left out; links are not followed.
 */
import { readdirSync, readFileSync, realpathSync, statSync } from 'node:fs'
import { extname, join } from 'node:path'
import { blake3Of, compareBytes, OwmError } from '../lib/index.ts'
import type { TextSource } from './index.ts'

export interface TextRead {
  readonly bytes: Uint8Array
  readonly files: number
  readonly skipped: Readonly<Record<'unreadable' | 'binary' | 'duplicate' | 'oversized', number>>
}

/** Folders deeper than this are somebody's mistake or trap. */
const maxDepth = 64
/** Names held in memory while a source is listed; a larger one is used in part. */
const maxFiles = 500_000
/** A larger file is no text that somebody wrote. */
const maxFileBytes = 64 * 1024 * 1024
/** While other files can fill the rest, none gives more than this part: a bundle does not crowd out a thousand sources. */
const fileShare = 1 / 64
const leastFileBytes = 4 * 1024

/** Which files of a source: those to learn from, or those held out to measure by. */
export type TextPart = 'training' | 'heldOut'

/** @throws OwmError `no_training_data` naming the roots */
export function readTextFiles(source: TextSource, part: TextPart, maxBytes = source.maxBytes): TextRead {
  const skipped = { unreadable: 0, binary: 0, duplicate: 0, oversized: 0 }
  const chosen: { readonly path: string; readonly size: number; piece: Uint8Array }[] = []
  const seen = new Set<string>()
  const usualBytes = Math.max(leastFileBytes, Math.floor(maxBytes * fileShare))
  let length = 0
  for (const path of shuffledPaths(source, () => skipped.unreadable++)) {
    if (length >= maxBytes) break
    const content = readFile(path)
    if (typeof content === 'string') skipped[content]++
    else if (content.length > 0) {
      const hash = blake3Of(content)
      if (hash[0]! < source.heldOutShare !== (part === 'heldOut')) continue
      const key = Buffer.from(hash).toString('base64')
      if (content.includes(0)) skipped.binary++
      else if (seen.has(key)) skipped.duplicate++
      else {
        seen.add(key)
        const piece = slice(content, hash, usualBytes)
        chosen.push({ path, size: content.length, piece })
        length += piece.length + 1
      }
    }
  }
  if (chosen.length === 0) {
    const what = part === 'training' ? 'to train on' : 'held out to measure by'
    const message = `No text ${what} in ${source.roots.join(', ')} with the extensions ${source.extensions.join(', ')}.`
    throw new OwmError('no_training_data', message, { roots: source.roots, ...skipped })
  }
  if (length < maxBytes) {
    // Too few files to be modest: those that were cut give more.
    const sizes = chosen.map(({ size }) => size)
    const share = fairShare(sizes, maxBytes - chosen.length)
    for (const file of chosen.filter(({ size, piece }) => size > piece.length)) {
      const content = readFile(file.path)
      if (typeof content !== 'string') file.piece = slice(content, blake3Of(content), share)
    }
  }
  return {
    bytes: joined(
      chosen.map(({ piece }) => piece),
      maxBytes,
    ),
    files: chosen.length,
    skipped,
  }
}

function readFile(path: string): Uint8Array | 'unreadable' | 'oversized' {
  try {
    if (statSync(path).size > maxFileBytes) return 'oversized'
    const { buffer, byteOffset, length } = readFileSync(path)
    return new Uint8Array(buffer, byteOffset, length)
  } catch {
    return 'unreadable'
  }
}

/** The most that each may take for all to stay within `budget` (max-min fairness). */
function fairShare(sizes: readonly number[], budget: number): number {
  let left = budget
  const sorted = [...sizes].sort((a, b) => a - b)
  for (const [at, size] of sorted.entries()) {
    const share = Math.floor(left / (sorted.length - at))
    if (size > share) return Math.max(1, share)
    left -= size
  }
  return Number.POSITIVE_INFINITY
}

/** A part of a long file, from a place that its own hash names: not always the licence at the top. */
function slice(content: Uint8Array, hash: Uint8Array, maxBytes: number): Uint8Array {
  const spare = content.length - maxBytes
  if (spare <= 0) return content
  const from = new DataView(hash.buffer, hash.byteOffset).getUint32(4) % (spare + 1)
  // A copy: a view would keep the whole file in memory. (Of a Buffer, slice would be a view.)
  return content.slice(from, from + maxBytes)
}

/** The pieces, each ended by a line feed. */
function joined(pieces: readonly Uint8Array[], maxBytes: number): Uint8Array {
  const length = pieces.reduce((sum, piece) => sum + piece.length + 1, 0)
  const bytes = new Uint8Array(Math.min(length, maxBytes)).fill(lineFeed)
  let at = 0
  for (const piece of pieces) {
    if (at >= bytes.length) break
    bytes.set(piece.subarray(0, bytes.length - at), at)
    at += piece.length + 1
  }
  return bytes
}
const lineFeed = 10

/** All files of the source in the order of their names' hashes: any first part of it is spread over the whole. */
function shuffledPaths(source: TextSource, onUnreadable: () => void): string[] {
  const extensions = new Set(source.extensions)
  const found: { readonly path: string; readonly key: Uint8Array }[] = []
  const walk = (root: string, inside: string, depth: number): void => {
    let entries: ReturnType<typeof list>
    try {
      entries = list(join(root, inside))
    } catch {
      onUnreadable()
      return
    }
    for (const entry of entries) {
      const name = inside === '' ? entry.name : `${inside}/${entry.name}`
      if (entry.isDirectory() && depth < maxDepth) walk(root, name, depth + 1)
      else if (entry.isFile() && extensions.has(extname(entry.name)) && found.length < maxFiles) {
        found.push({ path: join(root, name), key: blake3Of(Buffer.from(name)) })
      }
    }
  }
  for (const root of source.roots) {
    try {
      walk(realpathSync(root), '', 0)
    } catch {
      onUnreadable()
    }
  }
  return found.sort((a, b) => compareBytes(a.key, b.key) || (a.path < b.path ? -1 : 1)).map(({ path }) => path)
}

function list(folder: string) {
  return readdirSync(folder, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1))
}
