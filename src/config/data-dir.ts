import { constants } from 'node:fs'
import { access, mkdir, readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { OwmError, writeFileAtomic } from '../lib/index.ts'
import { dataDirError } from './data-dir-error.ts'
import { type Lock, takeLock } from './data-dir-lock.ts'
import { nearestFolder } from './nearest-folder.ts'
import { readPeerFile, removePeerFile, writePeerFile } from './peer-file.ts'

/** Of the layout of the whole directory. Rooms version what is in their own files. */
const formatVersion = 1
const versionFileName = 'version'

/** The one place where a peer stores anything, held against every other peer. */
export interface DataDir {
  readonly path: string
  /** Gives the directory up. What is in it stays. */
  close(): Promise<void>
}

/**
 * Makes the directory (mode 0700) if it is not there, and takes it for this process. Nothing is changed in a directory
 * that is refused.
 *
 * @param init.controlSocket is told to whoever asks who holds the directory
 * @throws OwmError `data_dir_locked`, `data_dir_newer`, `data_dir_corrupt`, `data_dir_read_only`,
 *   `data_dir_not_a_folder`, `disk_full`, `data_dir_unusable`
 */
export async function openDataDir(
  path: string,
  init: { readonly controlSocket?: string | undefined } = {},
): Promise<DataDir> {
  let lock: Lock | undefined
  try {
    // Asked first, since mkdir's and SQLite's own errors do not tell why.
    await access(await nearestFolder(path), constants.W_OK | constants.X_OK)
    await mkdir(path, { recursive: true, mode: 0o700 })
    await readVersion(path)
    lock = takeLock(path)
    if (lock === undefined) throw await lockedError(path)
    if ((await readVersion(path)) === undefined) {
      await writeFileAtomic(join(path, versionFileName), `${formatVersion}\n`, 0o600)
    }
    await removeRemnants(path)
    await writePeerFile(path, {
      pid: process.pid,
      startedMs: Date.now(),
      controlSocket: init.controlSocket ?? null,
    })
  } catch (error) {
    lock?.release()
    throw dataDirError(path, error)
  }
  const held = lock
  let closed: Promise<void> | undefined
  return {
    path,
    close: () => {
      closed ??= removePeerFile(path)
        .catch(() => undefined)
        .finally(() => held.release())
      return closed
    },
  }
}

/** Undefined when the directory has none yet. @throws OwmError `data_dir_newer`, `data_dir_corrupt` */
export async function readVersion(path: string): Promise<number | undefined> {
  let text: string
  try {
    text = await readFile(join(path, versionFileName), 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  const version = /^[1-9]\d{0,8}\n?$/.test(text) ? Number(text) : undefined
  if (version === undefined) {
    throw new OwmError(
      'data_dir_corrupt',
      `${join(path, versionFileName)} does not hold a version number, so ${path} is left alone; if it is OWM's, write ${formatVersion} into that file.`,
      { path },
    )
  }
  if (version > formatVersion) {
    throw new OwmError(
      'data_dir_newer',
      `The data directory ${path} was written by a newer OWM (format ${version}, this one knows ${formatVersion}); update OWM or use another directory.`,
      { path, version },
    )
  }
  return version
}

async function lockedError(path: string): Promise<OwmError> {
  const holder = await readPeerFile(path)
  const who = holder === undefined ? 'Another peer' : `Another peer (process ${holder.pid})`
  return new OwmError(
    'data_dir_locked',
    `${who} uses the data directory ${path}; stop it, or start this one with another --data-dir.`,
    { path, ...(holder === undefined ? {} : { pid: holder.pid }) },
  )
}

/** What a crash left of files that were being written. Only the holder of the lock writes these two. */
async function removeRemnants(path: string): Promise<void> {
  for (const name of await readdir(path)) {
    if (/^\.(?:version|peer\.json)\.[0-9a-f]+\.tmp$/.test(name)) await rm(join(path, name), { force: true })
  }
}
