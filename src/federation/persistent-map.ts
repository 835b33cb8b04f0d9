/**
 * A map that never changes from outside: `with` and `without` give another one. The newest version of a line owns the one
 * table behind all of them and is as quick as a `Map`; an older one is a change away from the next newer, and is put
 * back in charge of the table when it is read (Baker, "Shallow Binding Makes Functional Arrays Fast", 1991). A round's
 * state holds a thousand updates and takes in one at a time: a copy each time would be quadratic.
 */
export class PersistentMap<V> {
  /** The table, where this version is in charge of it. */
  #table: Map<string, V> | null
  /** Else: the version that is nearer to the table, and what of it is different here. */
  #next: PersistentMap<V> | null = null
  #key = ''
  #value: V | undefined
  readonly size: number

  private constructor(table: Map<string, V> | null, size: number) {
    this.#table = table
    this.size = size
  }

  static of<V>(entries: Iterable<readonly [string, V]>): PersistentMap<V> {
    const table = new Map(entries)
    return new PersistentMap(table, table.size)
  }

  has(key: string): boolean {
    return this.#own().has(key)
  }
  get(key: string): V | undefined {
    return this.#own().get(key)
  }
  keys(): string[] {
    return [...this.#own().keys()]
  }
  values(): V[] {
    return [...this.#own().values()]
  }

  with(key: string, value: V): PersistentMap<V> {
    const table = this.#own()
    const before = table.get(key)
    if (before === value && table.has(key)) return this
    const size = table.has(key) ? this.size : this.size + 1
    table.set(key, value)
    return this.#handOver(table, size, key, before)
  }

  without(key: string): PersistentMap<V> {
    const table = this.#own()
    if (!table.has(key)) return this
    const before = table.get(key)
    table.delete(key)
    return this.#handOver(table, this.size - 1, key, before)
  }

  #handOver(table: Map<string, V>, size: number, key: string, before: V | undefined): PersistentMap<V> {
    const newer = new PersistentMap<V>(table, size)
    this.#table = null
    this.#next = newer
    this.#key = key
    this.#value = before
    return newer
  }

  #own(): Map<string, V> {
    if (this.#table !== null) return this.#table
    const line: PersistentMap<V>[] = []
    let owner: PersistentMap<V> = this
    for (; owner.#next !== null; owner = owner.#next) line.push(owner)
    for (const older of line.reverse()) owner = older.#takeFrom(owner)
    return this.#table as unknown as Map<string, V>
  }

  /** Values are never undefined: an absent one is an absent key. */
  #takeFrom(owner: PersistentMap<V>): PersistentMap<V> {
    const table = owner.#table as Map<string, V>
    const key = this.#key
    const there = table.get(key)
    if (this.#value === undefined) table.delete(key)
    else table.set(key, this.#value)
    owner.#table = null
    owner.#next = this
    owner.#key = key
    owner.#value = there
    this.#table = table
    this.#next = null
    this.#value = undefined
    return this
  }
}
