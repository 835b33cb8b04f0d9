import type { Step, Value } from './graph.ts'
import type { Graph } from './model.ts'

/** The steps that outputs depend on. A loop's body can use any value around it. */
export function liveSteps(steps: readonly Step[], outputs: readonly { readonly value: Value }[]): Step[] {
  const live = new Set(outputs.map(({ value }) => value.name))
  const useWithin = (graph: Graph): void => {
    for (const node of graph.nodes) {
      for (const name of node.inputs) live.add(name)
      for (const attribute of Object.values(node.attributes)) if (attribute.kind === 'graph') useWithin(attribute.value)
    }
    for (const { name } of graph.outputs) live.add(name)
  }
  return steps
    .toReversed()
    .filter((step) => {
      if (!step.outputs.some(({ name }) => live.has(name))) return false
      for (const value of step.inputs) if (value !== undefined) live.add(value.name)
      const { body } = step.attributes
      if (body !== undefined) useWithin(body as Graph)
      return true
    })
    .reverse()
}
