/** The products of a graph that have a weight, and which of them are adapted. */
import { OwmError } from '../../lib/index.ts'
import type { Graph, Node } from '../../onnx/index.ts'
import { matchesAny } from '../optimizer.ts'

/** A product with a weight on one of its sides. */
export interface WeightedProduct {
  readonly node: Node
  readonly weight: string
  /** 1 is the right side, where the weights of nearly all models are. */
  readonly side: 0 | 1
  /** The weight is stored as [outputs, inputs]: it, or the whole product, is turned round. */
  readonly outputsFirst: boolean
}

/** MatMul and Gemm nodes with one of `weights`, matrices, as an operand, be it through a transposition. */
export function weightedProducts(graph: Graph, weights: ReadonlySet<string>): WeightedProduct[] {
  const makers = new Map(graph.nodes.flatMap((node) => node.outputs.map((name) => [name, node] as const)))
  /** The weight that a value is, and whether it is turned round. */
  const origin = (name: string): { readonly weight: string; readonly turned: boolean } | undefined => {
    let turned = false
    for (let at = name; ; ) {
      if (weights.has(at)) return { weight: at, turned }
      const maker = makers.get(at)
      // A matrix has one transposition, whether it is spelled out or not.
      if (maker?.op === 'Transpose') turned = !turned
      else if (maker?.op !== 'Identity') return undefined
      at = maker.inputs[0]!
    }
  }
  return graph.nodes.flatMap((node): WeightedProduct[] => {
    if (node.op !== 'MatMul' && node.op !== 'Gemm') return []
    for (const side of [1, 0] as const) {
      const found = origin(node.inputs[side]!)
      if (found === undefined) continue
      const flipped = (numberOf(node, side === 0 ? 'transA' : 'transB') === 1) !== found.turned
      return [{ node, weight: found.weight, side, outputsFirst: flipped === (side === 1) }]
    }
    return []
  })
}

/**
 * The products to adapt: of weights that a pattern names, or, without patterns, all but those that make the model's
 * outputs (the head) and those whose weight is a table as well (an embedding that is also the head).
 *
 * @throws OwmError `no_targets`
 */
export function chooseTargets(
  graph: Graph,
  products: readonly WeightedProduct[],
  patterns: readonly string[] | undefined,
): WeightedProduct[] {
  const unused = patterns?.find((pattern) => !products.some(({ weight }) => matchesAny([pattern], weight)))
  const names = [...new Set(products.map(({ weight }) => weight))]
  if (unused !== undefined) {
    const message = `No product with a weight named ${unused}; there is ${names.join(', ') || 'none at all'}.`
    throw new OwmError('no_targets', message, { pattern: unused })
  }
  const left = patterns === undefined ? leftByDefault(graph, products) : undefined
  const chosen = products.filter(({ weight }) => (left ? !left.has(weight) : matchesAny(patterns!, weight)))
  if (chosen.length === 0) {
    throw new OwmError('no_targets', `No product but the head has a weight; name targets: ${names.join(', ')}.`)
  }
  return chosen
}

function leftByDefault(graph: Graph, products: readonly WeightedProduct[]): Set<string> {
  const makers = new Map(graph.nodes.flatMap((node) => node.outputs.map((name) => [name, node] as const)))
  const ofNode = new Map(products.map((product) => [product.node, product]))
  const left = new Set(graph.nodes.flatMap(({ op, inputs }) => (op === 'Gather' ? [inputs[0]!] : [])))
  const seen = new Set<Node>()
  const waiting = graph.outputs.map(({ name }) => name)
  for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
    const maker = makers.get(name)
    if (maker === undefined || seen.has(maker)) continue
    seen.add(maker)
    const product = ofNode.get(maker)
    if (product === undefined) waiting.push(...maker.inputs)
    else left.add(product.weight)
  }
  return left
}

/** A node's attribute of a number, or 0. */
export function numberOf(node: Node, attribute: string): number {
  const found = node.attributes[attribute]
  return found?.kind === 'int' || found?.kind === 'float' ? found.value : 0
}
