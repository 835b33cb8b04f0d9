/**
 * Describes a model: its forward graph, written with a builder, and how its parameters begin.
 *
 * @example
 * const model = defineModel('line', (m) => {
 *   const x = m.g.input('inputs', 'float32', ['batch', 3])
 *   m.g.output('logits', dense(m, 'only', x, 2))
 * })
 */
import {
  createGraphBuilder,
  createRandom,
  elementCount,
  type GraphBuilder,
  type Model,
  type ParameterLayout,
  parameterLayout,
  type Value,
} from '../onnx/index.ts'
import type { Initialiser } from './initialisers.ts'

export interface ModelBuilder {
  readonly g: GraphBuilder
  /** A learned tensor. Dots in its name stand for parts of the model: `1.attention.query`. */
  parameter(name: string, shape: readonly number[], initialise: Initialiser): Value
}
export interface TrainableModel {
  readonly model: Model
  readonly layout: ParameterLayout
  /** New parameters, the same for a seed on every machine. */
  initial(seed: number): Float32Array
}

export function defineModel(name: string, build: (m: ModelBuilder) => void): TrainableModel {
  const g = createGraphBuilder(name)
  const initialisers: Initialiser[] = []
  build({
    g,
    parameter: (parameterName, shape, initialise) => {
      initialisers.push(initialise)
      return g.input(parameterName, 'float32', shape)
    },
  })
  const model = g.model()
  const layout = parameterLayout(model)
  return {
    model,
    layout,
    initial: (seed) => {
      const parameters = new Float32Array(layout.length)
      const random = createRandom(seed)
      layout.entries.forEach(({ shape, offset }, at) => {
        initialisers[at]!(parameters.subarray(offset, offset + elementCount(shape)), shape, random)
      })
      return parameters
    },
  }
}

/** The same builder for a part of the model, whose parameters get the part's name before their own. */
export function within(m: ModelBuilder, part: string | number): ModelBuilder {
  return { g: m.g, parameter: (name, shape, initialise) => m.parameter(`${part}.${name}`, shape, initialise) }
}
