/**
 * What every codec gives: whole numbers in units of `2^-24`, so that sums are exact in doubles, in any order, and the
 * same on every machine.
 */
export interface FixedVector {
  /** Below 2^27 in size: weights of 2^26 in all keep a sum below 2^53. */
  readonly units: Int32Array
  /** A value is `units[i] * 2^exponent`. */
  readonly exponent: typeof unitExponent
}

export const unitExponent = -24
export const unitsPerOne = 0x100_0000
/** The largest of a codec's numbers. */
export const maxUnits = 0x800_0000 - 1

export function toFloats({ units }: FixedVector): Float32Array {
  const floats = new Float32Array(units.length)
  for (let i = 0; i < units.length; i++) floats[i] = units[i]! / unitsPerOne
  return floats
}

/** The L2 norm squared, in doubles and index order: the same everywhere. */
export function squaredNorm({ units }: FixedVector): number {
  let sum = 0
  for (let i = 0; i < units.length; i++) {
    const value = units[i]! / unitsPerOne
    sum += value * value
  }
  return sum
}

/** Adds `weight` times the vector to the sums, in units. Exact while the weights of a sum are 2^26 at most. */
export function addWeighted(sums: Float64Array, { units }: FixedVector, weight: number): void {
  for (let i = 0; i < units.length; i++) sums[i] = sums[i]! + units[i]! * weight
}
