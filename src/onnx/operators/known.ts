/**
 * The content of small integer values (shapes, axes, positions), followed from operator to operator, so that a shape
 * that a file calculates is known before it runs. Row-major; a size may be a name.
 */
import type { Dimension } from '../model.ts'
import type { Typed } from './operator.ts'

/** Integers up to so many are followed: the sizes of a tensor, the parts of a long sequence, not data. */
export const maxKnownElements = 1024

type Known = readonly Dimension[] | undefined
type Places = readonly number[]

/** The shape in numbers, where all are known and there are few elements. */
function fewElements(shape: readonly Dimension[]): number[] | undefined {
  const sizes = shape.filter((size) => typeof size === 'number')
  if (sizes.length < shape.length) return undefined
  return sizes.reduce((product, size) => product * size, 1) <= maxKnownElements ? sizes : undefined
}

/** All places of a shape, in order. */
function placesOf(sizes: readonly number[]): number[][] {
  return sizes.reduce<number[][]>(
    (all, size) => all.flatMap((place) => Array.from({ length: size }, (_, at) => [...place, at])),
    [[]],
  )
}
function offsetOf(place: Places, sizes: readonly Dimension[]): number {
  // Sizes of 1 are repeated; a place may have more axes in front.
  const lead = place.length - sizes.length
  return sizes.reduce<number>((offset, size, axis) => offset * Number(size) + (size === 1 ? 0 : place[lead + axis]!), 0)
}

/** The content of what moves elements: for each place of the result, from which place of the input it is taken. */
export function movedKnown(input: Typed, shape: readonly Dimension[], from: (place: Places) => Places): Known {
  const { known } = input
  const sizes = fewElements(shape)
  if (known === undefined || sizes === undefined || fewElements(input.shape) === undefined) return undefined
  const moved = placesOf(sizes).map((place) => known[offsetOf(from(place), input.shape)])
  return moved.every((size) => size !== undefined) ? moved : undefined
}

/** The content of what works on each element for itself, with broadcasting. */
export function eachKnown(
  inputs: readonly Typed[],
  shape: readonly Dimension[],
  f: (...values: Dimension[]) => Dimension | undefined,
): Known {
  const sizes = fewElements(shape)
  if (sizes === undefined || inputs.some(({ known }) => known === undefined)) return undefined
  const values = placesOf(sizes).map((place) => {
    const given = inputs.map(({ known, shape: own }) => known![offsetOf(place, own)])
    return given.every((value) => value !== undefined) ? f(...given) : undefined
  })
  return values.every((value) => value !== undefined) ? values : undefined
}

/** For numbers alone. */
export const ofNumbers =
  (f: (...values: number[]) => number) =>
  (...values: Dimension[]): Dimension | undefined => {
    const numbers = values.filter((value) => typeof value === 'number')
    return numbers.length === values.length ? f(...numbers) : undefined
  }
