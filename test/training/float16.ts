/**
 * A graph of float16 written in float32, with every result rounded to what float16 holds. The runtime's CPU computes float16
 * in float32, and leaves most of the rounding out; a GPU does not.
 */
import {
  createGraphBuilder,
  decodeModel,
  elementTypes,
  encodeModel,
  type GraphBuilder,
  inlineGraph,
  tensorOf,
  type Value,
} from '../../src/onnx/index.ts'

const digits = 11
const largest = 65_504
/** Smaller numbers have fewer digits: all are multiples of 2^-24. */
const smallestWhole = 2 ** -14

/** The nearest float16 (Dekker 1971); beyond the largest, infinity. */
function rounded(g: GraphBuilder, x: Value): Value {
  const number = (value: number): Value => g.scalar('float32', value)
  const spread = g.op('Mul', [x, number(2 ** (24 - digits) + 1)])
  const high = g.op('Sub', [spread, g.op('Sub', [spread, x])])
  // Beside 0.75, a float32's last digit is 2^-24.
  const low = g.op('Sub', [g.op('Add', [x, number(0.75)]), number(0.75)])
  const size = g.op('Abs', [x])
  const near = g.op('Where', [g.op('Less', [size, number(smallestWhole)]), low, high])
  const infinite = g.op('Mul', [g.op('Mul', [x, number(3e38)]), number(3e38)])
  return g.op('Where', [g.op('Greater', [g.op('Abs', [near]), number(largest)]), infinite, near])
}

/** Of a model without loops. */
export function inRoundedFloat16(bytes: Uint8Array): Uint8Array {
  const { graph } = decodeModel(bytes)
  const g = createGraphBuilder(graph.name)
  const halves = new Set<string>()
  const half = (value: Value): Value => {
    halves.add(value.name)
    return value
  }
  const writer: GraphBuilder = {
    ...g,
    initializer: (name, tensor) => {
      if (tensor.type !== 'float16') return g.initializer(name, tensor)
      const values = new Float16Array(tensor.data.slice().buffer)
      return half(g.initializer(name, tensorOf('float32', tensor.shape, values)))
    },
    ops: (op, inputs, attributes, count, label) => {
      const { to } = attributes as { readonly to?: number }
      if (op === 'Cast' && to === elementTypes.float16) {
        return [half(rounded(g, g.cast(inputs[0]!, 'float32')))]
      }
      const results = g.ops(op, inputs, attributes, count, label)
      if (op === 'Cast' || !inputs.some((value) => value !== undefined && halves.has(value.name))) return results
      return results.map((value) => (value.type === 'float32' ? half(rounded(g, value)) : value))
    },
  }
  const feeds = new Map(graph.inputs.map(({ name, type, shape }) => [name, g.input(name, type, shape)]))
  for (const [name, value] of inlineGraph(writer, graph, feeds)) g.output(name, value)
  return encodeModel(g.model())
}
