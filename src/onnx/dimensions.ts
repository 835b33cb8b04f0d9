/** Arithmetic of sizes, some of which are names (`batch`, `batch*sequence`, `sequence+1`). */
import { OwmError } from '../lib/index.ts'
import type { Dimension } from './model.ts'

/** A sum of products: how often each product of sorted names is in it. The product of no names is `''`. */
type Sum = ReadonlyMap<string, number>

/** A tensor has 8 axes at most; a product or a sum of more is meant to grow without end. */
const maxNames = 32
const maxTerms = 32

function sumOf(size: Dimension): Sum {
  if (typeof size === 'number') return new Map([['', size]])
  return plus(
    size.split('+').map((term) => {
      const parts = term.split('*')
      const factor = parts.filter(isNumber).reduce((product, part) => product * Number(part), 1)
      return new Map([[productOf(parts.filter((part) => !isNumber(part))), factor]])
    }),
  )
}
const isNumber = (part: string): boolean => /^-?\d+$/.test(part)
const namesOf = (product: string): string[] => (product === '' ? [] : product.split('*'))

function productOf(names: readonly string[]): string {
  if (names.length > maxNames) throw new OwmError('bad_graph', `A product of more than ${maxNames} sizes.`)
  return names.toSorted().join('*')
}

function plus(sums: readonly Sum[]): Sum {
  const total = new Map<string, number>()
  for (const sum of sums) {
    for (const [product, factor] of sum) total.set(product, (total.get(product) ?? 0) + factor)
  }
  if (total.size > maxTerms) throw new OwmError('bad_graph', `A sum of more than ${maxTerms} sizes.`)
  return total
}

function times(a: Sum, b: Sum): Sum {
  return plus(
    [...a].map(([left, factor]) => {
      const products = [...b].map(
        ([right, other]) => [productOf([...namesOf(left), ...namesOf(right)]), factor * other] as const,
      )
      // Different products stay different when they are multiplied by the same.
      return new Map(products)
    }),
  )
}

/** The number, or the one way of writing the sum: numbers last. */
function dimensionOf(sum: Sum): Dimension {
  const terms = [...sum]
    .filter(([, factor]) => factor !== 0)
    .sort(([a], [b]) => (a === '' ? 1 : b === '' ? -1 : a < b ? -1 : 1))
  if (terms.length === 0) return 0
  if (terms.length === 1 && terms[0]![0] === '') return terms[0]![1]
  return terms
    .map(([product, factor]) => (product === '' ? `${factor}` : factor === 1 ? product : `${factor}*${product}`))
    .join('+')
}

export function add(...sizes: readonly Dimension[]): Dimension {
  return dimensionOf(plus(sizes.map(sumOf)))
}
export function subtract(a: Dimension, b: Dimension): Dimension {
  return dimensionOf(plus([sumOf(a), times(sumOf(b), sumOf(-1))]))
}
export function multiply(sizes: readonly Dimension[]): Dimension {
  return dimensionOf(sizes.map(sumOf).reduce(times, sumOf(1)))
}

/** `total / given`, or undefined where it does not come out even. */
export function divide(total: readonly Dimension[], given: readonly Dimension[]): Dimension | undefined {
  // What is on both sides falls away, a sum too; what is left must be one product.
  const rest = [...total]
  const left = given.filter((size) => {
    const at = typeof size === 'string' ? rest.indexOf(size) : -1
    if (at >= 0) rest.splice(at, 1)
    return at < 0
  })
  const [[product, divisor] = ['', 0], ...others] = sumOf(multiply(left))
  if (others.length > 0) return undefined
  const quotient = new Map<string, number>()
  for (const [above, factor] of sumOf(multiply(rest))) {
    const names = namesOf(above)
    for (const name of namesOf(product)) {
      const at = names.indexOf(name)
      if (at < 0) return undefined
      names.splice(at, 1)
    }
    if (!Number.isInteger(factor / divisor)) return undefined
    quotient.set(productOf(names), factor / divisor)
  }
  return dimensionOf(quotient)
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
