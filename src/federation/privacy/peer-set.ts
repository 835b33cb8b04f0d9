/** Sets of peers by their place in a directory, as bits on the wire: peer i is bit `i mod 8` of byte `floor(i / 8)`. */

export function peerSetBytes(peers: number): number {
  return Math.ceil(peers / 8)
}

export function peerSetOf(places: Iterable<number>, peers: number): Uint8Array {
  const set = new Uint8Array(peerSetBytes(peers))
  for (const place of places) set[place >> 3] = set[place >> 3]! | (1 << (place & 7))
  return set
}

/** True when the set has the directory's length and no bit beyond it. */
export function isPeerSet(set: Uint8Array, peers: number): boolean {
  if (set.length !== peerSetBytes(peers)) return false
  return peers % 8 === 0 || set[set.length - 1]! >> (peers % 8) === 0
}

export function hasPlace(set: Uint8Array, place: number): boolean {
  return ((set[place >> 3] ?? 0) & (1 << (place & 7))) !== 0
}

/** Ascending. */
export function placesOf(set: Uint8Array): number[] {
  const places: number[] = []
  for (let place = 0; place < set.length * 8; place++) if (hasPlace(set, place)) places.push(place)
  return places
}

export function isSubset(inner: Uint8Array, outer: Uint8Array): boolean {
  return inner.length === outer.length && inner.every((byte, i) => (byte & ~outer[i]!) === 0)
}
