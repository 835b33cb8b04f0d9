import { Blake3Hasher } from '@napi-rs/blake-hash'

/** One BLAKE3 over many parts, each with its length before it, so that no two lists of parts are the same bytes. */
export interface Fingerprint {
  add(part: Uint8Array | string | number): void
  hex(): string
}

export function createFingerprint(kind: string): Fingerprint {
  const hasher = new Blake3Hasher()
  const add = (part: Uint8Array | string | number): void => {
    const bytes = typeof part === 'object' ? Buffer.from(part.buffer, part.byteOffset, part.byteLength) : `${part}`
    hasher.update(`${Buffer.byteLength(bytes)}:`).update(bytes)
  }
  add(kind)
  return { add, hex: () => hasher.digestBuffer().toString('hex') }
}
