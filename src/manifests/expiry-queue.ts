/**
 * Who is next to expire: a binary min-heap (Williams 1964). An author's newer date does not remove the older one, which
 * is passed over when it comes up; the owner says through `isCurrent` which date holds.
 */
export interface ExpiryQueue {
  push(author: string, expiresMs: number): void
  /** Takes out and returns the first to expire. */
  pop(): Expiry | undefined
  /** The first to expire, left where it is. */
  peek(): Expiry | undefined
}
export interface Expiry {
  readonly author: string
  readonly expiresMs: number
}

/** Old dates are cleared away once they outnumber the current ones so many times, so that memory stays bounded. */
const maxStaleRatio = 4
const minCompactLength = 1024

export function createExpiryQueue(isCurrent: (expiry: Expiry) => boolean, liveCount: () => number): ExpiryQueue {
  let heap: Expiry[] = []

  const siftUp = (index: number): void => {
    const item = heap[index]!
    while (index > 0) {
      const parent = (index - 1) >> 1
      if (heap[parent]!.expiresMs <= item.expiresMs) break
      heap[index] = heap[parent]!
      index = parent
    }
    heap[index] = item
  }
  const siftDown = (index: number): void => {
    const item = heap[index]!
    for (;;) {
      let child = 2 * index + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && heap[child + 1]!.expiresMs < heap[child]!.expiresMs) child++
      if (heap[child]!.expiresMs >= item.expiresMs) break
      heap[index] = heap[child]!
      index = child
    }
    heap[index] = item
  }
  const removeFirst = (): Expiry | undefined => {
    const first = heap[0]
    const last = heap.pop()
    if (last !== undefined && heap.length > 0) {
      heap[0] = last
      siftDown(0)
    }
    return first
  }
  const dropStale = (): void => {
    for (let first = heap[0]; first !== undefined && !isCurrent(first); first = heap[0]) removeFirst()
  }

  return {
    push: (author, expiresMs) => {
      heap.push({ author, expiresMs })
      siftUp(heap.length - 1)
      if (heap.length < minCompactLength || heap.length < maxStaleRatio * liveCount()) return
      // A sorted array is a heap.
      heap = heap.filter(isCurrent).sort((a, b) => a.expiresMs - b.expiresMs)
    },
    pop: () => {
      dropStale()
      return removeFirst()
    },
    peek: () => {
      dropStale()
      return heap[0]
    },
  }
}
