/**
 * A model for inference with its weights as small integers: int8 with a scale for each column of a matrix, or int4 with
 * a scale for each block of a column. Standard operators alone (opset 21): a runtime that knows no better computes the
 * floats first; onnxruntime turns each DequantizeLinear with its product into one kernel (docs/decisions/0007).
 */
import { OwmError } from '../../lib/index.ts'
import {
  type Attribute,
  type Graph,
  type Model,
  type Node,
  type PackedTensor,
  packedOpset,
  type Tensor,
} from '../model.ts'
import { matchesAny } from '../name-patterns.ts'
import { type WeightedProduct, weightedProducts } from '../weighted-products.ts'
import { packed, quantiseColumns } from './blocks.ts'
import { withoutUnused } from './unused.ts'

export interface QuantiseOptions {
  readonly bits: 8 | 4
  /** Rows of a column that share a scale: a power of two, from 16. By default 32 of int4, and whole columns of int8. */
  readonly blockSize?: number
  /** Names of weights that stay as they are, `*` for any part. */
  readonly exempt?: readonly string[]
}

/** The most precise of the block sizes in use; each scale is a float, so that a weight takes 5 bits in all. */
const defaultInt4Block = 32
const smallestBlock = 16
const largestBlock = 1 << 16
/** Smaller matrices stay: their scales and nodes would weigh as much. */
const fewestElements = 1024

/**
 * Quantises the weights of MatMul and Gemm nodes, matrices on the right side, and, as int8 with a scale for each row,
 * the tables of Gather nodes.
 *
 * @param model with its weights built in, as `withParameters` makes it
 * @throws OwmError `bad_option`, `not_finite`, `no_targets` where there is nothing to quantise
 */
export function quantiseModel(model: Model, { bits, blockSize, exempt = [] }: QuantiseOptions): Model {
  const valid = blockSize === undefined || (smallestBlock <= blockSize && blockSize <= largestBlock)
  if (!valid || (blockSize !== undefined && !Number.isInteger(Math.log2(blockSize)))) {
    throw new OwmError('bad_option', `Blocks of ${blockSize}; a power of two from ${smallestBlock} to ${largestBlock}.`)
  }
  const { graph } = model
  const weights = new Map(
    [...graph.initializers].filter(([name, { type, shape }]) => {
      const elements = shape.reduce((product, size) => product * size, 1)
      return type === 'float32' && shape.length === 2 && elements >= fewestElements && !matchesAny(exempt, name)
    }),
  )
  const writer = createWriter(graph, weights)
  const products = weightedProducts(graph, new Set(weights.keys())).filter(({ side }) => side === 1)
  const productOf = new Map(products.map((product) => [product.node, product]))
  const nodes = graph.nodes.flatMap((node) => {
    const product = productOf.get(node)
    if (product !== undefined) return writer.product(product, bits, blockSize)
    const isTable = node.op === 'Gather' && weights.has(node.inputs[0]!) && numberIs(node, 'axis', 0)
    return isTable ? writer.table(node) : [node]
  })
  if (writer.packed.size === 0) throw new OwmError('no_targets', 'The model has no weights to quantise built in.')
  const initializers = new Map([...graph.initializers, ...writer.scales])
  return { opset: packedOpset, graph: withoutUnused({ ...graph, nodes, initializers, packed: writer.packed }) }
}

function numberIs({ attributes }: Node, name: string, wanted: number): boolean {
  const found = attributes[name]
  return found === undefined ? wanted === 0 : found.kind === 'int' && found.value === wanted
}

function createWriter(graph: Graph, weights: ReadonlyMap<string, Tensor>) {
  const packedTensors = new Map<string, PackedTensor>()
  const scaleTensors = new Map<string, Tensor>()
  const taken = new Set([
    ...graph.inputs.map(({ name }) => name),
    ...graph.initializers.keys(),
    ...graph.nodes.flatMap(({ name, outputs }) => [name, ...outputs]),
  ])
  const fresh = (wanted: string): string => {
    let name = wanted
    for (let at = 1; taken.has(name); at++) name = `${wanted}_${at}`
    taken.add(name)
    return name
  }
  const nodeOf = (
    op: string,
    inputs: readonly string[],
    integers: Readonly<Record<string, number>>,
    output: string,
  ): Node => {
    const attributes = Object.entries(integers).map(([name, value]): [string, Attribute] => [
      name,
      { kind: 'int', value },
    ])
    return { op, name: fresh(`${output}.node`), inputs, outputs: [output], attributes: Object.fromEntries(attributes) }
  }
  const scaleTensor = (name: string, shape: readonly number[], scales: Float32Array): void => {
    scaleTensors.set(name, { type: 'float32', shape, data: new Uint8Array(scales.buffer) })
  }
  /** What was made of a weight, by the way round that a product has it. */
  const made = new Map<
    string,
    { readonly codes: string; readonly scale: string; readonly attributes: Record<string, number> }
  >()

  const matrix = (name: string, outputsFirst: boolean, bits: 4 | 8, blockSize: number | undefined) => {
    const key = `${outputsFirst} ${name}`
    const known = made.get(key)
    if (known !== undefined) return known
    const { shape, values } = turned(weights.get(name)!, outputsFirst)
    const [rows, columns] = shape
    const block = blockSize ?? (bits === 4 ? defaultInt4Block : undefined)
    const result = quantiseColumns(values, columns, { bits, block: block ?? rows })
    const [codes, scale] = [fresh(`${name}.codes`), fresh(`${name}.scale`)]
    packedTensors.set(codes, packed(result.codes, shape, bits))
    scaleTensor(scale, block === undefined ? [columns] : [Math.ceil(rows / block), columns], result.scales)
    const attributes: Record<string, number> = block === undefined ? { axis: 1 } : { axis: 0, block_size: block }
    const entry = { codes, scale, attributes }
    made.set(key, entry)
    return entry
  }

  const rowsOf = (name: string) => {
    const known = made.get(`rows ${name}`)
    if (known !== undefined) return known
    const { shape, values } = turned(weights.get(name)!, false)
    const [rows, width] = shape
    // One after the other, the rows are a single column in blocks of their width.
    const result = quantiseColumns(values, 1, { bits: 8, block: width })
    const [codes, scale] = [fresh(`${name}.rows`), fresh(`${name}.row_scale`)]
    packedTensors.set(codes, packed(result.codes, shape, 8))
    scaleTensor(scale, [rows, 1], result.scales)
    const entry = { codes, scale, attributes: {} }
    made.set(`rows ${name}`, entry)
    return entry
  }

  return {
    packed: packedTensors,
    scales: scaleTensors,
    /** x W, W [inputs, outputs] of codes. A DequantizeLinear of its own for each product, else none is merged with it. */
    product: ({ node, weight, outputsFirst }: WeightedProduct, bits: 4 | 8, blockSize: number | undefined): Node[] => {
      const { codes, scale, attributes } = matrix(weight, outputsFirst, bits, blockSize)
      const whole = nodeOf('DequantizeLinear', [codes, scale], attributes, fresh(`${weight}.whole`))
      const { transB: _, ...rest } = node.attributes
      const inputs = node.inputs.with(1, whole.outputs[0]!)
      return [whole, { ...node, inputs, attributes: rest }]
    },
    /** Rows of codes, then as floats: of a large table only what is asked for. */
    table: (node: Node): Node[] => {
      const [name, indices] = node.inputs as [string, string]
      const { codes, scale } = rowsOf(name)
      const [output] = node.outputs as [string]
      const picked = nodeOf('Gather', [codes, indices], {}, fresh(`${output}.codes`))
      const floats = nodeOf('Cast', [picked.outputs[0]!], { to: 1 }, fresh(`${output}.floats`))
      const scales = nodeOf('Gather', [scale, indices], {}, fresh(`${output}.scale`))
      return [picked, floats, scales, nodeOf('Mul', [floats.outputs[0]!, scales.outputs[0]!], {}, output)]
    },
  }
}

/** A matrix's numbers, [second, first] where it is to be turned round. */
function turned(
  { shape, data }: Tensor,
  turn: boolean,
): { readonly shape: [number, number]; readonly values: Float32Array } {
  const [rows, columns] = shape as [number, number]
  const aligned = data.byteOffset % 4 === 0 ? data : data.slice()
  const values = new Float32Array(aligned.buffer, aligned.byteOffset, rows * columns)
  if (!turn) return { shape: [rows, columns], values }
  const result = new Float32Array(values.length)
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) result[column * rows + row] = values[row * columns + column]!
  }
  return { shape: [columns, rows], values: result }
}
