import { CID } from 'multiformats/cid'
import { z } from 'zod'
import { cidOf, codecs, decode, encode, hashes, OwmError } from '../lib/index.ts'

/** 1 MiB: measured best over bitswap, whose messages end at 4 MiB; larger chunks gain nothing. */
export const chunkBytes = 1024 * 1024

/** A list of chunks is one block too: room for 16 GiB. */
const maxListBytes = chunkBytes

export interface Block {
  readonly cid: CID
  readonly bytes: Uint8Array
}

export interface ChunkList {
  readonly size: number
  readonly chunks: readonly CID[]
}

const listSchema = z.strictObject({
  v: z.literal(1),
  size: z
    .int()
    .min(chunkBytes + 1)
    .max(Number.MAX_SAFE_INTEGER),
  chunks: z.array(z.custom<CID>((value) => CID.asCID(value) !== null && isBlake3(value as CID, codecs.raw))),
})

/** Cuts a value into blocks; the root, which names the value, comes last. */
export function cut(bytes: Uint8Array): { readonly root: CID; readonly blocks: readonly Block[] } {
  if (bytes.byteLength <= chunkBytes) {
    const root = cidOf(bytes, codecs.raw)
    return { root, blocks: [{ cid: root, bytes }] }
  }
  const blocks: Block[] = []
  for (let offset = 0; offset < bytes.byteLength; offset += chunkBytes) {
    const chunk = bytes.subarray(offset, offset + chunkBytes)
    blocks.push({ cid: cidOf(chunk, codecs.raw), bytes: chunk })
  }
  const list = encode({ v: 1, size: bytes.byteLength, chunks: blocks.map((block) => block.cid) })
  if (list.byteLength > maxListBytes) {
    throw new OwmError('oversized', `A value of ${bytes.byteLength} bytes is too long for one list of chunks.`)
  }
  const root = cidOf(list)
  return { root, blocks: [...blocks, { cid: root, bytes: list }] }
}

/** What a store names these bytes by. */
export function valueCid(bytes: Uint8Array): CID {
  return cut(bytes).root
}

/** @throws RejectedError `malformed`, `schema_mismatch`, `oversized`: a list that `cut` would not have made. */
export function parseChunkList(bytes: Uint8Array): ChunkList {
  const list = decode(bytes, listSchema, maxListBytes)
  if (list.chunks.length !== Math.ceil(list.size / chunkBytes)) {
    throw new OwmError('malformed', `A list of ${list.chunks.length} chunks cannot hold ${list.size} bytes.`)
  }
  return list
}

/** How long chunk `index` must be. */
export function chunkLength(list: ChunkList, index: number): number {
  return Math.min(chunkBytes, list.size - index * chunkBytes)
}

/** CIDs of this store: version 1, BLAKE3 of 32 bytes, raw or dag-cbor. */
export function isBlake3(cid: CID, ...allowed: readonly number[]): boolean {
  return (
    cid.version === 1 &&
    cid.multihash.code === hashes.blake3 &&
    cid.multihash.size === 32 &&
    (allowed.length === 0 ? cid.code === codecs.raw || cid.code === codecs.dagCbor : allowed.includes(cid.code))
  )
}
