import { constants } from 'node:fs'
import { access, statfs } from 'node:fs/promises'
import { readVersion } from './data-dir.ts'
import { dataDirError } from './data-dir-error.ts'
import { isLocked } from './data-dir-lock.ts'
import { nearestFolder } from './nearest-folder.ts'
import { type PeerFile, readPeerFile } from './peer-file.ts'

/** The state of a data directory, whether it is there or would have to be made. */
export interface DataDirCheck {
  readonly exists: boolean
  /** Whether this user may write there, or make it. */
  readonly writable: boolean
  /** What this user may still write to its disk. */
  readonly freeBytes: number
  readonly version: number | null
  readonly locked: boolean
  /** Who holds it, where known. */
  readonly holder: PeerFile | null
}

/**
 * Looks without touching: it makes no file, takes no lock, and does not disturb the peer that runs there.
 *
 * @throws OwmError as `openDataDir`, but for `data_dir_locked`, `data_dir_read_only` and `disk_full`
 */
export async function checkDataDir(path: string): Promise<DataDirCheck> {
  try {
    const existing = await nearestFolder(path)
    const { bavail, bsize } = await statfs(existing)
    const exists = existing === path
    const locked = exists && isLocked(path)
    return {
      exists,
      writable: await access(existing, constants.W_OK | constants.X_OK).then(
        () => true,
        () => false,
      ),
      freeBytes: bavail * bsize,
      version: exists ? ((await readVersion(path)) ?? null) : null,
      locked,
      holder: locked ? ((await readPeerFile(path)) ?? null) : null,
    }
  } catch (error) {
    throw dataDirError(path, error)
  }
}
