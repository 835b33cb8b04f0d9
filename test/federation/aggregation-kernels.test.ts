import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { type Kernels, oneWhole, valueLimit } from '../../src/federation/aggregation/kernels.ts'
import { openPlainKernels } from '../../src/federation/aggregation/kernels-plain.ts'
import { openWasmKernels } from '../../src/federation/aggregation/kernels-wasm.ts'
import { sortingNetwork, trimmingNetwork } from '../../src/federation/aggregation/sorting-network.ts'
import { squareRoot } from '../../src/federation/aggregation/square-root.ts'
import { suite } from '../suite.ts'

const test = suite('aggregation kernels')

/** Whatever fits, and often what is at the edge: the ends of the range, and of the 14 bits that values are split at. */
const edges = [0, 1, -1, 8191, 8192, -8192, -8193, 16_383, 134_209_535, -134_209_536, valueLimit - 1, 1 - valueLimit]
const value = fc.oneof(
  fc.constantFrom(...edges),
  fc.integer({ min: 1 - valueLimit, max: valueLimit - 1 }),
  fc.integer({ min: -300, max: 300 }),
)
const block = fc
  .tuple(fc.integer({ min: 1, max: 19 }), fc.integer({ min: 1, max: 70 }))
  .chain(([updates, length]) =>
    fc.array(fc.array(value, { minLength: length, maxLength: length }), { minLength: updates, maxLength: updates }),
  )
const runs = { numRuns: 60 }

const wasm = (updates: number): Kernels => {
  const kernels = openWasmKernels(updates)
  assert.ok(kernels !== undefined, 'this engine has no SIMD')
  return kernels
}
/** The same work in both, and what is left in their rows. */
function both<T>(
  rows: readonly (readonly number[])[],
  work: (kernels: Kernels, into: Float64Array) => T,
): readonly T[] {
  return [openPlainKernels(rows.length), wasm(rows.length)].map((kernels) => {
    for (const [i, row] of rows.entries()) kernels.rows[i]!.set(row)
    return work(kernels, new Float64Array(rows[0]!.length))
  })
}
const big = (numbers: readonly number[]): bigint[] => numbers.map(BigInt)
const dot = (a: readonly number[], b: readonly number[]): bigint =>
  big(a).reduce((sum, one, i) => sum + one * BigInt(b[i]!), 0n)
const column = (rows: readonly (readonly number[])[], i: number): number[] => rows.map((row) => row[i]!)

test('the largest value and the squared norm are exact', () => {
  fc.assert(
    fc.property(block, (rows) => {
      const [plain, fast] = both(rows, (kernels) =>
        rows.map((_, i) => [kernels.survey(i), kernels.squaredNorm(i)] as const),
      )
      assert.equal(fast, plain)
      assert.equal(
        plain,
        rows.map((row) => [Math.max(...row.map(Math.abs)), dot(row, row)]),
      )
    }),
    runs,
  )
})

test('a block of nothing but the largest values overflows nowhere, however many there are', () => {
  for (const most of [valueLimit - 1, 1 - valueLimit, 134_209_535, -134_209_536, 8190 * 2 ** 14 + 16_383]) {
    const rows = Array.from({ length: 3 }, () => Array<number>(1024).fill(most))
    const square = BigInt(most) ** 2n * 1024n * 3n
    const [plain, fast] = both(rows, (kernels) => {
      for (let times = 0; times < 3; times++) {
        kernels.survey(0)
        kernels.multiply()
      }
      const gram = kernels.gram()
      return [kernels.squaredNorm(0), gram.product(0, 0), gram.product(1, 2)]
    })
    assert.equal(fast, [square, square, square])
    assert.equal(plain, fast)
  }
})

test('any int32 has its size told, the lowest too', () => {
  for (const [given, size] of [
    [-(2 ** 31), 2 ** 31],
    [2 ** 31 - 1, 2 ** 31 - 1],
    [valueLimit, valueLimit],
  ] as const) {
    for (let at = 0; at < 5; at++) {
      const row = [0, 0, 0, 0, 0]
      row[at] = given
      assert.equal(
        both([row], (kernels) => kernels.survey(0)),
        [size, size],
      )
    }
  }
})

test('scaling rounds towards zero', () => {
  fc.assert(
    fc.property(block, fc.integer({ min: 0, max: oneWhole }), (rows, factor) => {
      const [plain, fast] = both(rows, (kernels) => {
        kernels.scale(0, factor)
        return [...kernels.rows[0]!.subarray(0, rows[0]!.length)]
      })
      assert.equal(fast, plain)
      assert.equal(
        big(plain ?? []),
        big(rows[0]!).map((one) => (one * BigInt(factor)) / BigInt(oneWhole)),
      )
    }),
    runs,
  )
})

test('weighted sums are exact, with the largest weights too', () => {
  fc.assert(
    fc.property(block, fc.array(fc.nat(oneWhole), { minLength: 19, maxLength: 19 }), (rows, given) => {
      const weights = rows.map((_, i) => Math.floor(given[i]! / rows.length))
      const [plain, fast] = both(rows, (kernels, into) => {
        kernels.sum(weights, into)
        return [...into]
      })
      assert.equal(fast, plain)
      assert.equal(
        big(plain ?? []),
        rows[0]!.map((_, i) => dot(weights, column(rows, i))),
      )
    }),
    runs,
  )
})

test('the middle is what sorting finds, for any number of rows and any trim', () => {
  fc.assert(
    fc.property(block, fc.nat(9), (rows, given) => {
      const trim = Math.min(given, (rows.length - 1) >> 1)
      const [plain, fast] = both(rows, (kernels, into) => {
        kernels.middle(trim, into)
        return [...into]
      })
      assert.equal(fast, plain)
      const expected = rows[0]!.map((_, i) => {
        const sorted = column(rows, i).sort((a, b) => a - b)
        return sorted.slice(trim, rows.length - trim).reduce((sum, one) => sum + one, 0)
      })
      assert.equal(plain, expected)
    }),
    runs,
  )
})

test('the weighted middle is that of each row repeated as often as it weighs', () => {
  const given = fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 19, maxLength: 19 })
  fc.assert(
    fc.property(block, given, fc.nat(99), (rows, masses, share) => {
      const weights = rows.map((_, i) => masses[i]!)
      const whole = weights.reduce((sum, weight) => sum + weight, 0)
      const trim = Math.floor((((whole - 1) >> 1) * share) / 99)
      const [plain, fast] = both(rows, (kernels, into) => {
        kernels.weightedMiddle(weights, trim, into)
        return [...into]
      })
      assert.equal(fast, plain)
      const expected = rows[0]!.map((_, i) => {
        const repeated = rows.flatMap((row, at) => Array<number>(weights[at]!).fill(row[i]!)).sort((a, b) => a - b)
        return repeated.slice(trim, whole - trim).reduce((sum, one) => sum + one, 0)
      })
      assert.equal(plain, expected)
    }),
    runs,
  )
  const rows = [[valueLimit - 1], [1 - valueLimit], [5]]
  const heavy = [oneWhole / 2, oneWhole / 4, oneWhole / 4]
  assert.equal(
    both(rows, (kernels, into) => {
      kernels.weightedMiddle(heavy, oneWhole / 4, into)
      return into[0]
    }),
    [(valueLimit - 1 + 5) * (oneWhole / 4), (valueLimit - 1 + 5) * (oneWhole / 4)],
  )
})

test('products of all pairs are exact, over several blocks', () => {
  fc.assert(
    fc.property(block, (rows) => {
      const [plain, fast] = both(rows, (kernels) => {
        kernels.multiply()
        kernels.scale(0, oneWhole / 2)
        kernels.multiply()
        const gram = kernels.gram()
        return rows.map((_, i) => rows.map((_, j) => gram.product(i, j)))
      })
      assert.equal(fast, plain)
      const halved = rows.map((row, i) => (i === 0 ? row.map((one) => Math.trunc(one / 2)) : row))
      assert.equal(
        plain,
        rows.map((a, i) => rows.map((b, j) => dot(a, b) + dot(halved[i]!, halved[j]!))),
      )
    }),
    { numRuns: 25 },
  )
})

test('distances follow from the products', () => {
  fc.assert(
    fc.property(block, (rows) => {
      const kernels = openPlainKernels(rows.length)
      for (const [i, row] of rows.entries()) kernels.rows[i]!.set(row)
      kernels.multiply()
      const gram = kernels.gram()
      const last = rows.length - 1
      const apart = rows[0]!.map((one, i) => one - rows[last]![i]!)
      assert.is(gram.squaredDistance(0, last), dot(apart, apart))
      // From (2 a + 3 b) / 8: eight times the distance is that of 8 x from 2 a + 3 b.
      const weights = rows.map(() => 0n)
      weights[0] = 2n
      weights[last] = weights[last]! + 3n
      const expected = rows.map((row) => {
        const difference = row.map((one, i) => 8 * one - 2 * rows[0]![i]! - 3 * rows[last]![i]!)
        return dot(difference, difference)
      })
      assert.equal(gram.squaredDistancesFrom(weights, 8n), expected)
    }),
    runs,
  )
})

test('a network sorts whatever is zero or one, hence anything', () => {
  for (let count = 1; count <= 10; count++) {
    const network = sortingNetwork(count)
    for (let bits = 0; bits < 2 ** count; bits++) {
      const wires = Array.from({ length: count }, (_, i) => (bits >> i) & 1)
      for (const [low, high] of network) {
        const [a, b] = [wires[low]!, wires[high]!]
        wires[low] = Math.min(a, b)
        wires[high] = Math.max(a, b)
      }
      assert.equal(
        wires,
        wires.toSorted((a, b) => a - b),
      )
    }
  }
})

test('a trimming network is shorter, and each of its comparators is needed', () => {
  assert.ok(trimmingNetwork(100, 49).length < 0.9 * sortingNetwork(100).length)
  assert.is(trimmingNetwork(9, 0).length, 0)
  const count = 7
  const keeps = (network: readonly (readonly [number, number])[], trim: number): boolean => {
    for (let bits = 0; bits < 2 ** count; bits++) {
      const wires = Array.from({ length: count }, (_, i) => (bits >> i) & 1)
      const ones = wires.reduce((sum, one) => sum + one, 0)
      for (const [low, high] of network) {
        const [a, b] = [wires[low]!, wires[high]!]
        wires[low] = Math.min(a, b)
        wires[high] = Math.max(a, b)
      }
      const kept = wires.slice(trim, count - trim).reduce((sum, one) => sum + one, 0)
      if (kept !== Math.max(0, Math.min(count - 2 * trim, ones - trim))) return false
    }
    return true
  }
  for (const trim of [1, 2, 3]) {
    const network = trimmingNetwork(count, trim)
    assert.ok(keeps(network, trim))
    assert.not.ok(keeps(network.slice(0, -1), trim))
  }
})

test('square roots are rounded down, of numbers of any size', () => {
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: 2n ** 300n }), (number) => {
      const root = squareRoot(number)
      assert.ok(root * root <= number && (root + 1n) ** 2n > number)
      assert.is(squareRoot(number * number), number)
    }),
  )
})

test.run()
