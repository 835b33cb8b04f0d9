import type { PeerId } from '@libp2p/interface'
import type { CID } from 'multiformats/cid'
import { codecs, errorCode, joinSignals, OwmError, withTimeout } from '../lib/index.ts'
import type { Network } from '../network/index.ts'
import type { Counter, Logger, Metrics } from '../observability/index.ts'
import { type Blocks, diskBlocks, matches, memoryBlocks } from './blocks.ts'
import { type Block, chunkBytes, chunkLength, cut, isBlake3, parseChunkList } from './chunks.ts'
import { createExchange, type Exchange } from './exchange.ts'
import { BlocksInUse } from './in-use.ts'
import type { ContentStore } from './index.ts'

/** A caller that gives no signal waits at most this long. */
const defaultTimeoutMs = 60_000
/** Chunks in flight at once: enough to fill a connection, little to hold in memory. */
const parallelChunks = 4

export interface ContentComponents {
  readonly network: Pick<Network, 'libp2p' | 'peers'>
  readonly logger: Logger
  readonly metrics: Metrics
}

export interface ContentInit {
  /** Blocks are kept below this folder; in memory when absent. */
  readonly path?: string
  /** What the store may hold in all. */
  readonly maxBytes: number
}

export function createContentStore(components: ContentComponents, init: ContentInit): ContentStore {
  return new HeliaContentStore(components, init)
}

class HeliaContentStore implements ContentStore {
  readonly #network: ContentComponents['network']
  readonly #blocks: Blocks
  readonly #maxBytes: number
  readonly #logger: Logger
  readonly #fetched: Counter
  readonly #makeExchange: () => Exchange
  #exchange: Exchange | undefined
  readonly #inUse = new BlocksInUse()
  #removal: Promise<void> = Promise.resolve()
  #shutdown = new AbortController()
  #opened = false

  constructor(components: ContentComponents, init: ContentInit) {
    this.#network = components.network
    this.#logger = components.logger.child({ room: 'content' })
    this.#blocks = init.path === undefined ? memoryBlocks() : diskBlocks(init.path)
    this.#maxBytes = init.maxBytes
    this.#fetched = components.metrics.counter('owm_content_fetched_bytes_total', 'Bytes of blocks fetched from peers.')
    // Made at the start, since the network has its libp2p only then.
    this.#makeExchange = () => createExchange(components.network.libp2p, this.#blocks, this.#logger)
  }

  async start(): Promise<void> {
    if (this.#exchange !== undefined) return
    if (!this.#opened) await this.#blocks.open()
    this.#opened = true
    this.#shutdown = new AbortController()
    const exchange = this.#makeExchange()
    await exchange.start()
    this.#exchange = exchange
  }

  async stop(): Promise<void> {
    const exchange = this.#exchange
    this.#exchange = undefined
    this.#shutdown.abort(new OwmError('stopped', 'The content store is stopping.'))
    await exchange?.stop()
  }

  cidOf(bytes: Uint8Array): CID {
    return cut(bytes).root
  }

  async put(bytes: Uint8Array, options: { readonly signal?: AbortSignal } = {}): Promise<CID> {
    const { root, blocks } = cut(bytes)
    const list = blocks.length > 1 ? blocks.slice(0, -1) : blocks
    const release = this.#inUse.use(blocks.map((block) => block.cid))
    try {
      await inParallel(list, parallelChunks, async (block) => {
        options.signal?.throwIfAborted()
        await this.#store(block)
      })
      // The list comes after its chunks, so that a root on disk means all of it is.
      if (blocks.length > 1) for (const block of blocks.slice(-1)) await this.#store(block)
      return root
    } finally {
      release()
    }
  }

  async get(
    cid: CID,
    options: { readonly maxBytes: number; readonly signal?: AbortSignal; readonly from?: readonly PeerId[] },
  ): Promise<Uint8Array> {
    if (!isBlake3(cid)) throw new OwmError('not_found', `${cid} is not a CID of this store: version 1 with BLAKE3.`)
    const { maxBytes, from = [] } = options
    const signal = joinSignals(
      options.signal ?? withTimeout(defaultTimeoutMs, this.#shutdown.signal),
      this.#shutdown.signal,
    )
    const releases = [this.#inUse.use([cid])]
    try {
      if (cid.code === codecs.raw) {
        const bytes = await this.#block(cid, Math.min(maxBytes, chunkBytes), from, signal)
        if (bytes.byteLength > maxBytes) throw oversized(cid, bytes.byteLength, maxBytes)
        return bytes
      }
      const list = parseChunkList(await this.#block(cid, chunkBytes, from, signal))
      if (list.size > maxBytes) throw oversized(cid, list.size, maxBytes)
      releases.push(this.#inUse.use(list.chunks))
      const value = new Uint8Array(list.size)
      await inParallel(
        list.chunks.map((chunk, index) => ({ chunk, index })),
        parallelChunks,
        async ({ chunk, index }) => {
          const length = chunkLength(list, index)
          const bytes = await this.#block(chunk, length, from, signal)
          if (bytes.byteLength !== length) throw new OwmError('corrupt', `A chunk of ${cid} has the wrong length.`)
          value.set(bytes, index * chunkBytes)
        },
      )
      return value
    } catch (error) {
      throw typed(error, cid)
    } finally {
      for (const release of releases) release()
    }
  }

  async has(cid: CID): Promise<boolean> {
    if (!isBlake3(cid) || !(await this.#blocks.has(cid))) return false
    if (cid.code === codecs.raw) return true
    const root = await this.#blocks.read(cid)
    if (root === undefined || !matches(cid, root)) return false
    for (const chunk of parseChunkList(root).chunks) if (!(await this.#blocks.has(chunk))) return false
    return true
  }

  remove(cids: readonly CID[], { keeping }: { readonly keeping: readonly CID[] }): Promise<void> {
    const removal = this.#removal.then(() =>
      this.#inUse.whileRemoving(async (isSpared) => {
        const kept = new Set<string>()
        for (const root of keeping) for (const block of await this.#reachable(root)) kept.add(block.toString())
        for (const root of cids) {
          // The root first: a value without its list is not taken for whole.
          for (const block of await this.#reachable(root)) {
            const stays = kept.has(block.toString()) || isSpared(block)
            if (!stays && (await this.#blocks.has(block))) await this.#blocks.remove(block)
          }
        }
      }),
    )
    this.#removal = removal.catch(() => undefined)
    return removal
  }

  /** The root and the chunks that it names, as far as that can be told from what is here. */
  async #reachable(root: CID): Promise<readonly CID[]> {
    if (root.code !== codecs.dagCbor || !isBlake3(root)) return [root]
    const bytes = await this.#blocks.read(root)
    if (bytes === undefined || !matches(root, bytes)) return [root]
    try {
      return [root, ...parseChunkList(bytes).chunks]
    } catch {
      return [root]
    }
  }

  async stat(): Promise<{ readonly blocks: number; readonly bytes: number }> {
    return this.#blocks.stat()
  }

  /** One verified block, from here or from a peer. A damaged one here is replaced when a peer has it whole. */
  async #block(cid: CID, maxBytes: number, from: readonly PeerId[], signal: AbortSignal): Promise<Uint8Array> {
    const local = await this.#blocks.read(cid)
    if (local !== undefined && matches(cid, local)) return local
    if (local !== undefined) {
      this.#logger.warn({ cid: cid.toString() }, 'a stored block is damaged; it is deleted and fetched again')
      await this.#blocks.remove(cid)
    }
    try {
      const bytes = await this.#fetch(cid, from, signal)
      if (bytes.byteLength > maxBytes) throw oversized(cid, bytes.byteLength, maxBytes)
      this.#fetched.add(bytes.byteLength)
      await this.#store({ cid, bytes })
      return bytes
    } catch (error) {
      if (local === undefined) throw error
      throw new OwmError('corrupt', `The stored block ${cid} is damaged and no peer has it.`, {}, error)
    }
  }

  async #fetch(cid: CID, from: readonly PeerId[], signal: AbortSignal): Promise<Uint8Array> {
    if (this.#exchange === undefined)
      throw new OwmError('not_found', `${cid} is not here and the store is not started.`)
    const asked = new Map<string, PeerId>()
    for (const peer of from) asked.set(peer.toString(), peer)
    for (const peer of this.#network.peers()) asked.set(peer.id.toString(), peer.id)
    asked.delete(this.#network.libp2p.peerId.toString())
    return this.#exchange.fetch(cid, [...asked.values()], signal)
  }

  async #store(block: Block): Promise<void> {
    const held = await this.#blocks.read(block.cid)
    if (held !== undefined && matches(block.cid, held)) return
    if (this.#blocks.stat().bytes + block.bytes.byteLength > this.#maxBytes) {
      throw new OwmError('store_full', `The content store is full: ${this.#maxBytes} bytes are allowed.`)
    }
    await this.#blocks.write(block.cid, block.bytes)
    this.#exchange?.announce(block.cid)
  }
}

function oversized(cid: CID, size: number, maxBytes: number): OwmError {
  return new OwmError('oversized', `${cid} has ${size} bytes, over the limit of ${maxBytes}.`, { size, maxBytes })
}

/** Errors of this room, whatever bitswap threw. */
function typed(error: unknown, cid: CID): unknown {
  if (error instanceof OwmError) {
    return error.code === 'malformed' || error.code === 'schema_mismatch'
      ? new OwmError('corrupt', `${cid} is not a list of chunks: ${error.message}`, {}, error)
      : error
  }
  const code = errorCode(error)
  if (code === 'timeout') return new OwmError('timeout', `${cid} did not arrive in time.`, {}, error)
  return error
}

async function inParallel<T>(items: readonly T[], width: number, work: (item: T) => Promise<void>): Promise<void> {
  const queue = items.values()
  let failed = false
  const lanes = Array.from({ length: Math.min(width, items.length) }, async () => {
    for (const item of queue) {
      // With one lost the rest is of no use.
      if (failed) return
      await work(item).catch((error) => {
        failed = true
        throw error
      })
    }
  })
  await Promise.all(lanes)
}
