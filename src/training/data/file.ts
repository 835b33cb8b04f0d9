/** Files as they are read here: blocking, by position, with every error naming the file. */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'
import { malformed, unreadable } from './malformed.ts'

export interface DataFile {
  readonly path: string
  readonly size: number
  /** Fills `into` from `offset` on; gives how many bytes there were. */
  read(into: Uint8Array, offset: number): number
  close(): void
}

/** A regular file, to read. What is no file (a pipe, a device) never ends or never answers: refused. @throws OwmError `unreadable_data` */
export function openFile(path: string): DataFile {
  return attempt(path, () => {
    // Without waiting: a pipe that nobody writes to would never open.
    const descriptor = openSync(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0))
    const stat = fstatSync(descriptor)
    if (!stat.isFile()) {
      closeSync(descriptor)
      throw new Error('it is not a file')
    }
    let open = true
    return {
      path,
      size: stat.size,
      read: (into, offset) =>
        attempt(path, () => {
          let done = 0
          while (done < into.length) {
            const count = readSync(descriptor, into, done, into.length - done, offset + done)
            if (count === 0) break
            done += count
          }
          return done
        }),
      close: () => {
        if (open) closeSync(descriptor)
        open = false
      },
    }
  })
}

/** The whole file. @throws OwmError `malformed_data` when it is larger than `maxBytes`, `unreadable_data` */
export function readBounded(path: string, maxBytes: number): Uint8Array {
  const file = openFile(path)
  try {
    if (file.size > maxBytes) throw malformed(path, '', `${file.size} bytes are over the limit of ${maxBytes}.`)
    const bytes = new Uint8Array(file.size)
    return bytes.subarray(0, file.read(bytes, 0))
  } finally {
    file.close()
  }
}

/** What the file system throws is told with the file's name. */
function attempt<T>(path: string, action: () => T): T {
  try {
    return action()
  } catch (error) {
    throw unreadable(path, error)
  }
}
