/** What the outer optimizer takes: an aggregate's values in units of the weights, each rounded to float32 once. */
export function deltaOf(values: Float64Array): Float32Array {
  const delta = new Float32Array(values.length)
  for (let i = 0; i < delta.length; i++) delta[i] = values[i]! * 2 ** -24
  return delta
}
