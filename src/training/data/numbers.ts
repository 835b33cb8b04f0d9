/** Arrays of numbers within arrays, as JSON has them. */

const maxAxes = 6
const maxNumbers = 1 << 24

/** The sizes of all axes; undefined unless these are finite numbers in arrays of arrays that are alike. */
export function shapeOf(value: unknown): readonly number[] | undefined {
  const shape: number[] = []
  for (let first = value; Array.isArray(first) && shape.length < maxAxes; first = first[0]) shape.push(first.length)
  const count = shape.reduce((product, size) => product * size, 1)
  return shape.length > 0 && count > 0 && count <= maxNumbers && isShaped(value, shape, 0) ? shape : undefined
}

function isShaped(value: unknown, shape: readonly number[], axis: number): boolean {
  if (axis === shape.length) return Number.isFinite(value)
  return Array.isArray(value) && value.length === shape[axis] && value.every((one) => isShaped(one, shape, axis + 1))
}

/** Writes them one after the other, and gives the place behind the last. */
export function flattened(value: unknown, into: Float32Array | Int32Array, at: number): number {
  if (!Array.isArray(value)) {
    into[at] = value as number
    return at + 1
  }
  for (const one of value) at = flattened(one, into, at)
  return at
}
