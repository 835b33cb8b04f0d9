import { mkdir, readdir, readFile, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { FsBlockstore } from 'blockstore-fs'
import { NextToLast } from 'blockstore-fs/sharding'
import type { CID } from 'multiformats/cid'
import { blake3Of, equalBytes, errorCode, errorMessage, OwmError, toHex, writeFileAtomic } from '../lib/index.ts'

/** The blocks of this peer. `read` does not verify: whoever reads compares with the CID. */
export interface Blocks {
  open(): Promise<void>
  has(cid: CID): Promise<boolean>
  read(cid: CID): Promise<Uint8Array | undefined>
  /** Resolves when the block is durable. */
  write(cid: CID, bytes: Uint8Array): Promise<void>
  remove(cid: CID): Promise<void>
  stat(): { readonly blocks: number; readonly bytes: number }
}

export function matches(cid: CID, bytes: Uint8Array): boolean {
  return equalBytes(cid.multihash.digest, blake3Of(bytes))
}

export function memoryBlocks(): Blocks {
  const held = new Map<string, Uint8Array>()
  let bytes = 0
  const keyOf = (cid: CID): string => toHex(cid.multihash.bytes)
  const remove = async (cid: CID): Promise<void> => {
    bytes -= held.get(keyOf(cid))?.byteLength ?? 0
    held.delete(keyOf(cid))
  }
  return {
    open: async () => undefined,
    has: async (cid) => held.has(keyOf(cid)),
    read: async (cid) => held.get(keyOf(cid)),
    write: async (cid, block) => {
      await remove(cid)
      held.set(keyOf(cid), block.slice())
      bytes += block.byteLength
    },
    remove,
    stat: () => ({ blocks: held.size, bytes }),
  }
}

/**
 * Blocks as files, laid out as blockstore-fs lays them out, so that its tools can read them. Its `put` writes through
 * one temporary name per block and never calls fsync: two writers of one block can mix, and a power cut can leave an
 * empty file under the final name. So the writing is ours: own temporary names, fsync, rename, fsync of the folder.
 */
export function diskBlocks(path: string): Blocks {
  const sharding = new NextToLast()
  const store = new FsBlockstore(path, { shardingStrategy: sharding })
  const fileOf = (cid: CID): string => {
    const { dir, file } = sharding.encode(cid)
    return join(path, dir, file)
  }
  const sizes = new Map<string, number>()
  let bytes = 0
  const account = (file: string, size: number | undefined): void => {
    bytes += (size ?? 0) - (sizes.get(file) ?? 0)
    if (size === undefined) sizes.delete(file)
    else sizes.set(file, size)
  }
  return {
    open: async () => {
      await mkdir(path, { recursive: true }).catch((error) => {
        throw new OwmError('data_dir_unusable', `${path} cannot hold blocks: ${errorMessage(error)}.`, { path }, error)
      })
      await store.open()
      for (const folder of await readdir(path, { withFileTypes: true })) {
        if (!folder.isDirectory()) continue
        for (const name of await readdir(join(path, folder.name))) {
          const file = join(path, folder.name, name)
          // What a crash left half written has no final name.
          if (name.endsWith('.tmp')) await rm(file, { force: true })
          else if (name.endsWith(sharding.extension)) account(file, (await stat(file)).size)
        }
      }
    },
    has: async (cid) => sizes.has(fileOf(cid)) && (await store.has(cid)),
    read: async (cid) => {
      try {
        return new Uint8Array(await readFile(fileOf(cid)))
      } catch (error) {
        if (errorCode(error) === 'ENOENT') return undefined
        throw error
      }
    },
    write: async (cid, block) => {
      const file = fileOf(cid)
      await writeFileAtomic(file, block)
      account(file, block.byteLength)
    },
    remove: async (cid) => {
      await store.delete(cid)
      account(fileOf(cid), undefined)
    },
    stat: () => ({ blocks: sizes.size, bytes }),
  }
}
