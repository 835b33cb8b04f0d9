/**
 * The step of a block is one byte: a number with four significant bits, as small floating-point formats have them. Below
 * 8 it is the byte itself, from there on `(8 + low three bits) * 2^(high five bits - 1)`: the next is at most 1/8 more.
 */
import { maxUnits } from './fixed-vector.ts'

/** In units, rising, up to `maxUnits`. */
export const steps: Int32Array = Int32Array.from(allSteps())

function allSteps(): number[] {
  const values: number[] = []
  for (let byte = 0; ; byte++) {
    const value = byte < 8 ? byte : (8 + (byte & 7)) * (1 << ((byte >> 3) - 1))
    if (value > maxUnits) return values
    values.push(value)
  }
}

/** The byte of the smallest step that is not below `units`; the largest step's, if none is. */
export function stepAtLeast(units: number): number {
  let low = 0
  let high = steps.length - 1
  while (low < high) {
    const middle = (low + high) >> 1
    if (steps[middle]! < units) low = middle + 1
    else high = middle
  }
  return low
}
