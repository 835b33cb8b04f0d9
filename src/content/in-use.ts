import type { CID } from 'multiformats/cid'

/**
 * Blocks that a `put` or a `get` is about to rely on. A removal spares them, also those that came while it was at work:
 * two values can share a block, and the list that names it may not be on the disk yet.
 */
export class BlocksInUse {
  readonly #counts = new Map<string, number>()
  #spared: Set<string> | undefined

  /** Returns the way to let go of them. */
  use(cids: readonly CID[]): () => void {
    const keys = cids.map(String)
    for (const key of keys) {
      this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1)
      this.#spared?.add(key)
    }
    return () => {
      for (const key of keys) {
        const left = (this.#counts.get(key) ?? 1) - 1
        if (left === 0) this.#counts.delete(key)
        else this.#counts.set(key, left)
      }
    }
  }

  /** Runs one removal; `isSpared` is to be asked right before each block goes. */
  async whileRemoving(work: (isSpared: (cid: CID) => boolean) => Promise<void>): Promise<void> {
    const spared = new Set(this.#counts.keys())
    this.#spared = spared
    try {
      await work((cid) => spared.has(cid.toString()))
    } finally {
      this.#spared = undefined
    }
  }
}
