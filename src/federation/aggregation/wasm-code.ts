/**
 * The kernels in WebAssembly, as expressions. Addresses and lengths are in bytes; blocks of rows are multiples of 64
 * bytes, zero to the end. Each sum below says why it cannot overflow; values are within +-(2^27 - 1).
 */
import {
  type Code,
  f64x2,
  i16x8,
  i32,
  i32x4,
  i64x2,
  type Local,
  v128,
  type WasmFunction,
  wasmFunction,
} from './wasm-assembler.ts'

/** A cache line: rows are worked on by columns of it, so that a column of all rows stays in the first-level cache. */
const line = 64
const quarters = [0, 16, 32, 48] as const
/** Duplicates the low 32 bits of the four 64-bit lanes of two vectors into one vector. */
const lowHalves = [0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27]
const upperHalf = [8, 9, 10, 11, 12, 13, 14, 15, ...Array<number>(8).fill(0)]
const splat64 = (low: number, high: number): Code => [
  ...[0xfd, 0x0c],
  ...[...Array(2)].flatMap(() => [low, high].flatMap((word) => [0, 8, 16, 24].map((by) => (word >>> by) & 0xff))),
]
const add = (local: Local, by: Code): Code => local.set(i32.add(local.get, by))

/** survey(row, bytes, squares) -> the largest |value|, unsigned. */
const survey = wasmFunction('survey', ['i32', 'i32', 'i32'], 'i32', (f, row, bytes, squares) => {
  const at = f.local('i32')
  const [value, peak, low, high] = [f.local('v128'), f.local('v128'), f.local('v128'), f.local('v128')]
  const mask = splat64(0xffffffff, 0)
  const lane = (index: number): Code => i32x4.lane(index, peak.get)
  const larger = (a: Local, shift: readonly number[]): Code =>
    a.set(i32x4.maxUnsigned(a.get, v128.shuffle(a.get, a.get, shift)))
  // A block has at most 1,024 values: each of the four lanes adds 256 squares below 2^54.
  const flush = (sum: Local): Code[] => [
    v128.store(0, squares.get, i64x2.add(v128.load(0, squares.get), i64x2.shrUnsigned(sum.get, i32.const(32)))),
    v128.store(16, squares.get, i64x2.add(v128.load(16, squares.get), v128.and(sum.get, mask))),
  ]
  return [
    ...f.each(at, row.get, i32.add(row.get, bytes.get), i32.const(16), [
      ...value.set(v128.load(0, at.get)),
      ...peak.set(i32x4.maxUnsigned(peak.get, i32x4.abs(value.get))),
      ...low.set(i64x2.add(low.get, i64x2.productLow(value.get, value.get))),
      ...high.set(i64x2.add(high.get, i64x2.productHigh(value.get, value.get))),
    ]),
    ...flush(low).flat(),
    ...flush(high).flat(),
    ...larger(peak, [8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7]),
    ...larger(peak, [4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11]),
    ...lane(0),
  ]
})

/** scale(row, bytes, factor): |value| * factor < 2^53 in 64 bits, shifted down, with the sign put back. */
const scale = wasmFunction('scale', ['i32', 'i32', 'i32'], undefined, (f, row, bytes, factor) => {
  const at = f.local('i32')
  const [value, sign, size, factors] = [f.local('v128'), f.local('v128'), f.local('v128'), f.local('v128')]
  const shifted = (product: Code): Code => i64x2.shrUnsigned(product, i32.const(26))
  return [
    ...factors.set(i32x4.splat(factor.get)),
    ...f.each(at, row.get, i32.add(row.get, bytes.get), i32.const(16), [
      ...value.set(v128.load(0, at.get)),
      ...sign.set(i32x4.shr(value.get, i32.const(31))),
      ...size.set(i32x4.abs(value.get)),
      ...size.set(
        v128.shuffle(
          shifted(i64x2.productLow(size.get, factors.get)),
          shifted(i64x2.productHigh(size.get, factors.get)),
          lowHalves,
        ),
      ),
      ...v128.store(0, at.get, i32x4.sub(v128.xor(size.get, sign.get), sign.get)),
    ]),
  ]
})

/** sum(rows, stride, count, weights, bytes, into): weights are doubles; sums are integers below 2^53, exact in doubles. */
const sum = wasmFunction(
  'sum',
  ['i32', 'i32', 'i32', 'i32', 'i32', 'i32'],
  undefined,
  (f, rows, stride, count, weights, bytes, into) => {
    const [column, row, weightAt] = [f.local('i32'), f.local('i32'), f.local('i32')]
    const [weight, value] = [f.local('v128'), f.local('v128')]
    const sums = [...Array(8)].map(() => f.local('v128'))
    return f.each(column, i32.const(0), bytes.get, i32.const(line), [
      ...sums.flatMap((one) => one.set(v128.zero)),
      ...weightAt.set(weights.get),
      ...f.each(
        row,
        i32.add(rows.get, column.get),
        i32.add(i32.add(rows.get, column.get), i32.mul(stride.get, count.get)),
        stride.get,
        [
          ...weight.set(v128.load64Splat(0, weightAt.get)),
          ...quarters.flatMap((offset, quarter) => {
            const [low, high] = [sums[2 * quarter]!, sums[2 * quarter + 1]!]
            const upper = v128.shuffle(value.get, value.get, upperHalf)
            return [
              ...value.set(v128.load(offset, row.get)),
              ...low.set(f64x2.add(low.get, f64x2.mul(f64x2.convertLow(value.get), weight.get))),
              ...high.set(f64x2.add(high.get, f64x2.mul(f64x2.convertLow(upper), weight.get))),
            ]
          }),
          ...add(weightAt, i32.const(8)),
        ],
      ),
      ...sums.flatMap((one, at) => v128.store(at * 16, i32.add(into.get, i32.shl(column.get, i32.const(1))), one.get)),
    ])
  },
)

/** network(rows, comparators, comparatorBytes, bytes): a comparator is two offsets of rows. */
const network = wasmFunction(
  'network',
  ['i32', 'i32', 'i32', 'i32'],
  undefined,
  (f, rows, comparators, comparatorBytes, bytes) => {
    const [column, at, low, high] = [f.local('i32'), f.local('i32'), f.local('i32'), f.local('i32')]
    const [a, b] = [f.local('v128'), f.local('v128')]
    return f.each(column, rows.get, i32.add(rows.get, bytes.get), i32.const(line), [
      ...f.each(at, comparators.get, i32.add(comparators.get, comparatorBytes.get), i32.const(8), [
        ...low.set(i32.add(column.get, i32.load(0, at.get))),
        ...high.set(i32.add(column.get, i32.load(4, at.get))),
        ...quarters.flatMap((offset) => [
          ...a.set(v128.load(offset, low.get)),
          ...b.set(v128.load(offset, high.get)),
          ...v128.store(offset, low.get, i32x4.min(a.get, b.get)),
          ...v128.store(offset, high.get, i32x4.max(a.get, b.get)),
        ]),
      ]),
    ])
  },
)

/**
 * quantile(rows, stride, count, weights, mass, bytes, into): the least value such that the weights of the values up to
 * it reach `mass`, bit by bit from the highest: a candidate below which there is too little mass is not too high. Weights
 * are int32, their sum at most 2^26.
 */
const quantile = wasmFunction(
  'quantile',
  ['i32', 'i32', 'i32', 'i32', 'i32', 'i32', 'i32'],
  undefined,
  (f, rows, stride, count, weights, mass, bytes, into) => {
    const [column, row, weightAt, bit] = [f.local('i32'), f.local('i32'), f.local('i32'), f.local('i32')]
    const [weight, step, masses] = [f.local('v128'), f.local('v128'), f.local('v128')]
    const found = quarters.map(() => f.local('v128'))
    const below = quarters.map(() => f.local('v128'))
    const target = quarters.map(() => f.local('v128'))
    const first = i32.add(rows.get, column.get)
    return [
      ...masses.set(i32x4.splat(mass.get)),
      ...f.each(column, i32.const(0), bytes.get, i32.const(line), [
        ...found.flatMap((one) => one.set(i32x4.splat(i32.const(-(2 ** 27))))),
        ...step.set(i32x4.splat(i32.const(2 ** 27))),
        ...f.each(bit, i32.const(0), i32.const(28), i32.const(1), [
          ...target.flatMap((one, at) => one.set(i32x4.add(found[at]!.get, step.get))),
          ...below.flatMap((one) => one.set(v128.zero)),
          ...weightAt.set(weights.get),
          ...f.each(row, first, i32.add(first, i32.mul(stride.get, count.get)), stride.get, [
            ...weight.set(v128.load32Splat(0, weightAt.get)),
            ...quarters.flatMap((offset, at) => {
              const counts = i32x4.lessThan(v128.load(offset, row.get), target[at]!.get)
              return below[at]!.set(i32x4.add(below[at]!.get, v128.and(counts, weight.get)))
            }),
            ...add(weightAt, i32.const(4)),
          ]),
          ...found.flatMap((one, at) =>
            one.set(v128.bitselect(target[at]!.get, one.get, i32x4.lessThan(below[at]!.get, masses.get))),
          ),
          ...step.set(i32x4.shr(step.get, i32.const(1))),
        ]),
        ...quarters.flatMap((offset, at) => v128.store(offset, i32.add(into.get, column.get), found[at]!.get)),
      ]),
    ]
  },
)

/** clamp(row, low, high, bytes) */
const clamp = wasmFunction('clamp', ['i32', 'i32', 'i32', 'i32'], undefined, (f, row, low, high, bytes) => {
  const at = f.local('i32')
  const [value, here] = [(base: Local): Code => v128.load(0, i32.add(base.get, at.get)), i32.add(row.get, at.get)]
  return f.each(at, i32.const(0), bytes.get, i32.const(16), [
    ...v128.store(0, here, i32x4.min(i32x4.max(value(row), value(low)), value(high))),
  ])
})

/**
 * split(row, bytes, high, low, both): value = high * 2^14 + low, with low from -2^13 to 2^13 - 1 and high from -2^13 to
 * 2^13; both = high + low, from -16,383 to 16,382. All fit 16 bits.
 */
const split = wasmFunction(
  'split',
  ['i32', 'i32', 'i32', 'i32', 'i32'],
  undefined,
  (f, row, bytes, high, low, both) => {
    const at = f.local('i32')
    const [a, b, lowA, lowB] = [f.local('v128'), f.local('v128'), f.local('v128'), f.local('v128')]
    const [lows, highs] = [f.local('v128'), f.local('v128')]
    const lowPart = (value: Local): Code => i32x4.shr(i32x4.shl(value.get, i32.const(18)), i32.const(18))
    const highPart = (value: Local, part: Local): Code => i32x4.shr(i32x4.sub(value.get, part.get), i32.const(14))
    const place = (base: Local): Code => i32.add(base.get, at.get)
    return f.each(at, i32.const(0), bytes.get, i32.const(16), [
      ...a.set(v128.load(0, i32.add(row.get, i32.shl(at.get, i32.const(1))))),
      ...b.set(v128.load(16, i32.add(row.get, i32.shl(at.get, i32.const(1))))),
      ...lowA.set(lowPart(a)),
      ...lowB.set(lowPart(b)),
      ...lows.set(i16x8.narrow(lowA.get, lowB.get)),
      ...highs.set(i16x8.narrow(highPart(a, lowA), highPart(b, lowB))),
      ...v128.store(0, place(high), highs.get),
      ...v128.store(0, place(low), lows.get),
      ...v128.store(0, place(both), i16x8.add(lows.get, highs.get)),
    ])
  },
)

/**
 * products(a, b, stride, bytes, into, pitch): adds the products of rows a, a + stride with rows b, b + stride to the
 * int64s at into, into + 8, into + pitch, into + pitch + 8. `dot` adds two products, and four of its results are added in
 * int32: 8 * 16,383^2 < 2^31. A sum of 2^26 products below 2^28 fits int64.
 */
const products = wasmFunction(
  'products',
  ['i32', 'i32', 'i32', 'i32', 'i32', 'i32'],
  undefined,
  (f, a, b, stride, bytes, into, pitch) => {
    const [a1, b1, end] = [f.local('i32'), f.local('i32'), f.local('i32')]
    const [x0, x1, y0, y1] = [f.local('v128'), f.local('v128'), f.local('v128'), f.local('v128')]
    const pairs = [
      [x0, y0],
      [x0, y1],
      [x1, y0],
      [x1, y1],
    ] as const
    const short = pairs.map(() => f.local('v128'))
    const long = pairs.map(() => f.local('v128'))
    const both = (index: number): Code => {
      const total = long[index]!.get
      return i64x2.add(total, v128.shuffle(total, total, [...upperHalf.slice(0, 8), 0, 1, 2, 3, 4, 5, 6, 7]))
    }
    const pairOfSums = (left: number, right: number): Code =>
      v128.shuffle(both(left), both(right), [0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23])
    const next = i32.add(into.get, pitch.get)
    return [
      ...a1.set(i32.add(a.get, stride.get)),
      ...b1.set(i32.add(b.get, stride.get)),
      ...end.set(i32.add(a.get, bytes.get)),
      ...f.each(a, a.get, end.get, i32.const(line), [
        ...quarters.flatMap((offset) => [
          ...x0.set(v128.load(offset, a.get)),
          ...x1.set(v128.load(offset, a1.get)),
          ...y0.set(v128.load(offset, b.get)),
          ...y1.set(v128.load(offset, b1.get)),
          ...pairs.flatMap(([x, y], index) => {
            const dot = i32x4.dot(x.get, y.get)
            return short[index]!.set(offset === 0 ? dot : i32x4.add(short[index]!.get, dot))
          }),
        ]),
        ...long.flatMap((one, index) =>
          one.set(
            i64x2.add(one.get, i64x2.add(i64x2.extendLow(short[index]!.get), i64x2.extendHigh(short[index]!.get))),
          ),
        ),
        ...add(a1, i32.const(line)),
        ...add(b, i32.const(line)),
        ...add(b1, i32.const(line)),
      ]),
      ...v128.store(0, into.get, i64x2.add(v128.load(0, into.get), pairOfSums(0, 1))),
      ...v128.store(0, next, i64x2.add(v128.load(0, next), pairOfSums(2, 3))),
    ]
  },
)

export const kernelFunctions: readonly WasmFunction[] = [survey, scale, sum, network, quantile, clamp, split, products]
