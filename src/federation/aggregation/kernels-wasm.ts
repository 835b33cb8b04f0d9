import { blockWidth, type Kernels } from './kernels.ts'
import { lowBits, symmetric } from './kernels-plain.ts'
import { mostComparators, trimmingNetwork } from './sorting-network.ts'
import { wasmModule } from './wasm-assembler.ts'
import { kernelFunctions } from './wasm-code.ts'

type Call = (...operands: number[]) => number
/** TypeScript's library for Node alone does not know WebAssembly. */
interface Engine {
  readonly Module: new (bytes: Uint8Array) => object
  readonly Instance: new (module: object, imports: object) => { readonly exports: Readonly<Record<string, Call>> }
  readonly Memory: new (limits: { readonly initial: number }) => { readonly buffer: ArrayBuffer }
}
const pageBytes = 65_536
/** Between rows: rows a power of two apart would share the same few places of the first-level cache. */
const gapBytes = 64

let compiled: { readonly engine: Engine; readonly module: object } | null | undefined

/** Compiles once, in about a millisecond. Null where there is no SIMD, or nothing may be compiled. */
function compile(): { readonly engine: Engine; readonly module: object } | null {
  const engine = (globalThis as { readonly WebAssembly?: Engine }).WebAssembly
  if (engine === undefined) return null
  try {
    return { engine, module: new engine.Module(wasmModule(kernelFunctions)) }
  } catch {
    return null
  }
}

/** The kernels in WebAssembly with SIMD; undefined where the engine has none. */
export function openWasmKernels(updates: number): Kernels | undefined {
  if (compiled === undefined) compiled = compile()
  if (compiled === null) return undefined
  const width = blockWidth(updates)
  const rowBytes = width * 4
  const stride = rowBytes + gapBytes
  const planeBytes = width * 2
  const planeStride = planeBytes + gapBytes
  // Products are made of two rows by two.
  const even = updates + (updates % 2)
  const pitch = even * 8

  let end = 0
  const take = (bytes: number): number => {
    const from = end
    end += Math.ceil(bytes / 64) * 64
    return from
  }
  const rowsAt = take(updates * stride)
  const squaresAt = take(updates * 32)
  const weightsAt = take(updates * 8)
  const lowestAt = take(rowBytes)
  const highestAt = take(rowBytes)
  const sumsAt = take(width * 8)
  const networkAt = take(mostComparators(updates) * 8)
  const planesAt = [0, 1, 2].map(() => take(even * planeStride))
  const productsAt = [0, 1, 2].map(() => take(even * pitch))
  const { engine, module } = compiled
  const memory = new engine.Memory({ initial: Math.ceil(end / pageBytes) })
  const { survey, scale, sum, network, quantile, clamp, split, products } = new engine.Instance(module, {
    env: { memory },
  }).exports as Readonly<Record<(typeof names)[number], Call>>

  const { buffer } = memory
  const rows = Array.from({ length: updates }, (_, row) => new Int32Array(buffer, rowsAt + row * stride, width))
  const squares = new BigInt64Array(buffer, squaresAt, updates * 4)
  const lowest = new Int32Array(buffer, lowestAt, width)
  const highest = new Int32Array(buffer, highestAt, width)
  const sums = new Float64Array(buffer, sumsAt, width)
  const pairs = productsAt.map((at) => new BigInt64Array(buffer, at, even * even))
  let networkOf = -1
  let networkBytes = 0

  const sumRows = (from: number, to: number, weights: readonly number[] | undefined, into: Float64Array): void => {
    const given = new Float64Array(buffer, weightsAt, updates)
    if (weights === undefined) given.fill(1)
    else given.set(weights)
    sum(rowsAt + from * stride, stride, to - from, weightsAt, rowBytes, sumsAt)
    into.set(sums.subarray(0, into.length))
  }

  return {
    width,
    rows,
    survey: (row) => survey(rowsAt + row * stride, rowBytes, squaresAt + row * 32) >>> 0,
    squaredNorm(row) {
      const [highA, highB, lowA, lowB] = squares.subarray(row * 4, row * 4 + 4)
      return ((highA! + highB!) << 32n) + lowA! + lowB!
    },
    scale(row, factor) {
      scale(rowsAt + row * stride, rowBytes, factor)
    },
    sum: (weights, into) => sumRows(0, updates, weights, into),
    middle(trim, into) {
      if (networkOf !== trim) {
        const offsets = trimmingNetwork(updates, trim).flatMap(([low, high]) => [low * stride, high * stride])
        new Int32Array(buffer, networkAt, offsets.length).set(offsets)
        networkOf = trim
        networkBytes = offsets.length * 4
      }
      if (networkBytes > 0) network(rowsAt, networkAt, networkBytes, rowBytes)
      sumRows(trim, updates - trim, undefined, into)
    },
    weightedMiddle(weights, trim, into) {
      const whole = weights.reduce((a, b) => a + b, 0)
      new Int32Array(buffer, weightsAt, updates).set(weights)
      quantile(rowsAt, stride, updates, weightsAt, trim + 1, rowBytes, lowestAt)
      quantile(rowsAt, stride, updates, weightsAt, whole - trim, rowBytes, highestAt)
      for (let row = 0; row < updates; row++) clamp(rowsAt + row * stride, lowestAt, highestAt, rowBytes)
      sumRows(0, updates, weights, into)
      // What was cut off on either side has been moved to the edge, where it counts as much as it weighs.
      for (let i = 0; i < into.length; i++) into[i] = into[i]! - trim * (lowest[i]! + highest[i]!)
    },
    multiply() {
      for (let row = 0; row < updates; row++) {
        const [high, low, both] = planesAt.map((at) => at + row * planeStride)
        split(rowsAt + row * stride, planeBytes, high!, low!, both!)
      }
      for (const [index, plane] of planesAt.entries()) {
        for (let i = 0; i < even; i += 2) {
          for (let j = i; j < even; j += 2) {
            const into = productsAt[index]! + i * pitch + j * 8
            products(plane + i * planeStride, plane + j * planeStride, planeStride, planeBytes, into, pitch)
          }
        }
      }
    },
    // With h and l the parts of values: (h + l)(h' + l') - hh' - ll' is what hl' and lh' are together.
    gram: () =>
      symmetric(updates, (pair) => {
        const at = Math.floor(pair / updates) * even + (pair % updates)
        const [high, low, both] = pairs.map((plane) => plane[at]!)
        return (high! << BigInt(2 * lowBits)) + ((both! - high! - low!) << BigInt(lowBits)) + low!
      }),
  }
}

const names = ['survey', 'scale', 'sum', 'network', 'quantile', 'clamp', 'split', 'products'] as const
