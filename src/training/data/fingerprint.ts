import { Blake3Hasher } from '@napi-rs/blake-hash'

/** One BLAKE3 over many parts, each with its length before it, so that no two lists of parts are the same bytes. */
export interface Fingerprint {
  add(part: Uint8Array | string | number): void
  hex(): string
}

/** Small parts are hashed together: each call into the library costs a microsecond. */
const bufferBytes = 64 * 1024

export function createFingerprint(kind: string): Fingerprint {
  const hasher = new Blake3Hasher()
  const buffer = Buffer.alloc(bufferBytes)
  let length = 0
  const flush = (): void => {
    hasher.update(buffer.subarray(0, length))
    length = 0
  }
  const append = (bytes: Buffer): void => {
    if (length + bytes.length > bufferBytes) flush()
    if (bytes.length > bufferBytes) hasher.update(bytes)
    else length += bytes.copy(buffer, length)
  }
  const add = (part: Uint8Array | string | number): void => {
    const bytes =
      typeof part === 'object' ? Buffer.from(part.buffer, part.byteOffset, part.byteLength) : Buffer.from(`${part}`)
    if (length + 16 > bufferBytes) flush()
    length += buffer.write(`${bytes.length}:`, length)
    append(bytes)
  }
  add(kind)
  return {
    add,
    hex: () => {
      flush()
      return hasher.digestBuffer().toString('hex')
    },
  }
}
