/** A folder for each class: which files there are, in an order that depends on nothing but their names. */
import { type Dirent, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { compareBytes } from '../../lib/index.ts'
import { noData, unreadable } from './malformed.ts'

export interface ClassFolders {
  readonly classes: readonly string[]
  readonly files: readonly { readonly path: string; readonly label: number }[]
}

const maxClasses = 65_536
const maxFiles = 5_000_000

/** Hidden files, links and folders within classes are passed over. @throws OwmError `no_training_data`, `unreadable_data` */
export function listClasses(root: string): ClassFolders {
  const classes = entriesOf(root).filter((entry) => entry.isDirectory())
  if (classes.length === 0) throw noData(`${root} has no folders, one for each class.`)
  if (classes.length > maxClasses)
    throw noData(`${root} has ${classes.length} folders; there may be ${maxClasses} classes.`)
  const files: { path: string; label: number }[] = []
  for (const [label, { name }] of classes.entries()) {
    for (const entry of entriesOf(join(root, name))) {
      if (entry.isFile()) files.push({ path: join(root, name, entry.name), label })
    }
    if (files.length > maxFiles) throw noData(`${root} has more than ${maxFiles} files.`)
  }
  return { classes: classes.map(({ name }) => name), files }
}

function entriesOf(folder: string): Dirent[] {
  try {
    return readdirSync(folder, { withFileTypes: true })
      .filter(({ name }) => !name.startsWith('.'))
      .sort((a, b) => compareBytes(Buffer.from(a.name), Buffer.from(b.name)))
  } catch (error) {
    throw unreadable(folder, error)
  }
}
