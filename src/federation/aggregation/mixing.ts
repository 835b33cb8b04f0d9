import { Gram } from './gram.ts'
import { oneWhole } from './kernels.ts'

/**
 * Nearest-neighbour mixing (Allouah et al. 2023): before the rule, each update is replaced by the mean of the
 * `size - liars` updates nearest to it, which are itself and others (of equally near ones the earlier). Honest updates
 * that differ because their data do come close together, and a liar's is drawn among them. As sums of updates, so that
 * all stays integer: the mixed update i is the sum of `neighbours[i]`, to be divided by `parts`.
 */
export interface Mixture {
  readonly parts: number
  readonly neighbours: readonly (readonly number[])[]
  /** Of the sums: `parts` squared times the products of the mixed updates. */
  readonly gram: Gram
}

export function* mix(gram: Gram, liars: number): Generator<void, Mixture> {
  const all = Array.from({ length: gram.size }, (_, i) => i)
  const parts = gram.size - liars
  const neighbours: number[][] = []
  for (const i of all) {
    const distances = all.map((j) => gram.squaredDistance(i, j))
    const order = [...all].sort((a, b) =>
      distances[a]! < distances[b]! ? -1 : distances[a]! > distances[b]! ? 1 : a - b,
    )
    neighbours.push(order.slice(0, parts))
    yield
  }
  let products = all.flatMap(() => all.map(() => 0n))
  for (let limb = 0; limb < limbs; limb++) {
    const shift = BigInt(limbBits * limb)
    const digits = limbOf(gram, limb)
    const half = yield* sumsOfRows(digits, neighbours)
    // The matrix is symmetric: sums of rows of the transposed sums are the sums of sums.
    const sums = yield* sumsOfRows(transposed(half, gram.size), neighbours)
    products = products.map((product, at) => product + (BigInt(sums[at]!) << shift))
  }
  return { parts, neighbours, gram: new Gram(gram.size, products) }
}

/**
 * Sums of so many products are quick in doubles, one digit of 30 bits at a time: products are below 2^80, and the sum of
 * 2^20 digits is below 2^53.
 */
const [limbs, limbBits] = [3, 30]

function limbOf(gram: Gram, limb: number): Float64Array {
  const digits = new Float64Array(gram.size ** 2)
  for (let at = 0; at < digits.length; at++) {
    const rest = gram.product(Math.floor(at / gram.size), at % gram.size) >> BigInt(limbBits * limb)
    digits[at] = Number(limb === limbs - 1 ? rest : BigInt.asUintN(limbBits, rest))
  }
  return digits
}

/** Row i of the result is the sum of the rows in `lists[i]`. */
function* sumsOfRows(matrix: Float64Array, lists: readonly (readonly number[])[]): Generator<void, Float64Array> {
  const size = lists.length
  const sums = new Float64Array(matrix.length)
  for (const [i, list] of lists.entries()) {
    const into = sums.subarray(i * size, (i + 1) * size)
    for (const row of list) for (let j = 0; j < size; j++) into[j] = into[j]! + matrix[row * size + j]!
    yield
  }
  return sums
}

function transposed(matrix: Float64Array, size: number): Float64Array {
  return matrix.map((_, at) => matrix[(at % size) * size + Math.floor(at / size)]!)
}

/** Weights of the mixed updates as weights of the updates. Where these would be too large in sum, they are rounded down. */
export function unmix(
  { parts, neighbours }: Mixture,
  weights: readonly number[],
  whole: number,
): { readonly weights: readonly number[]; readonly whole: number } {
  const sums = weights.map(() => 0)
  for (const [i, near] of neighbours.entries()) for (const j of near) sums[j] = sums[j]! + weights[i]!
  if (whole * parts <= oneWhole) return { weights: sums, whole: whole * parts }
  return { weights: sums.map((sum) => Math.floor(sum / parts)), whole }
}
