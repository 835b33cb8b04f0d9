import { OwmError } from '../lib/index.ts'
import { addWeighted, maxTotalSamples, type Quantised, unitExponent } from './quantise.ts'

export interface WeightedUpdate {
  /** A positive integer: the sequences that the trainer saw. */
  readonly samples: number
  readonly update: Quantised
}

/**
 * FedAvg (McMahan et al. 2017) with MODEL-07's clipped updates: `fround(old + mean)`. The sums are integers, the rest is
 * one division, one addition and one rounding per weight as IEEE 754 defines them, so all machines get the same bits,
 * whatever the order of the updates.
 */
export function aggregate(old: Float32Array, updates: readonly WeightedUpdate[]): Float32Array {
  const total = updates.reduce((sum, { samples }) => sum + samples, 0)
  if (total < 1 || total > maxTotalSamples) {
    throw new OwmError('too_many_samples', `The updates weigh ${total}; a sum is exact up to ${maxTotalSamples}.`)
  }
  const sums = new Float64Array(old.length)
  for (const { samples, update } of updates) addWeighted(sums, update, samples)
  const fresh = new Float32Array(old.length)
  for (let i = 0; i < fresh.length; i++) fresh[i] = old[i]! + (sums[i]! * 2 ** unitExponent) / total
  return fresh
}
