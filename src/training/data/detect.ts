/** What lies at a path, found out by looking: names help, content decides. */
import { readdirSync, statSync } from 'node:fs'
import { extname, join } from 'node:path'
import { openFile } from './file.ts'
import { sniffIdx } from './idx-file.ts'
import { noData, unreadable } from './malformed.ts'
import type { DataSource } from './source-schema.ts'

/** What the looker-on wants of it; each kind of source takes what concerns it. */
export interface DataWishes {
  readonly context?: number
  readonly heldOutShare?: number
  readonly heldOutTail?: number
  readonly maxBytes?: number
  readonly flat?: boolean
}

/** The extensions of files that are read below a folder of text. */
export const textExtensions: readonly string[] = [
  '.md .txt .rst .tex .js .mjs .cjs .jsx .ts .mts .cts .tsx .py .rs .go .c .h .cc .cpp .hpp .java .rb .sh .lua .sql',
].flatMap((list) => list.split(' '))

/** Entries of a folder that are looked at. */
const maxLooks = 256
const headBytes = 64 * 1024

/**
 * Blocking, and quick: reads names and beginnings.
 *
 * @throws OwmError `no_training_data` where nothing of a known kind is there, `unreadable_data`, `bad_data_source`
 */
export function detectSource(paths: readonly string[], wishes: DataWishes = {}): DataSource {
  const [only] = paths
  if (only === undefined) throw noData('No path of data is given.')
  const files = paths.length === 1 && isFolder(only) ? filesOf(only) : paths.filter((path) => !isFolder(path))
  return idxSource(files, wishes) ?? textSource(paths, wishes)
}

function textSource(
  roots: readonly string[],
  { context, heldOutShare, heldOutTail, maxBytes }: DataWishes,
): DataSource {
  return {
    kind: 'text',
    roots: [...roots],
    extensions: [...textExtensions],
    ...given({ context, heldOutShare, heldOutTail, maxBytes }),
  }
}

/** Pairs of as many images as labels; of two, the larger is learned from and the other held out. */
function idxSource(files: readonly string[], { heldOutShare, flat }: DataWishes): DataSource | undefined {
  const found = files.flatMap((file) => {
    const shape = sniffIdx(headOf(file))
    return shape === undefined ? [] : [{ file, count: shape[0]!, images: shape.length > 1 }]
  })
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
    if (found.length === 0) return undefined
    throw noData(`Images and labels belong together; of ${found.map(({ file }) => file).join(', ')} no two do.`)
  }
  if (more !== undefined)
    throw noData(`There are ${pairs.length} pairs of images and labels; name the files of one or two.`)
  return {
    kind: 'idx',
    images: main.images,
    labels: main.labels,
    ...(other === undefined ? {} : { heldOut: { images: other.images, labels: other.labels } }),
    ...given({ heldOutShare, flat }),
  }
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

/** The files right in a folder, by name. */
function filesOf(folder: string): string[] {
  try {
    return readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isFile() && extname(entry.name) !== '.tmp')
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
function given<T extends object>(wishes: T): { [Key in keyof T]: Exclude<T[Key], undefined> } {
  return Object.fromEntries(Object.entries(wishes).filter(([, value]) => value !== undefined)) as {
    [Key in keyof T]: Exclude<T[Key], undefined>
  }
}
