/**
 * Low-rank adaptation (Hu et al. 2021): a product x W of a frozen model becomes x W + (alpha / rank) (x A) B, and A
 * [inputs, rank] and B [rank, outputs] alone are learned. B begins at zero, so that the model begins as it was.
 */
import { OwmError } from '../../lib/index.ts'
import {
  type Attribute,
  createRandom,
  type Graph,
  type Model,
  type Node,
  numberOf,
  type ParameterLayout,
  splitParameters,
  type Tensor,
  tensorOf,
  type WeightedProduct,
  weightedProducts,
} from '../../onnx/index.ts'
import type { TrainableModel } from '../define-model.ts'
import { uniform } from '../initialisers.ts'
import { chooseTargets } from './targets.ts'

export interface LoraOptions {
  readonly rank: number
  /** What the adapters add is multiplied by alpha / rank; by default alpha is the rank. */
  readonly alpha?: number
  /** Names of weights of MatMul and Gemm nodes, `*` for any part; by default all but embeddings and the head. */
  readonly targets?: readonly string[]
}
/** The two matrices beside one weight of the base. */
export interface Adapter {
  readonly parameter: string
  readonly inputs: number
  readonly outputs: number
  /** The weight is [outputs, inputs]. */
  readonly outputsFirst: boolean
  /** Names of A [inputs, rank] and B [rank, outputs] among the model's parameters. */
  readonly down: string
  readonly up: string
}
/** A model whose parameters are adapters. The base's weights are constants of its graph. */
export interface AdaptedModel extends TrainableModel {
  /** Of `weights`. The base itself, and a file that it was read from, need not be kept. */
  readonly baseLayout: ParameterLayout
  /** The base's, as they were given: never copied, never changed. */
  readonly weights: Float32Array
  readonly rank: number
  readonly alpha: number
  readonly adapters: readonly Adapter[]
}

/** More is no longer low. */
const maxRank = 1024

/**
 * Puts adapters beside weights of `base`.
 *
 * @param weights the base's parameters in its layout; the model holds views of them and they must not change while it is used
 * @throws OwmError `no_targets`, `wrong_length`, `bad_option`, `bad_graph`
 */
export function withAdapters(base: TrainableModel, weights: Float32Array, options: LoraOptions): AdaptedModel {
  const { rank, alpha = rank, targets } = options
  if (!Number.isInteger(rank) || rank < 1 || rank > maxRank) {
    throw new OwmError('bad_option', `A rank of ${rank}; it is a whole number from 1 to ${maxRank}.`)
  }
  if (!Number.isFinite(alpha)) throw new OwmError('bad_option', `An alpha of ${alpha}.`)
  const { graph } = base.model
  const matrices = new Map(
    base.layout.entries.flatMap((entry) => (entry.shape.length === 2 ? [[entry.name, entry]] : [])),
  )
  const products = chooseTargets(graph, weightedProducts(graph, new Set(matrices.keys())), targets)
  const adapters = new Map<string, Adapter>()
  for (const { weight, outputsFirst } of products) {
    if (adapters.has(weight)) continue
    const [first, second] = matrices.get(weight)!.shape as [number, number]
    const [inputs, outputs] = outputsFirst ? [second, first] : [first, second]
    // As PEFT names them: of a module, whose own weight is not in the name.
    const name = weight.replace(/\.weight$/, '')
    const [down, up] = [`${name}.lora_A.weight`, `${name}.lora_B.weight`]
    adapters.set(weight, { parameter: weight, inputs, outputs, outputsFirst, down, up })
  }
  const list = [...adapters.values()]
  const layout = layoutOf(list, rank)
  return {
    model: adapted(base, weights, layout, products, adapters, alpha / rank),
    layout,
    initial: (seed) => initial(list, layout, seed),
    baseLayout: base.layout,
    weights,
    rank,
    alpha,
    adapters: list,
  }
}

function layoutOf(adapters: readonly Adapter[], rank: number): ParameterLayout {
  let length = 0
  const entries = adapters.flatMap(({ down, up, inputs, outputs }) => {
    const offset = length
    length += rank * (inputs + outputs)
    return [
      { name: down, shape: [inputs, rank], offset },
      { name: up, shape: [rank, outputs], offset: offset + inputs * rank },
    ]
  })
  return { length, entries }
}

/** A as PyTorch begins a layer of so many inputs (He et al. 2015, with a slope of the root of 5), B zero. */
function initial(adapters: readonly Adapter[], layout: ParameterLayout, seed: number): Float32Array {
  const parameters = new Float32Array(layout.length)
  const random = createRandom(seed)
  const parts = splitParameters(layout, parameters)
  for (const [at, { inputs }] of adapters.entries()) {
    const { values, shape } = parts[2 * at]!
    uniform(1 / Math.sqrt(inputs))(values, shape, random)
  }
  return parameters
}

function adapted(
  base: TrainableModel,
  weights: Float32Array,
  layout: ParameterLayout,
  products: readonly WeightedProduct[],
  adapters: ReadonlyMap<string, Adapter>,
  scale: number,
): Model {
  const { graph } = base.model
  const initializers = new Map<string, Tensor>()
  for (const [name, tensor] of graph.initializers) initializers.set(name, ofItsOwn(tensor))
  for (const { name, shape, values } of splitParameters(base.layout, weights)) {
    const data = new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
    initializers.set(name, { type: 'float32', shape, data })
  }
  const write = createWriter(graph, initializers, layout, scale)
  const byNode = new Map(products.map((product) => [product.node, product]))
  const nodes = graph.nodes.flatMap((node) => {
    const product = byNode.get(node)
    return product === undefined ? [node] : write(product, adapters.get(product.weight)!)
  })
  const inputs = [
    ...graph.inputs.filter(({ name }) => !initializers.has(name)),
    ...layout.entries.map(({ name, shape }) => ({ name, type: 'float32' as const, shape })),
  ]
  return { ...base.model, graph: { ...graph, inputs, initializers, nodes } }
}

/** A constant that is part of something larger, such as a file with all weights, would keep that in memory. */
function ofItsOwn(tensor: Tensor): Tensor {
  const { data } = tensor
  return data.byteLength === data.buffer.byteLength ? tensor : { ...tensor, data: data.slice() }
}

/** Writes a product together with its adapter's part: the nodes that take its place. */
function createWriter(graph: Graph, initializers: Map<string, Tensor>, layout: ParameterLayout, scale: number) {
  const taken = new Set([
    ...graph.inputs.map(({ name }) => name),
    ...initializers.keys(),
    ...graph.nodes.flatMap(({ name, outputs }) => [name, ...outputs]),
  ])
  const fresh = (wanted: string): string => {
    let name = wanted
    for (let at = 1; taken.has(name); at++) name = `${wanted}_${at}`
    taken.add(name)
    return name
  }
  for (const { name } of layout.entries) {
    if (taken.has(name)) throw new OwmError('bad_graph', `The name "${name}" of an adapter stands for another value.`)
    taken.add(name)
  }
  let factor: string | undefined
  const scaleName = (): string => {
    if (factor === undefined) {
      factor = fresh('lora.scale')
      initializers.set(factor, tensorOf('float32', [], [scale]))
    }
    return factor
  }

  return ({ node, side, outputsFirst }: WeightedProduct, adapter: Adapter): Node[] => {
    const nodes: Node[] = []
    const add = (op: string, inputs: readonly string[], numbers: Readonly<Record<string, number>>, output?: string) => {
      const made = output ?? fresh(`${node.outputs[0]!}.lora`)
      const attributes = Object.entries(numbers).map(([name, value]): [string, Attribute] => [
        name,
        { kind: name === 'alpha' ? 'float' : 'int', value },
      ])
      nodes.push({
        op,
        name: fresh(`${made}.node`),
        inputs,
        outputs: [made],
        attributes: Object.fromEntries(attributes),
      })
      return made
    }
    const turned = (name: string): string => add('Transpose', [name], {})
    const plain = fresh(`${node.outputs[0]!}.base`)
    const [output] = node.outputs as [string]
    nodes.push({ ...node, outputs: [plain] })
    const x = node.inputs[1 - side]!
    // A weight that two products use, each the other way round: its update is turned round for one of them.
    const asStored = outputsFirst === adapter.outputsFirst
    const [down, up] = asStored ? [adapter.down, adapter.up] : [turned(adapter.up), turned(adapter.down)]
    if (node.op === 'MatMul') {
      const small = (a: string, b: string): string => add('Mul', [add('MatMul', [a, b], {}), scaleName()], {})
      const added =
        side === 1 ? add('MatMul', [small(x, down), up], {}) : add('MatMul', [turned(up), small(turned(down), x)], {})
      add('Add', [plain, added], {}, output)
      return nodes
    }
    // The node's own alpha is a factor of its weight, and of what is added to that. C is already in its output.
    const alpha = 'alpha' in node.attributes ? numberOf(node, 'alpha') : 1
    if (side === 1) {
      const small = add('Gemm', [x, down], { alpha: alpha * scale, transA: numberOf(node, 'transA') })
      add('Gemm', [small, up, plain], {}, output)
    } else {
      const small = add('Gemm', [down, x], { alpha: alpha * scale, transA: 1, transB: numberOf(node, 'transB') })
      add('Gemm', [up, small, plain], { transA: 1 }, output)
    }
    return nodes
  }
}
