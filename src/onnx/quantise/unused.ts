import type { Graph, Node } from '../model.ts'

/** The graph without nodes and constants on which no output depends. A graph within can use any value around it. */
export function withoutUnused(graph: Graph): Graph {
  const used = new Set(graph.outputs.map(({ name }) => name))
  const useWithin = ({ attributes }: Node): void => {
    for (const attribute of Object.values(attributes)) {
      if (attribute.kind !== 'graph') continue
      for (const { name } of attribute.value.outputs) used.add(name)
      for (const node of attribute.value.nodes) {
        for (const name of node.inputs) used.add(name)
        useWithin(node)
      }
    }
  }
  const nodes: Node[] = []
  for (const node of graph.nodes.toReversed()) {
    if (!node.outputs.some((name) => used.has(name))) continue
    for (const name of node.inputs) used.add(name)
    useWithin(node)
    nodes.push(node)
  }
  const kept = <T>(entries: ReadonlyMap<string, T>): Map<string, T> =>
    new Map([...entries].filter(([name]) => used.has(name)))
  return {
    ...graph,
    nodes: nodes.reverse(),
    initializers: kept(graph.initializers),
    ...(graph.packed === undefined ? {} : { packed: kept(graph.packed) }),
  }
}
