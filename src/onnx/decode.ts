/**
 * Reads ONNX files. Those from the network (`decodeModel`) are held to what our own writer makes: limits hold before
 * anything is allocated; what the reader does not know (functions, external files, other operator sets, sparse tensors)
 * is refused rather than skipped, so that what is checked here is all that a runtime would see. Files from the user's own
 * disk (`decodeForeign`) may have more, and are converted before they are used.
 */
import { OwmError } from '../lib/index.ts'
import type { Dimension, ElementType, Graph, Model, Node, Tensor, ValueInfo } from './model.ts'
import { readFields } from './protobuf.ts'
import { isStandard, type Reading, readNode } from './read-node.ts'
import {
  type ForeignTensors,
  malformed,
  maxRank,
  readTensor,
  readType,
  type StoredTensor,
  unsupported,
} from './read-tensor.ts'

export interface ModelLimits {
  /** The file. Tensors are views into it, so it bounds them too. */
  readonly maxBytes: number
  /** Nodes, values and tensors, each. */
  readonly maxNodes: number
}
/** A graph travels without weights; the largest language models have about 10,000 nodes. */
export const defaultLimits: ModelLimits = { maxBytes: 64 * 1024 * 1024, maxNodes: 50_000 }
/** A file of one's own brings its weights; protobuf itself ends at 2 GiB. */
export const ownFileLimits: ModelLimits = { maxBytes: 2 ** 31 - 1, maxNodes: 200_000 }
/** Operator sets whose meaning the operator table knows; of files to be converted, also older ones. */
const oldestOpset = 18
const oldestForeignOpset = 13
const newestOpset = 21

/** What a file from elsewhere has: its graph in the words of its own operator set, and how its tensors stand in it. */
export interface ForeignModel extends Model {
  readonly stored: ReadonlyMap<string, StoredTensor>
  /** The part of the exported program that a node comes from, where the exporter says so. */
  readonly scopes: ReadonlyMap<string, string>
}

/** @throws OwmError `oversized`, `malformed_model`, `unsupported_model` */
export function decodeModel(bytes: Uint8Array, limits: ModelLimits = defaultLimits): Model {
  return readModel(bytes, limits, { maxNodes: limits.maxNodes })
}

/** @throws OwmError `oversized`, `malformed_model`, `unsupported_model` */
export function decodeForeign(bytes: Uint8Array, tensors: ForeignTensors, limits = ownFileLimits): ForeignModel {
  const stored = new Map<string, StoredTensor>()
  const scopes = new Map<string, string>()
  const foreign = { external: tensors.external, stored, scopes }
  return { ...readModel(bytes, limits, { maxNodes: limits.maxNodes, foreign }), stored, scopes }
}

function readModel(bytes: Uint8Array, limits: ModelLimits, reading: Reading): Model {
  if (bytes.length > limits.maxBytes) {
    throw new OwmError('oversized', `A model of ${bytes.length} bytes is over the limit of ${limits.maxBytes}.`)
  }
  let graph: Graph | undefined
  let opset: number | undefined
  // A Buffer's `slice` is no copy, which whoever slices a tensor would not expect.
  const plain = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  for (const field of readFields(plain)) {
    if (field.number === 7) graph = readGraph(field.bytes(), reading)
    else if (field.number === 8) {
      const { domain, version } = readOpset(field.bytes())
      // A file from elsewhere may name operator sets that no node uses; a node that does is refused by its name.
      if (isStandard(domain)) opset = version
      else if (reading.foreign === undefined) throw unsupported(`the operator set ${domain}`)
    } else if ((field.number === 20 || field.number === 25) && reading.foreign === undefined) {
      throw unsupported('functions or training information')
    }
  }
  if (graph === undefined || opset === undefined) throw malformed('it has no graph or no operator set')
  const oldest = reading.foreign === undefined ? oldestOpset : oldestForeignOpset
  if (opset < oldest || opset > newestOpset) {
    throw unsupported(`operator set version ${opset}, not one of ${oldest} to ${newestOpset}`)
  }
  return { opset, graph }
}

function readOpset(bytes: Uint8Array): { domain: string; version: number } {
  let domain = ''
  let version = 0
  for (const field of readFields(bytes)) {
    if (field.number === 1) domain = field.string()
    else if (field.number === 2) version = field.integer()
  }
  return { domain, version }
}

function readGraph(bytes: Uint8Array, reading: Reading): Graph {
  const { maxNodes, foreign } = reading
  const nodes: Node[] = []
  const inputs: ValueInfo[] = []
  const outputs: ValueInfo[] = []
  const initializers = new Map<string, Tensor>()
  let name = ''
  const push = <T>(list: T[], value: T): void => {
    if (list.length >= maxNodes) throw new OwmError('oversized', `A model of more than ${maxNodes} nodes or values.`)
    list.push(value)
  }
  for (const field of readFields(bytes)) {
    if (field.number === 1) push(nodes, readNode(field.bytes(), reading))
    else if (field.number === 2) name = field.string()
    else if (field.number === 5) {
      const { name: tensorName, tensor, stored } = readTensor(field.bytes(), foreign)
      if (tensorName === '' || initializers.has(tensorName)) throw malformed('a tensor without a name of its own')
      if (initializers.size >= maxNodes) throw new OwmError('oversized', `A model of more than ${maxNodes} tensors.`)
      initializers.set(tensorName, tensor)
      foreign?.stored.set(tensorName, stored)
    } else if (field.number === 11) push(inputs, readValue(field.bytes(), reading))
    else if (field.number === 12) push(outputs, readValue(field.bytes(), reading))
    else if (field.number === 15) throw unsupported('sparse tensors')
  }
  return { name, nodes, inputs, outputs, initializers }
}

function readValue(bytes: Uint8Array, { foreign }: Reading): ValueInfo {
  let name = ''
  let type: ElementType | undefined
  const shape: Dimension[] = []
  for (const field of readFields(bytes)) {
    if (field.number === 1) name = field.string()
    if (field.number !== 2) continue
    for (const kind of readFields(field.bytes())) {
      if (kind.number !== 1) throw unsupported(`the value ${name}, which is not a dense tensor`)
      for (const part of readFields(kind.bytes())) {
        if (part.number === 1) type = readType(part.integer(), foreign !== undefined)
        else if (part.number === 2) for (const size of readFields(part.bytes())) shape.push(readDimension(size.bytes()))
        if (shape.length > maxRank) throw malformed(`a tensor of more than ${maxRank} axes`)
      }
    }
  }
  if (name === '' || type === undefined) throw malformed('an input or output without a name or a type')
  if (foreign === undefined && shape.includes('')) throw unsupported('a value whose shape is not given')
  // What the file leaves open has a name of its own, and no name is taken for arithmetic.
  const named = shape.map((size, axis) =>
    typeof size === 'number' ? size : (size || `${name}.${axis}`).replace(/[*+\s]/g, '_').replace(/^(?=\d)/, 'n'),
  )
  return { name, type, shape: foreign === undefined ? shape : named }
}

/** `''` where it is left open. */
function readDimension(bytes: Uint8Array): Dimension {
  for (const field of readFields(bytes)) {
    if (field.number === 2) return field.string(256)
    if (field.number !== 1) continue
    const size = field.integer()
    if (size < 0) throw malformed('a negative size')
    return size
  }
  return ''
}
