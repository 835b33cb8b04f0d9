/** What lies at a path, found out by looking: names help, content decides. */
import { readdirSync, statSync } from 'node:fs'
import { basename, extname, join } from 'node:path'
import { OwmError } from '../../lib/index.ts'
import { isImage } from './decode-image.ts'
import { openFile } from './file.ts'
import { sniffIdx } from './idx-file.ts'
import { malformed, noData, unreadable } from './malformed.ts'
import type { DataSource } from './source-schema.ts'
import { csvShape, isJsonLines, jsonlContent } from './table-shape.ts'

/** What the looker-on wants of it; each kind of source takes what concerns it. */
export interface DataWishes {
  /** `folder` for folders of text that are classes; else what is found. */
  readonly kind?: DataSource['kind']
  readonly context?: number
  readonly tokenizer?: string
  readonly heldOutShare?: number
  readonly heldOutTail?: number
  readonly maxBytes?: number
  readonly flat?: boolean
  /** The column or field to be told from the others. */
  readonly target?: string
}

/** The extensions of files that are read below a folder of text. */
export const textExtensions: readonly string[] = [
  '.md .txt .rst .tex .js .mjs .cjs .jsx .ts .mts .cts .tsx .py .rs .go .c .h .cc .cpp .hpp .java .rb .sh .lua .sql',
].flatMap((list) => list.split(' '))
const tableExtensions: ReadonlySet<string> = new Set(['.csv', '.tsv', '.tab'])
const lineExtensions: ReadonlySet<string> = new Set(['.jsonl', '.ndjson'])
/** Beside a data set there is often something about it. */
const about = /^(readme|licen[cs]e|copying|citation)/i

/** Entries of a folder that are looked at. */
const maxLooks = 256
const headBytes = 64 * 1024

/**
 * Blocking, and quick: reads names and beginnings.
 *
 * @throws OwmError `no_training_data` where nothing of a known kind is there, `malformed_data`, `unreadable_data`, `bad_usage`
 */
export function detectSource(paths: readonly string[], wishes: DataWishes = {}): DataSource {
  const [only] = paths
  if (only === undefined) throw new OwmError('bad_usage', 'No file or folder of data is given.')
  const folder = paths.length === 1 && isFolder(only)
  const files = folder ? filesIn(only) : paths.filter((path) => !isFolder(path))
  const wanted = wishes.kind
  const found =
    (wanted === undefined || wanted === 'idx' ? idxSource(files, wishes) : undefined) ??
    (folder && (wanted === undefined || wanted === 'folder') ? folderSource(only, wishes) : undefined) ??
    (wanted === undefined || wanted === 'csv' || wanted === 'jsonl' ? tableSource(files, folder, wishes) : undefined) ??
    (wanted === undefined || wanted === 'text' ? textSource(paths, wishes) : undefined)
  if (found === undefined) throw noData(`There is no data of the kind ${wanted} in ${paths.join(', ')}.`)
  return found
}

function textSource(paths: readonly string[], { context, tokenizer, heldOutShare, heldOutTail, maxBytes }: DataWishes) {
  for (const path of paths) {
    if (!isFolder(path) && headOf(path).includes(0)) {
      throw malformed(path, '', 'it is neither text nor any other kind of data that is read (IDX, CSV, JSON lines).')
    }
  }
  const wishes = given({ context, tokenizer, heldOutShare, heldOutTail, maxBytes })
  return { kind: 'text' as const, roots: [...paths], extensions: [...textExtensions], ...wishes }
}

/** Pairs of as many images as labels; of two, the larger is learned from and the other held out. */
function idxSource(files: readonly string[], { heldOutShare, flat }: DataWishes): DataSource | undefined {
  const found = files.flatMap((file) => {
    const shape = sniffIdx(headOf(file))
    return shape === undefined ? [] : [{ file, count: shape[0]!, images: shape.length > 1 }]
  })
  if (found.length === 0) return undefined
  const labels = found.filter(({ images }) => !images)
  const pairs = found
    .filter(({ images }) => images)
    .flatMap(({ file, count }) => {
      const at = labels.findIndex((one) => one.count === count)
      return at === -1 ? [] : [{ images: file, labels: labels.splice(at, 1)[0]!.file, count }]
    })
    .sort((a, b) => b.count - a.count)
  const [main, other, more] = pairs
  if (main === undefined) {
    const names = found.map(({ file }) => file).join(', ')
    throw noData(`Images and labels belong together, as many of one as of the other; of ${names} no two do.`)
  }
  if (more !== undefined) {
    throw noData(`There are ${pairs.length} pairs of images and labels; name the files of one pair, or of two.`)
  }
  return {
    kind: 'idx',
    images: main.images,
    labels: main.labels,
    ...(other === undefined ? {} : { heldOut: { images: other.images, labels: other.labels } }),
    ...given({ heldOutShare, flat }),
  }
}

/** Folders of images are classes; of other files only where that is asked for: most folders of text are just text. */
function folderSource(root: string, { kind, heldOutShare, flat }: DataWishes): DataSource | undefined {
  const firsts = foldersIn(root).flatMap((folder) => filesIn(folder).slice(0, 1))
  const images = firsts.length > 0 && firsts.every((file) => isImage(headOf(file)))
  if (images)
    return { kind: 'folder', root, content: { kind: 'images', ...given({ flat }) }, ...given({ heldOutShare }) }
  return kind === 'folder' ? { kind, root, content: { kind: 'bytes' }, ...given({ heldOutShare }) } : undefined
}

/** A table that is named, or lies alone in a folder. */
function tableSource(files: readonly string[], folder: boolean, wishes: DataWishes): DataSource | undefined {
  const { target, heldOutShare } = wishes
  const tables = files.filter((file) => tableExtensions.has(ending(file)))
  const lines = files.filter((file) => lineExtensions.has(ending(file)) || (!folder && isJsonLines(file)))
  const both = [...tables, ...lines]
  const [file, more] = both
  const others = files.filter((one) => !both.includes(one) && !about.test(basename(one)))
  if (file === undefined || (folder && others.length > 0)) return undefined
  if (more !== undefined || others.length > 0) throw noData(`One table at a time; name one of ${files.join(', ')}.`)
  if (tables.length > 0) return { kind: 'csv', file, ...csvShape(file, target), ...given({ heldOutShare }) }
  return { kind: 'jsonl', file, content: jsonlContent(file, wishes), ...given({ heldOutShare }) }
}

function ending(file: string): string {
  return extname(file).toLowerCase()
}

function headOf(path: string): Uint8Array {
  const file = openFile(path)
  try {
    const head = new Uint8Array(Math.min(headBytes, file.size))
    return head.subarray(0, file.read(head, 0))
  } finally {
    file.close()
  }
}

function filesIn(folder: string): string[] {
  return entriesOf(folder, (entry) => entry.isFile())
}

function foldersIn(folder: string): string[] {
  return entriesOf(folder, (entry) => entry.isDirectory())
}

/** By name, without those that are hidden. */
function entriesOf(
  folder: string,
  wanted: (entry: { isFile(): boolean; isDirectory(): boolean }) => boolean,
): string[] {
  try {
    return readdirSync(folder, { withFileTypes: true })
      .filter((entry) => wanted(entry) && !entry.name.startsWith('.'))
      .map(({ name }) => join(folder, name))
      .sort()
      .slice(0, maxLooks)
  } catch (error) {
    throw unreadable(folder, error)
  }
}

function isFolder(path: string): boolean {
  try {
    return statSync(path).isDirectory()
  } catch (error) {
    throw unreadable(path, error)
  }
}

/** Those of the wishes that are there. */
function given<T extends object>(wishes: T): { [Key in keyof T]?: Exclude<T[Key], undefined> } {
  return Object.fromEntries(Object.entries(wishes).filter(([, value]) => value !== undefined)) as {
    [Key in keyof T]?: Exclude<T[Key], undefined>
  }
}
