/** Graphs opened to be read and built on, and put into one another. */
import { OwmError } from '../lib/index.ts'
import { createGraphBuilder, type GraphBuilder, type Value } from './graph.ts'
import type { Graph, Node } from './model.ts'
import { type OperatorName, operators } from './operators/index.ts'

/**
 * Puts a graph's nodes into a builder, on values that stand for its inputs, and gives its outputs. Checks on the way
 * that the graph is sound: known operators, each value made once and before it is used, shapes that fit.
 *
 * @throws OwmError `unsupported_model` naming operator and node, `bad_graph`
 */
export function inlineGraph(
  builder: GraphBuilder,
  graph: Graph,
  feeds: ReadonlyMap<string, Value>,
): Map<string, Value> {
  const values = new Map<string, Value>()
  const define = (name: string, value: Value): void => {
    if (name === '' || values.has(name)) throw new OwmError('bad_graph', `The name "${name}" stands for two values.`)
    values.set(name, value)
  }
  for (const { name } of graph.inputs) {
    if (graph.initializers.has(name)) continue
    const value = feeds.get(name)
    if (value === undefined) throw new OwmError('bad_graph', `Nothing is given for the input "${name}".`)
    define(name, value)
  }
  for (const [name, tensor] of graph.initializers) define(name, builder.initializer(name, tensor))
  for (const node of graph.nodes) {
    const { op, attributes } = plainAttributes(node)
    const operands = node.inputs.map((name) => {
      if (name === '') return undefined
      const value = values.get(name)
      if (value === undefined) throw new OwmError('bad_graph', `Node ${node.name} uses "${name}" before it is made.`)
      return value
    })
    const results = builder.ops(op, operands, attributes as never, node.outputs.length, node.name)
    results.forEach((value, at) => {
      if (node.outputs[at] !== '') define(node.outputs[at]!, value)
    })
  }
  return new Map(
    graph.outputs.map(({ name }) => {
      const value = values.get(name)
      if (value === undefined) throw new OwmError('bad_graph', `No node makes the output "${name}".`)
      return [name, value]
    }),
  )
}

/** Opens a graph to be read with all shapes, and built on. `sizes` puts numbers in the place of named sizes. */
export function openGraph(
  graph: Graph,
  sizes: Readonly<Record<string, number>> = {},
): { readonly builder: GraphBuilder; readonly outputs: ReadonlyMap<string, Value> } {
  const builder = createGraphBuilder(graph.name)
  const feeds = new Map<string, Value>()
  for (const { name, type, shape } of graph.inputs) {
    if (graph.initializers.has(name)) continue
    const bound = shape.map((size) => (typeof size === 'string' && Object.hasOwn(sizes, size) ? sizes[size]! : size))
    feeds.set(name, builder.input(name, type, bound))
  }
  return { builder, outputs: inlineGraph(builder, graph, feeds) }
}

/** Operators that graphs made here may use and files may not: a runtime writes where this one's indices point. */
const forOwnUse: ReadonlySet<string> = new Set<OperatorName>(['MaxUnpool'])

/** The operator and the plain attributes of a node that may come from anywhere. @throws OwmError `unsupported_model` */
export function plainAttributes(node: Node): { op: OperatorName; attributes: Record<string, unknown> } {
  if (!Object.hasOwn(operators, node.op) || forOwnUse.has(node.op)) {
    const message = `The operator ${node.op} of node ${node.name} is not supported.`
    throw new OwmError('unsupported_model', message, { op: node.op, node: node.name })
  }
  const op = node.op as OperatorName
  const kinds: Readonly<Record<string, string>> = operators[op].attributes
  const attributes: Record<string, unknown> = {}
  for (const [key, attribute] of Object.entries(node.attributes)) {
    if (!Object.hasOwn(kinds, key) || kinds[key] !== attribute.kind) {
      throw new OwmError('unsupported_model', `The attribute ${key} of ${op} node ${node.name} is not supported.`)
    }
    attributes[key] = attribute.value
  }
  return { op, attributes }
}
