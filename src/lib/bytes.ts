/** Compares bytewise; a prefix comes first. The one order by which ties are broken. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  return Buffer.compare(a, b)
}

export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && Buffer.compare(a, b) === 0
}

export function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')
}

/** Kademlia's XOR distance (Maymounkov and Mazieres 2002); both of equal length. */
export function xorDistance(a: Uint8Array, b: Uint8Array): Uint8Array {
  const distance = new Uint8Array(a.length)
  for (let i = 0; i < a.length; i++) distance[i] = a[i]! ^ b[i]!
  return distance
}

/** `1536` -> `1.5 KiB`. For people, not for parsing. */
export function formatBytes(count: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  const power = count < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(count) / 10))
  return `${(count / 1024 ** power).toFixed(power === 0 ? 0 : 1)} ${units[power]}`
}
