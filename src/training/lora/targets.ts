/** Which products of a graph are adapted. */
import { OwmError } from '../../lib/index.ts'
import { type Graph, matchesAny, type Node, type WeightedProduct } from '../../onnx/index.ts'

/**
 * The products to adapt: of weights that a pattern names, or, without patterns, all but those that make the model's
 * outputs (the head) and those whose weight is a table as well (an embedding that is also the head); or these where
 * there are no others.
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
  if (products.length === 0) throw new OwmError('no_targets', 'No product of this model has a weight to adapt.')
  if (patterns !== undefined) return products.filter(({ weight }) => matchesAny(patterns, weight))
  const left = leftByDefault(graph, products)
  const inner = products.filter(({ weight }) => !left.has(weight))
  // Of a model whose only product is its head, such as a small CNN, that.
  return inner.length > 0 ? inner : [...products]
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
