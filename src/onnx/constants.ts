/**
 * Large constants as inputs. A runtime copies what is built into a file, and lays out the weights of products once
 * more; an input it reads in place. A graph whose weights are frozen and large is therefore fed them, by every run,
 * and they are held once (of a GPT-2, one and a half to two times the weights became once; onnxruntime 1.30, CPU).
 */
import type { Attribute, Graph, Tensor } from './model.ts'
import type { RuntimeTensor } from './session.ts'

/** Below this a constant stays: the runtime computes with small ones before it runs. */
const largeBytes = 64 * 1024

export interface Constant {
  readonly name: string
  readonly tensor: Tensor
}

/** The graph, and the graphs within, without large constants: a graph around it has to give values of their names. */
export function withoutLargeConstants(graph: Graph): { readonly graph: Graph; readonly constants: Constant[] } {
  const constants: Constant[] = []
  return { graph: without(graph, constants), constants }
}

function without(graph: Graph, taken: Constant[]): Graph {
  const initializers = new Map<string, Tensor>()
  for (const [name, tensor] of graph.initializers) {
    if (tensor.type === 'float32' && tensor.data.length >= largeBytes) taken.push({ name, tensor })
    else initializers.set(name, tensor)
  }
  const within = (attribute: Attribute): Attribute =>
    attribute.kind === 'graph' ? { ...attribute, value: without(attribute.value, taken) } : attribute
  const nodes = graph.nodes.map((node) => ({
    ...node,
    attributes: Object.fromEntries(Object.entries(node.attributes).map(([name, value]) => [name, within(value)])),
  }))
  return { ...graph, initializers, nodes }
}

/** What a session is fed for them: views. A tensor that a file has at an odd place is copied. */
export function constantFeeds(constants: readonly Constant[]): Record<string, RuntimeTensor> {
  return Object.fromEntries(
    constants.map(({ name, tensor: { shape, data } }) => {
      const aligned = data.byteOffset % 4 === 0 ? data : data.slice()
      const values = new Float32Array(aligned.buffer, aligned.byteOffset, aligned.byteLength / 4)
      return [name, { type: 'float32', shape, data: values } as const]
    }),
  )
}
