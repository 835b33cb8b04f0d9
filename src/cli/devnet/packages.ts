import { readdir, stat } from 'node:fs/promises'
import { extname, join } from 'node:path'

/** Source, types and Markdown: what this project and its installed packages are made of. */
export const codeExtensions = ['.ts', '.mts', '.cts', '.js', '.mjs', '.cjs', '.md'] as const

/** Build outputs of a megabyte on one line teach nothing; and looking at every file of a large folder takes long. */
const maxFileBytes = 256 * 1024
const maxFilesPerPackage = 3_000

/** One folder of text and how much there is in it. */
export interface TextFolder {
  readonly name: string
  readonly path: string
  readonly bytes: number
}

/** This project and each package installed below it, largest first. */
export async function installedPackages(projectRoot: string, signal: AbortSignal): Promise<TextFolder[]> {
  const modules = join(projectRoot, 'node_modules')
  const folders = [
    { name: 'owm/src', path: join(projectRoot, 'src') },
    { name: 'owm/docs', path: join(projectRoot, 'docs') },
    { name: 'owm/test', path: join(projectRoot, 'test') },
  ]
  for (const entry of await namesIn(modules)) {
    if (entry.startsWith('.')) continue
    const inner = entry.startsWith('@') ? await namesIn(join(modules, entry)) : ['']
    for (const name of inner) folders.push({ name: join(entry, name), path: join(modules, entry, name) })
  }
  return measured(folders, signal)
}

/** The parts of the user's own folder: its sub-folders, or the folder itself when they are too few to share out. */
export async function partsOf(folder: string, count: number, signal: AbortSignal): Promise<TextFolder[]> {
  const names = (await readdir(folder, { withFileTypes: true }))
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name)
  const parts = await measured(
    names.map((name) => ({ name, path: join(folder, name) })),
    signal,
  )
  return parts.length >= count ? parts : measured([{ name: folder, path: folder }], signal)
}

/** Gives each part to the peer that has least so far: peers differ in what they know and are alike in how much. */
export function shareOut(parts: readonly TextFolder[], peers: number): TextFolder[][] {
  if (parts.length < peers) return Array.from({ length: peers }, () => [...parts])
  const shares = Array.from({ length: peers }, () => ({ parts: [] as TextFolder[], bytes: 0 }))
  for (const part of [...parts].sort((a, b) => b.bytes - a.bytes)) {
    const least = shares.reduce((a, b) => (b.bytes < a.bytes ? b : a))
    least.parts.push(part)
    least.bytes += part.bytes
  }
  return shares.map((share) => share.parts)
}

async function measured(
  folders: readonly { readonly name: string; readonly path: string }[],
  signal: AbortSignal,
): Promise<TextFolder[]> {
  const found: TextFolder[] = []
  for (const folder of folders) {
    signal.throwIfAborted()
    const bytes = await textBytes(folder.path)
    if (bytes > 0) found.push({ ...folder, bytes })
  }
  return found
}

async function textBytes(folder: string): Promise<number> {
  const extensions: ReadonlySet<string> = new Set(codeExtensions)
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => [])
  const files = entries
    .filter((entry) => entry.isFile() && extensions.has(extname(entry.name)))
    .slice(0, maxFilesPerPackage)
  const sizes = await Promise.all(
    files.map((file) =>
      stat(join(file.parentPath, file.name)).then(
        (s) => s.size,
        () => 0,
      ),
    ),
  )
  return sizes.filter((size) => size <= maxFileBytes).reduce((sum, size) => sum + size, 0)
}

async function namesIn(folder: string): Promise<string[]> {
  return readdir(folder).catch(() => [])
}
