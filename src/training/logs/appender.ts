import { type FileHandle, open } from 'node:fs/promises'
import { dirname } from 'node:path'
import { errorMessage, OwmError } from '../../lib/index.ts'

/** Bytes at the end of a file. Its folder is synced too, so that a new file is there after a crash. */
export interface Appender {
  /** Resolves when the bytes are on the disk; those of calls in the meantime go there with one sync. */
  append(bytes: Uint8Array): Promise<void>
  close(): Promise<void>
}

export async function createAppender(file: FileHandle, path: string): Promise<Appender> {
  const folder = await open(dirname(path), 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
  let waiting: Uint8Array[] = []
  let written: Promise<void> = Promise.resolve()
  let next: Promise<void> | null = null
  const write = async (): Promise<void> => {
    const bytes = Buffer.concat(waiting)
    waiting = []
    next = null
    try {
      await file.appendFile(bytes)
      await file.datasync()
    } catch (cause) {
      throw new OwmError(
        'log_not_written',
        `The log ${path} cannot be written: ${errorMessage(cause)}.`,
        { path },
        cause,
      )
    }
  }
  return {
    append: (bytes) => {
      waiting.push(bytes)
      if (next === null) {
        // After a failure the file may end in a part of a row: nothing may follow it.
        next = written.then(write)
        written = next
        // Told to whoever waits for it, and at the end.
        next.catch(() => undefined)
      }
      return next
    },
    close: async () => {
      try {
        await written
      } finally {
        await file.close()
      }
    },
  }
}
