/** A binary heap of small numbers under an order given from outside; the first in order comes out first. */
export interface Heap {
  readonly size: number
  push(item: number): void
  /** @returns -1 when empty */
  pop(): number
}

export function createHeap(before: (a: number, b: number) => boolean): Heap {
  const items: number[] = []
  return {
    get size() {
      return items.length
    },
    push: (item) => {
      let at = items.length
      items.push(item)
      while (at > 0) {
        const up = (at - 1) >> 1
        if (!before(item, items[up]!)) break
        items[at] = items[up]!
        at = up
      }
      items[at] = item
    },
    pop: () => {
      const first = items[0] ?? -1
      const item = items.pop()
      if (item === undefined || items.length === 0) return first
      let at = 0
      for (;;) {
        let down = 2 * at + 1
        if (down >= items.length) break
        if (down + 1 < items.length && before(items[down + 1]!, items[down]!)) down++
        if (!before(items[down]!, item)) break
        items[at] = items[down]!
        at = down
      }
      items[at] = item
      return first
    },
  }
}
