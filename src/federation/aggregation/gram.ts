/**
 * All inner products of the updates, exact. Distances between updates, and from any weighted mean of them, follow from
 * these alone: the rules that choose weights (Krum, geometric median, centered clipping) read the updates once, however
 * many iterations they take, and what they compute has no rounding that two peers could do differently.
 */
import { squareRoot } from './square-root.ts'

export class Gram {
  readonly size: number
  readonly #products: readonly bigint[]

  /** `products` holds row after row of a symmetric matrix. */
  constructor(size: number, products: readonly bigint[]) {
    this.size = size
    this.#products = products
  }

  product(i: number, j: number): bigint {
    return this.#products[i * this.size + j]!
  }

  norm(i: number): bigint {
    return squareRoot(this.product(i, i))
  }

  squaredDistance(i: number, j: number): bigint {
    return this.product(i, i) + this.product(j, j) - 2n * this.product(i, j)
  }

  /** Of each update from `sum(weights[i] * update i) / whole`, times `whole` squared. */
  squaredDistancesFrom(weights: readonly bigint[], whole: bigint): bigint[] {
    const towards = Array.from({ length: this.size }, (_, i) => {
      let sum = 0n
      for (const [j, weight] of weights.entries()) if (weight !== 0n) sum += weight * this.product(i, j)
      return sum
    })
    let centre = 0n
    for (const [i, weight] of weights.entries()) centre += weight * towards[i]!
    return towards.map((sum, i) => centre - 2n * whole * sum + whole * whole * this.product(i, i))
  }

  /** The products of some of the updates among each other. */
  of(chosen: readonly number[]): Gram {
    return new Gram(
      chosen.length,
      chosen.flatMap((i) => chosen.map((j) => this.product(i, j))),
    )
  }
}
