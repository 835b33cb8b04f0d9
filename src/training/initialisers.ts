/** How weights begin. From integers and exact operations alone: the same for a seed on every machine. */
import type { Random } from '../onnx/index.ts'

/** Fills a parameter of this shape. */
export type Initialiser = (values: Float32Array, shape: readonly number[], random: Random) => void

export const constantly =
  (value: number): Initialiser =>
  (values) => {
    values.fill(value)
  }
export const zeros = constantly(0)
export const ones = constantly(1)

export const uniform =
  (bound: number): Initialiser =>
  (values, _shape, random) => {
    for (let i = 0; i < values.length; i++) values[i] = (random.unit() * 2 - 1) * bound
  }

/** The sum of twelve uniform numbers, which is normal to a percent within three deviations and needs no logarithm. */
export const normal =
  (deviation: number): Initialiser =>
  (values, _shape, random) => {
    for (let i = 0; i < values.length; i++) {
      let sum = -6
      for (let part = 0; part < 12; part++) sum += random.unit()
      values[i] = sum * deviation
    }
  }

/** Glorot and Bengio 2010, of a matrix [inputs, outputs] or a kernel [filters, channels, ...]. */
export const glorot: Initialiser = (values, shape, random) => {
  const [first = 1, second = 1, ...kernel] = shape
  const field = kernel.reduce((product, length) => product * length, 1)
  uniform(Math.sqrt(6 / ((first + second) * field)))(values, shape, random)
}
