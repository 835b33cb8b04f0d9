/**
 * The weights after a round: `fround(old + values * 2^-24)`, one addition in doubles and one rounding. With the plain
 * mean these are the bits of version 1 of the protocol: scaling by a power of two does not round.
 */
export function stepFrom(old: Float32Array, values: Float64Array): Float32Array {
  const fresh = new Float32Array(old.length)
  for (let i = 0; i < fresh.length; i++) fresh[i] = old[i]! + values[i]! * 2 ** -24
  return fresh
}
