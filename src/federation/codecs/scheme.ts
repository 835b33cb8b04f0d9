import type { Random } from '../../onnx/index.ts'
import type { ValueReader } from '../aggregation/index.ts'

/**
 * A way to write some vectors of whole numbers, and to find one of them near any vector. Schemes compose: one may write
 * a part of what it is given by another.
 */
export interface Scheme {
  readonly name: string
  /** Bytes that `pack` may take. */
  maxBytes(length: number): number
  /**
   * The nearest vector that can be written, or one near by, at random, that is right in the mean. The same everywhere:
   * only operations that IEEE 754 defines exactly, in a fixed order.
   *
   * @param targets in units, finite, at most `maxUnits` in size
   */
  approximate(targets: Float64Array, random?: Random): Int32Array
  /** Of what `approximate` or `unpack` gave. */
  pack(units: Int32Array): Uint8Array
  /**
   * Each vector has one form in bytes: `pack(unpack(bytes))` is `bytes`, or `unpack` throws.
   *
   * @throws RejectedError `wrong_size`, `malformed`, `not_canonical`
   */
  unpack(bytes: Uint8Array, length: number): Int32Array
  /** Of bytes that `unpack` has read once: any part of the numbers, without holding all of them. */
  reader(bytes: Uint8Array, length: number): ValueReader
}
