import { OwmError } from '../lib/index.ts'
import type { ParameterLayout } from './index.ts'
import { elementCount, type Model, type Tensor } from './model.ts'

/** A flat vector beyond this is another program's business: 1 GiB of float32. */
const maxParameters = 1 << 28

/** What a model that takes no tokens is fed. */
export const dataInput = 'inputs'

/**
 * What of a model is learned: its float32 inputs of fixed shape, in their order. What is fed anew each time is of
 * integers (tokens), has a named size, or is called `inputs`.
 *
 * @throws OwmError `oversized`
 */
export function parameterLayout(model: Model): ParameterLayout {
  let length = 0
  const entries: ParameterLayout['entries'][number][] = []
  for (const { name, type, shape } of model.graph.inputs) {
    const sizes = shape.filter((size) => typeof size === 'number')
    if (type !== 'float32' || sizes.length < shape.length || name === dataInput) continue
    if (model.graph.initializers.has(name)) continue
    entries.push({ name, shape: sizes, offset: length })
    length += elementCount(sizes)
    if (length > maxParameters) {
      throw new OwmError('oversized', `A model of more than ${maxParameters} parameters.`, { length })
    }
  }
  return { length, entries }
}

/** The parameters as views into the flat vector, by name. @throws OwmError `wrong_length` */
export function splitParameters(
  layout: ParameterLayout,
  parameters: Float32Array,
): { readonly name: string; readonly shape: readonly number[]; readonly values: Float32Array }[] {
  if (parameters.length !== layout.length) {
    throw new OwmError('wrong_length', `${parameters.length} parameters for a model of ${layout.length}.`)
  }
  return layout.entries.map(({ name, shape, offset }) => ({
    name,
    shape,
    values: parameters.subarray(offset, offset + elementCount(shape)),
  }))
}

/** The model with its parameters built in: a runtime lays out constant weights once, for speed. */
export function withParameters(model: Model, parameters: Float32Array): Model {
  const initializers = new Map<string, Tensor>(model.graph.initializers)
  for (const { name, shape, values } of splitParameters(parameterLayout(model), parameters)) {
    const data = new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
    initializers.set(name, { type: 'float32', shape, data })
  }
  const inputs = model.graph.inputs.filter(({ name }) => !initializers.has(name))
  return { ...model, graph: { ...model.graph, inputs, initializers } }
}
