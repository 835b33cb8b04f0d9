import { openFile } from './file.ts'

/** Parts of a file by position, with the blocks that were read last at hand: a file may be larger than memory. */
export interface FileBlocks {
  /** @throws OwmError `unreadable_data`; what lies behind the file's end is zeros */
  read(offset: number, length: number): Uint8Array
  close(): void
}

const blockBytes = 64 * 1024
/** 16 MiB: neighbours in the file are seldom asked for one after the other, but a small file fits. */
const maxBlocks = 256

export function openBlocks(path: string): FileBlocks {
  const file = openFile(path)
  /** The least recently used first. */
  const blocks = new Map<number, Uint8Array>()
  const block = (number: number): Uint8Array => {
    let found = blocks.get(number)
    if (found === undefined) {
      const oldest = blocks.size < maxBlocks ? undefined : blocks.entries().next().value
      if (oldest !== undefined) blocks.delete(oldest[0])
      found = oldest?.[1].fill(0) ?? new Uint8Array(blockBytes)
      file.read(found, number * blockBytes)
    } else blocks.delete(number)
    blocks.set(number, found)
    return found
  }
  return {
    read: (offset, length) => {
      const bytes = new Uint8Array(length)
      for (let at = 0; at < length; ) {
        const number = Math.floor((offset + at) / blockBytes)
        const from = offset + at - number * blockBytes
        const piece = block(number).subarray(from, from + length - at)
        bytes.set(piece, at)
        at += piece.length
      }
      return bytes
    },
    close: () => {
      blocks.clear()
      file.close()
    },
  }
}
