/** Adapters as part of the weights, for inference at the base's cost. */
import { OwmError } from '../../lib/index.ts'
import { splitParameters } from '../../onnx/index.ts'
import { transposed } from '../tied-weights.ts'
import type { AdaptedModel } from './adapt.ts'

/**
 * W + (alpha / rank) A B of every adapted weight, in the base's layout: new weights for the base's own graph.
 *
 * @param adapters in the adapted model's layout
 * @throws OwmError `wrong_length`
 */
export function mergeAdapters(model: AdaptedModel, adapters: Float32Array): Float32Array {
  const merged = model.weights.slice()
  addAdapters(model, adapters, merged, 1)
  return merged
}

/**
 * Takes the same adapters out of merged weights, in place, so that others can be merged. Sums are of float64 and
 * rounded once, so each weight comes back to within one unit in the last place of the larger of itself and the
 * merged weight. The exact base is in `model.weights`.
 *
 * @throws OwmError `wrong_length`
 */
export function unmergeAdapters(model: AdaptedModel, adapters: Float32Array, merged: Float32Array): void {
  addAdapters(model, adapters, merged, -1)
}

function addAdapters(model: AdaptedModel, adapters: Float32Array, weights: Float32Array, sign: 1 | -1): void {
  const { baseLayout, rank, alpha, layout } = model
  const learned = new Map(splitParameters(layout, adapters).map(({ name, values }) => [name, values]))
  const weightOf = new Map(splitParameters(baseLayout, weights).map(({ name, values }) => [name, values]))
  for (const { parameter, inputs, outputs, outputsFirst, down, up } of model.adapters) {
    const [a, b] = [learned.get(down), learned.get(up)]
    const weight = weightOf.get(parameter)
    if (a === undefined || b === undefined || weight === undefined) {
      throw new OwmError('wrong_length', `The model has no ${parameter}.`, { name: parameter })
    }
    const scale = (sign * alpha) / rank
    if (outputsFirst) addProduct(weight, transposed(b, rank, outputs), transposed(a, inputs, rank), rank, scale)
    else addProduct(weight, a, b, rank, scale)
  }
}

/** into [rows, columns] += scale left [rows, rank] right [rank, columns] */
function addProduct(into: Float32Array, left: Float32Array, right: Float32Array, rank: number, scale: number): void {
  const columns = right.length / rank
  const sums = new Float64Array(columns)
  for (let row = 0; row * columns < into.length; row++) {
    sums.fill(0)
    for (let k = 0; k < rank; k++) {
      const factor = left[row * rank + k]! * scale
      for (let column = 0; column < columns; column++) sums[column]! += factor * right[k * columns + column]!
    }
    for (let column = 0; column < columns; column++) into[row * columns + column]! += sums[column]!
  }
}
