/** The lines of a file of any length, one after the other, held no longer than they are looked at. */
import { type DataFile, openFile } from './file.ts'
import { malformed } from './malformed.ts'

/** How far a long work has come, in bytes or examples. */
export type Watch = (done: number, total: number) => void

type OnLine = (line: Uint8Array, offset: number) => unknown

/** A longer line is somebody's mistake or trap. */
export const maxLineBytes = 16 * 1024 * 1024
const chunkBytes = 1024 * 1024
const lineFeed = 0x0a
const carriageReturn = 0x0d
const quote = 0x22
/** UTF-8's mark at the beginning of what Windows has written. */
const byteOrderMark = Uint8Array.of(0xef, 0xbb, 0xbf)

/**
 * Calls `onLine` with each line that is not empty, without its end, and where it begins; valid until the next. It ends
 * where `onLine` gives `false`. With `quotes`, line ends between quotes do not count (RFC 4180).
 *
 * @throws OwmError `malformed_data` when a line is too long, `unreadable_data`
 */
export function eachLine(
  path: string,
  { quotes, watch }: { readonly quotes: boolean; readonly watch?: Watch | undefined },
  onLine: OnLine,
): void {
  const file = openFile(path)
  try {
    let buffer = new Uint8Array(2 * chunkBytes)
    /** What is in the buffer, where it lies in the file, and how much of it was searched for a line's end. */
    let length = 0
    let offset = markLength(file)
    let searched = 0
    let quoted = false
    for (;;) {
      if (length > maxLineBytes) {
        const hint = quoted ? 'a quote in it is never closed.' : 'is this a file of lines?'
        throw malformed(path, `the line at byte ${offset}`, `it is over the limit of ${maxLineBytes} bytes; ${hint}`)
      }
      if (length === buffer.length) {
        const larger = new Uint8Array(2 * length)
        larger.set(buffer)
        buffer = larger
      }
      const count = file.read(buffer.subarray(length), offset + length)
      length += count
      let start = 0
      for (; searched < length; searched++) {
        const byte = buffer[searched]
        if (quotes && byte === quote) quoted = !quoted
        else if (byte === lineFeed && !quoted) {
          if (give(buffer, start, searched, offset, onLine) === false) return
          start = searched + 1
        }
      }
      if (count === 0) {
        if (quoted) throw malformed(path, `the line at byte ${offset + start}`, 'a quote in it is never closed.')
        give(buffer, start, length, offset, onLine)
        return
      }
      buffer.copyWithin(0, start, length)
      offset += start
      length -= start
      searched -= start
      watch?.(Math.min(offset, file.size), file.size)
    }
  } finally {
    file.close()
  }
}

function give(buffer: Uint8Array, start: number, lineEnd: number, offset: number, onLine: OnLine): unknown {
  const end = lineEnd > start && buffer[lineEnd - 1] === carriageReturn ? lineEnd - 1 : lineEnd
  return end > start ? onLine(buffer.subarray(start, end), offset + start) : undefined
}

function markLength(file: DataFile): number {
  const head = new Uint8Array(byteOrderMark.length)
  return file.read(head, 0) === head.length && Buffer.compare(head, byteOrderMark) === 0 ? head.length : 0
}
