import { Gram } from './gram.ts'
import { blockWidth, type Kernels, oneWhole } from './kernels.ts'
import { type Comparator, trimmingNetwork } from './sorting-network.ts'

/** Values are split in two parts of 14 bits, so that sums of products stay exact in doubles: value = high * 2^14 + low. */
export const lowBits = 14

/** The kernels in plain JavaScript: what the others are measured by, and the fallback. */
export function openPlainKernels(updates: number): Kernels {
  const width = blockWidth(updates)
  const rows = Array.from({ length: updates }, () => new Int32Array(width))
  const norms = rows.map(() => 0n)
  const highs = rows.map(() => new Float64Array(width))
  const lows = rows.map(() => new Float64Array(width))
  const products = Array.from({ length: 3 }, () => new Float64Array(updates * updates))
  const networks = new Map<number, readonly Comparator[]>()

  const sum = (weights: readonly number[], into: Float64Array): void => {
    into.fill(0)
    for (const [at, row] of rows.entries()) {
      const weight = weights[at]!
      for (let i = 0; i < into.length; i++) into[i] = into[i]! + weight * row[i]!
    }
  }

  return {
    width,
    rows,
    survey(at) {
      const row = rows[at]!
      let peak = 0
      let high = 0
      let mixed = 0
      let low = 0
      for (let i = 0; i < width; i++) {
        const value = row[i]!
        peak = Math.max(peak, Math.abs(value))
        const l = (value << (32 - lowBits)) >> (32 - lowBits)
        const h = (value - l) >> lowBits
        high += h * h
        mixed += h * l
        low += l * l
      }
      norms[at] = norms[at]! + joined(high, 2 * mixed, low)
      return peak
    },
    squaredNorm: (at) => norms[at]!,
    scale(at, factor) {
      const row = rows[at]!
      for (let i = 0; i < width; i++) row[i] = (row[i]! * factor) / oneWhole
    },
    sum,
    middle(trim, into) {
      let network = networks.get(trim)
      if (network === undefined) {
        network = trimmingNetwork(updates, trim)
        networks.set(trim, network)
      }
      for (const [a, b] of network) {
        const [low, high] = [rows[a]!, rows[b]!]
        for (let i = 0; i < into.length; i++) {
          const x = low[i]!
          const y = high[i]!
          low[i] = Math.min(x, y)
          high[i] = Math.max(x, y)
        }
      }
      into.fill(0)
      for (const row of rows.slice(trim, updates - trim)) {
        for (let i = 0; i < into.length; i++) into[i] = into[i]! + row[i]!
      }
    },
    weightedMiddle(weights, trim, into) {
      const whole = weights.reduce((a, b) => a + b, 0)
      const order = rows.map((_, at) => at)
      for (let i = 0; i < into.length; i++) {
        order.sort((a, b) => rows[a]![i]! - rows[b]![i]!)
        let total = 0
        let before = 0
        for (const at of order) {
          const after = before + weights[at]!
          // The part of this row's mass that lies within what is kept.
          const mass = Math.min(after, whole - trim) - Math.max(before, trim)
          if (mass > 0) total += mass * rows[at]![i]!
          before = after
        }
        into[i] = total
      }
    },
    multiply() {
      for (const [at, row] of rows.entries()) {
        const [high, low] = [highs[at]!, lows[at]!]
        for (let i = 0; i < width; i++) {
          const value = row[i]!
          const l = (value << (32 - lowBits)) >> (32 - lowBits)
          low[i] = l
          high[i] = (value - l) >> lowBits
        }
      }
      for (let a = 0; a < updates; a++) {
        const [highA, lowA] = [highs[a]!, lows[a]!]
        for (let b = a; b < updates; b++) {
          const [highB, lowB] = [highs[b]!, lows[b]!]
          let [high, mixed, low] = [0, 0, 0]
          for (let i = 0; i < width; i++) {
            high += highA[i]! * highB[i]!
            mixed += highA[i]! * lowB[i]! + lowA[i]! * highB[i]!
            low += lowA[i]! * lowB[i]!
          }
          const pair = a * updates + b
          for (const [at, part] of [high, mixed, low].entries()) products[at]![pair] = products[at]![pair]! + part
        }
      }
    },
    gram: () => symmetric(updates, (pair) => joined(products[0]![pair]!, products[1]![pair]!, products[2]![pair]!)),
  }
}

/** high * 2^28 + mixed * 2^14 + low, of exact integers. */
function joined(high: number, mixed: number, low: number): bigint {
  return (BigInt(high) << BigInt(2 * lowBits)) + (BigInt(mixed) << BigInt(lowBits)) + BigInt(low)
}

/** `of(i * size + j)` is asked for j >= i only. */
export function symmetric(size: number, of: (pair: number) => bigint): Gram {
  const products = Array<bigint>(size * size)
  for (let i = 0; i < size; i++) {
    for (let j = i; j < size; j++) products[i * size + j] = products[j * size + i] = of(i * size + j)
  }
  return new Gram(size, products)
}
