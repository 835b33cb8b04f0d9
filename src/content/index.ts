/**
 * Bytes by content: weights, updates, model graphs and held-out sets, in Helia's bitswap, named by BLAKE3 CIDs. What
 * arrives is verified block by block; what is stored survives `kill -9` and a power cut.
 *
 * Values up to `chunkBytes` are one raw block; longer ones are raw chunks under one dag-cbor list. Nobody is looked up:
 * the peers in `from` are asked first, then those that are connected. Which peer may hold what is known to the rooms
 * above (who signed an update, who sits on a committee).
 *
 * @example
 * const content = createContentStore({ network, logger, metrics }, { path, maxBytes: 10 * 1024 ** 3 })
 * const cid = await content.put(bytes)
 * const same = await content.get(cid, { maxBytes: 64 * 1024 * 1024, signal })
 */

import type { PeerId } from '@libp2p/interface'
import type { CID } from 'multiformats/cid'
import type { Startable } from '../lib/index.ts'

export { chunkBytes, valueCid } from './chunks.ts'
export { type ContentComponents, type ContentInit, createContentStore } from './store.ts'

export interface ContentStore extends Startable {
  /** Stores durably; resolves once it would survive a crash. @throws OwmError `store_full` */
  put(bytes: Uint8Array, options?: { readonly signal?: AbortSignal }): Promise<CID>
  /** The CID that `put` would return. */
  cidOf(bytes: Uint8Array): CID
  /**
   * What is not here is fetched, verified and stored.
   *
   * @throws OwmError `not_found`, `oversized`, `corrupt`, `timeout`, `store_full`
   */
  get(
    cid: CID,
    options: { readonly maxBytes: number; readonly signal?: AbortSignal; readonly from?: readonly PeerId[] },
  ): Promise<Uint8Array>
  /** Whether all of it is here. */
  has(cid: CID): Promise<boolean>
  /**
   * Deletes these values, as far as they are here. Blocks that they share with the values in `keeping`, or with one that
   * is being stored or read, stay.
   */
  remove(cids: readonly CID[], options: { readonly keeping: readonly CID[] }): Promise<void>
  stat(): Promise<{ readonly blocks: number; readonly bytes: number }>
}
