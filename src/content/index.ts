/**
 * Bytes by content: weights, updates, model graphs and held-out sets, in Helia, named by BLAKE3 CIDs. What arrives is
 * verified block by block; what is stored survives `kill -9`.
 *
 * Values up to `chunkBytes` are one raw block; longer ones are raw chunks under one dag-cbor list.
 *
 * @example
 * const cid = await content.put(bytes)
 * const same = await content.get(cid, { maxBytes: 64 * 1024 * 1024, signal })
 */

import type { PeerId } from '@libp2p/interface'
import type { CID } from 'multiformats/cid'
import type { Startable } from '../lib/index.ts'

export interface ContentStore extends Startable {
  /** Stores durably; resolves once it would survive a crash. */
  put(bytes: Uint8Array, options?: { readonly signal?: AbortSignal }): Promise<CID>
  /** The CID that `put` would return. */
  cidOf(bytes: Uint8Array): CID
  /** @throws OwmError `not_found`, `oversized`, `corrupt`, `timeout` */
  get(
    cid: CID,
    options: { readonly maxBytes: number; readonly signal?: AbortSignal; readonly from?: readonly PeerId[] },
  ): Promise<Uint8Array>
  has(cid: CID): Promise<boolean>
  stat(): Promise<{ readonly blocks: number; readonly bytes: number }>
}
