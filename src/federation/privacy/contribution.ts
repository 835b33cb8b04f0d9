import { OwmError } from '../../lib/index.ts'
import { addElements, applyMasks, type Masks } from './masking.ts'
import { checkShape, modulusBits, type SumShape, signedElement } from './sum-shape.ts'

/**
 * A model's update as summands. An element is `round(delta * samples / maxSamples * 2^-unitExponent)`: a trainer weighs
 * its update before it rounds, so that the weight costs no bits. From there on all is integers: the sum is exact. After
 * the model's parameters comes the number of samples, then `checkElements` zeros.
 */
export interface ContributionShape {
  readonly parameters: number
  /** Bits of a summand, signed. */
  readonly bits: number
  readonly peers: number
  /** An element counts units of `2^unitExponent`. */
  readonly unitExponent: number
  /** The most samples that a trainer counts for; 1 where all count the same. */
  readonly maxSamples: number
}

/**
 * Zeros at the end: if masks do not cancel, because somebody has masked with other keys or other peers than it says,
 * the sum of these is noise. All four are zero by chance once in 2^(4 w).
 */
export const checkElements = 4

/** @throws OwmError `bad_privacy` */
export function sumShapeOf({ parameters, bits, peers, unitExponent, maxSamples }: ContributionShape): SumShape {
  const shape = { length: parameters + 1 + checkElements, bits, peers }
  checkShape(shape)
  const fits = Number.isInteger(maxSamples) && maxSamples >= 1 && maxSamples < 2 ** Math.min(16, bits - 1)
  if (fits && Number.isInteger(unitExponent) && unitExponent >= -40 && unitExponent <= 0) return shape
  throw new OwmError('bad_privacy', `${maxSamples} samples or units of 2^${unitExponent} do not fit ${bits} bits.`)
}

/** The elements of an update. Values beyond the range of a summand are cut to it; NaN becomes 0. */
export function contributionOf(delta: Float32Array, samples: number, shape: ContributionShape): Uint32Array {
  const weight = Math.min(samples, shape.maxSamples)
  const scale = (weight / shape.maxSamples) * 2 ** -shape.unitExponent
  const most = 2 ** (shape.bits - 1) - 1
  const codes = new Int32Array(delta.length)
  for (let i = 0; i < codes.length; i++)
    codes[i] = Math.max(-most, Math.min(most, Math.round((delta[i]! || 0) * scale)))
  return withCount(codes, weight, shape)
}

/** Elements of codes that are rounded already: `codes` are the parameters' summands. */
export function withCount(codes: Int32Array, samples: number, shape: ContributionShape): Uint32Array {
  const elements = new Uint32Array(sumShapeOf(shape).length)
  if (codes.length !== shape.parameters || !Number.isInteger(samples) || samples < 1 || samples > shape.maxSamples) {
    throw new OwmError('bad_privacy', `${codes.length} codes of ${samples} samples are no contribution to this sum.`)
  }
  elements.set(codes)
  elements[codes.length] = samples
  return elements
}

export interface ContributionSum {
  /** The sum of the trainers' codes, each below 2^31. */
  readonly codes: Int32Array
  /** The sum of their samples. */
  readonly samples: number
}

/**
 * The sum of the survivors' inputs without their masks: exact, and the same on every machine.
 *
 * @throws OwmError `wrong_sum` when the masks do not cancel, or the count is none that `inputs` peers can have
 */
export function unmaskSum(inputs: readonly Uint32Array[], masks: Masks, shape: ContributionShape): ContributionSum {
  const { length } = sumShapeOf(shape)
  const sum = new Uint32Array(length)
  for (const input of inputs) addElements(sum, input)
  applyMasks(sum, masks)
  const width = modulusBits(sumShapeOf(shape))
  const codes = new Int32Array(shape.parameters)
  for (let i = 0; i < codes.length; i++) codes[i] = signedElement(sum[i]!, width)
  const samples = signedElement(sum[shape.parameters]!, width)
  const zeros = sum.subarray(shape.parameters + 1).every((element) => signedElement(element, width) === 0)
  if (zeros && samples >= inputs.length && samples <= inputs.length * shape.maxSamples) return { codes, samples }
  throw new OwmError('wrong_sum', 'What is left after unmasking is not the sum of contributions.')
}

/**
 * The weighted mean of the updates: one division each, and nothing else is rounded, since a code is below 2^31 and
 * `maxSamples` below 2^16.
 */
export function meanOf({ codes, samples }: ContributionSum, shape: ContributionShape): Float64Array {
  const unit = 2 ** shape.unitExponent
  return Float64Array.from(codes, (code) => (code * shape.maxSamples * unit) / samples)
}
