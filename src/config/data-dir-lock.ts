import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'

const fileName = 'lock.db'

/** A check holds a shared lock for an instant; a starting peer waits that long for it to pass. */
const busyTimeoutMs = 250

/** SQLite's result codes (https://sqlite.org/rescode.html). */
const sqliteBusy = 5

export interface Lock {
  release(): void
}

/**
 * Takes the kernel's lock on a file, by way of SQLite, since Node has no call for it. It ends with the process, however
 * that dies, so a lock can never be stale. Undefined when another holds it.
 *
 * No other code may open the file: on POSIX, closing any descriptor of it would give up the lock.
 */
export function takeLock(dataDir: string): Lock | undefined {
  const database = new DatabaseSync(join(dataDir, fileName), { timeout: busyTimeoutMs })
  try {
    // Nothing is ever written, so no journal need be on the disk.
    database.exec('PRAGMA journal_mode = MEMORY; PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE')
    return { release: () => database.isOpen && database.close() }
  } catch (error) {
    database.close()
    if (isBusy(error)) return undefined
    throw error
  }
}

/** Whether someone holds the lock, without taking it and without making the file. */
export function isLocked(dataDir: string): boolean {
  const path = join(dataDir, fileName)
  if (!existsSync(path)) return false
  const database = new DatabaseSync(path, { readOnly: true })
  try {
    database.exec('SELECT count(*) FROM sqlite_schema')
    return false
  } catch (error) {
    if (isBusy(error)) return true
    throw error
  } finally {
    database.close()
  }
}

function isBusy(error: unknown): boolean {
  return (error as { errcode?: number }).errcode === sqliteBusy
}
