/** Arithmetic of sizes, some of which are names (`batch`, `batch*sequence`). */
import { OwmError } from '../lib/index.ts'
import type { Dimension } from './model.ts'

/** A product as a number and sorted names. */
interface Product {
  readonly factor: number
  readonly names: readonly string[]
}

/** A tensor has 8 axes at most; a product of more is meant to grow without end. */
const maxNames = 32

function productOf(sizes: readonly Dimension[]): Product {
  let factor = 1
  const names: string[] = []
  for (const size of sizes) {
    if (typeof size === 'number') factor *= size
    else
      for (const part of size.split('*')) {
        if (/^\d+$/.test(part)) factor *= Number(part)
        else names.push(part)
      }
  }
  if (names.length > maxNames) throw new OwmError('bad_graph', `A product of more than ${maxNames} sizes.`)
  return { factor, names: names.sort() }
}

function dimensionOf({ factor, names }: Product): Dimension {
  if (names.length === 0 || factor === 0) return factor
  return factor === 1 ? names.join('*') : `${factor}*${names.join('*')}`
}

export function multiply(sizes: readonly Dimension[]): Dimension {
  return dimensionOf(productOf(sizes))
}

/** `total / given`, or undefined where it does not come out even. */
export function divide(total: readonly Dimension[], given: readonly Dimension[]): Dimension | undefined {
  const above = productOf(total)
  const below = productOf(given)
  const names = [...above.names]
  for (const name of below.names) {
    const at = names.indexOf(name)
    if (at < 0) return undefined
    names.splice(at, 1)
  }
  const factor = above.factor / below.factor
  return Number.isInteger(factor) ? dimensionOf({ factor, names }) : undefined
}

/** NumPy's rule: aligned at the end, equal or 1. A name fits itself and 1 alone. */
export function broadcast(...shapes: readonly (readonly Dimension[])[]): Dimension[] {
  const rank = Math.max(...shapes.map((shape) => shape.length))
  return Array.from({ length: rank }, (_, axis) => {
    const sizes = shapes.map((shape) => shape[shape.length - rank + axis] ?? 1).filter((size) => size !== 1)
    const [first = 1] = sizes
    if (sizes.some((size) => size !== first)) {
      const list = shapes.map((shape) => `[${shape.join(', ')}]`).join(' and ')
      throw new OwmError('bad_graph', `The shapes ${list} do not broadcast.`)
    }
    return first
  })
}

/** Every size as a number. @throws OwmError `bad_graph` */
export function staticShape(shape: readonly Dimension[]): number[] {
  return shape.map((size) => {
    if (typeof size === 'string') throw new OwmError('bad_graph', `The size ${size} is not known here.`)
    return size
  })
}
