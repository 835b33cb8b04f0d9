/** The products of a graph that have a weight as an operand. */
import type { Graph, Node } from './model.ts'

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

/** A node's attribute of a number, or 0. */
export function numberOf(node: Node, attribute: string): number {
  const found = node.attributes[attribute]
  return found?.kind === 'int' || found?.kind === 'float' ? found.value : 0
}
