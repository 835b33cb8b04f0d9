/**
 * Brings the graph of a file from elsewhere into this room's form: operators of one version, all shapes inferred,
 * everything that is calculated from shapes alone replaced by what it gives.
 */
import { OwmError } from '../../lib/index.ts'
import type { ForeignModel } from '../decode.ts'
import { createGraphBuilder, type GraphBuilder, type Value } from '../graph.ts'
import { plainAttributes } from '../inline-graph.ts'
import type { Graph, Node } from '../model.ts'
import { conversions, ignored } from './conversion.ts'
import type { ForeignNode } from './node.ts'

export interface ImportGraphOptions {
  /** The file's outputs that are wanted; nodes that lead to none of them are left out. */
  readonly outputs: readonly string[]
  /** Makes the value that stands for one of the file's inputs. */
  readonly input: (g: GraphBuilder, input: Graph['inputs'][number]) => Value
  /** Makes the value of an initializer; as a constant where it gives undefined. */
  readonly initializer?: (g: GraphBuilder, name: string) => Value | undefined
  /** Names that no node may take. */
  readonly reserved?: readonly string[]
}

/**
 * @returns the builder, and the value of each wanted output
 * @throws OwmError `unsupported_model` naming operator and node, `bad_graph`, `malformed_model`, `oversized`
 */
export function importGraph(
  model: ForeignModel,
  options: ImportGraphOptions,
): { readonly builder: GraphBuilder; readonly outputs: ReadonlyMap<string, Value> } {
  const { graph, opset: version } = model
  const builder = createGraphBuilder(graph.name)
  const nodes = neededNodes(graph, options.outputs)
  const used = new Set([...nodes.flatMap(({ inputs }) => inputs), ...options.outputs])
  const values = new Map<string, Value>()
  const define = (name: string, value: Value): void => {
    if (name === '' || values.has(name)) throw new OwmError('bad_graph', `The name "${name}" stands for two values.`)
    values.set(name, value)
  }
  for (const input of graph.inputs) {
    if (used.has(input.name) && !graph.initializers.has(input.name)) define(input.name, options.input(builder, input))
  }
  for (const [name, tensor] of graph.initializers) {
    if (used.has(name)) define(name, options.initializer?.(builder, name) ?? builder.initializer(name, tensor))
  }
  const reserved = new Set(options.reserved)
  for (const given of nodes) {
    const inputs = given.inputs.map((name) => {
      if (name === '') return undefined
      const value = values.get(name)
      if (value === undefined) throw new OwmError('bad_graph', `Node ${given.name} uses "${name}" before it is made.`)
      return value
    })
    const node = reserved.has(given.name) || values.has(given.name) ? { ...given, name: `${given.name}/node` } : given
    const made = named(node, () => convert({ g: builder, node, version, inputs }))
    node.outputs.forEach((name, at) => {
      const value = made[at]
      if (name === '' || !used.has(name)) return
      if (value === undefined) {
        const message = `The output ${at} of the operator ${node.op} (node ${node.name}) is not supported.`
        throw new OwmError('unsupported_model', message, { op: node.op, node: node.name })
      }
      define(name, folded(builder, value))
    })
  }
  const outputs = options.outputs.map((name) => {
    const value = values.get(name)
    if (value === undefined) throw new OwmError('bad_graph', `No node makes the output "${name}".`)
    return [name, value] as const
  })
  return { builder, outputs: new Map(outputs) }
}

/** The nodes that the wanted outputs depend on, in their order. */
function neededNodes({ nodes }: Graph, wanted: readonly string[]): Node[] {
  const live = new Set(wanted)
  return nodes
    .toReversed()
    .filter(({ inputs, outputs }) => {
      if (!outputs.some((name) => name !== '' && live.has(name))) return false
      for (const name of inputs) live.add(name)
      return true
    })
    .reverse()
}

function convert(c: ForeignNode): readonly (Value | undefined)[] {
  const { g, node, inputs } = c
  const conversion = Object.hasOwn(conversions, node.op) ? conversions[node.op] : undefined
  if (conversion !== undefined) return conversion(c)
  const attributes = Object.fromEntries(
    Object.entries(node.attributes).filter(([name]) => ignored[node.op]?.includes(name) !== true),
  )
  const { op, attributes: plain } = plainAttributes({ ...node, attributes })
  return g.ops(op, inputs, plain as never, node.outputs.length, node.name)
}

/** What is known before it runs is a constant: shapes, and what is calculated from them. */
function folded(g: GraphBuilder, value: Value): Value {
  const { type, shape, known } = value
  if (known === undefined || (type !== 'int64' && type !== 'int32' && type !== 'bool')) return value
  const numbers = known.filter((size) => typeof size === 'number')
  const sizes = shape.filter((size) => typeof size === 'number')
  return numbers.length === known.length && sizes.length === shape.length ? g.constant(type, sizes, numbers) : value
}

/** An error within says which node it was. */
function named<T>(node: Node, run: () => T): T {
  try {
    return run()
  } catch (error) {
    if (!(error instanceof OwmError) || error.details['node'] !== undefined) throw error
    const details = { ...error.details, op: node.op, node: node.name }
    throw new OwmError(error.code, `${node.op} node ${node.name}: ${error.message}`, details)
  }
}
