/**
 * Reads ONNX files from anywhere. Limits hold before anything is allocated; what the reader does not know (functions,
 * external files, other operator sets, sparse tensors) is refused rather than skipped, so that what is checked here
 * is all that a runtime would see.
 */
import { OwmError } from '../lib/index.ts'
import { attributeTypes } from './encode.ts'
import {
  type Attribute,
  type Dimension,
  type ElementType,
  elementBytes,
  elementTypes,
  type Graph,
  type Model,
  type Node,
  type Tensor,
  type ValueInfo,
} from './model.ts'
import { type Field, readFields } from './protobuf.ts'

export interface ModelLimits {
  /** The file. Tensors are views into it, so it bounds them too. */
  readonly maxBytes: number
  /** Nodes, values and tensors, each. */
  readonly maxNodes: number
}
/** A graph travels without weights; the largest language models have about 10,000 nodes. */
export const defaultLimits: ModelLimits = { maxBytes: 64 * 1024 * 1024, maxNodes: 50_000 }
const maxRank = 8
const maxEdges = 1024
const maxListLength = 4096
/** Operator sets whose meaning the operator table knows. */
const oldestOpset = 18
const newestOpset = 21

const typeNames = new Map(Object.entries(elementTypes).map(([name, number]) => [number as number, name as ElementType]))
const attributeKinds = new Map(
  Object.entries(attributeTypes).map(([name, number]) => [number as number, name as keyof typeof attributeTypes]),
)

/** @throws OwmError `oversized`, `malformed_model`, `unsupported_model` */
export function decodeModel(bytes: Uint8Array, limits: ModelLimits = defaultLimits): Model {
  if (bytes.length > limits.maxBytes) {
    throw new OwmError('oversized', `A model of ${bytes.length} bytes is over the limit of ${limits.maxBytes}.`)
  }
  let graph: Graph | undefined
  let opset: number | undefined
  for (const field of readFields(bytes)) {
    if (field.number === 7) graph = readGraph(field.bytes(), limits.maxNodes)
    else if (field.number === 8) {
      const { domain, version } = readOpset(field.bytes())
      if (domain !== '' && domain !== 'ai.onnx') throw unsupported(`the operator set ${domain}`)
      opset = version
    } else if (field.number === 20 || field.number === 25) throw unsupported('functions or training information')
  }
  if (graph === undefined || opset === undefined) throw malformed('it has no graph or no operator set')
  if (opset < oldestOpset || opset > newestOpset) throw unsupported(`operator set version ${opset}`)
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

function readGraph(bytes: Uint8Array, maxNodes: number): Graph {
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
    if (field.number === 1) push(nodes, readNode(field.bytes()))
    else if (field.number === 2) name = field.string()
    else if (field.number === 5) {
      const { name: tensorName, tensor } = readTensor(field.bytes())
      if (tensorName === '' || initializers.has(tensorName)) throw malformed('a tensor without a name of its own')
      if (initializers.size >= maxNodes) throw new OwmError('oversized', `A model of more than ${maxNodes} tensors.`)
      initializers.set(tensorName, tensor)
    } else if (field.number === 11) push(inputs, readValue(field.bytes()))
    else if (field.number === 12) push(outputs, readValue(field.bytes()))
    else if (field.number === 15) throw unsupported('sparse tensors')
  }
  return { name, nodes, inputs, outputs, initializers }
}

function readNode(bytes: Uint8Array): Node {
  const inputs: string[] = []
  const outputs: string[] = []
  const attributes: Record<string, Attribute> = Object.create(null) as Record<string, Attribute>
  let name = ''
  let op = ''
  for (const field of readFields(bytes)) {
    if (field.number === 1) inputs.push(field.string())
    else if (field.number === 2) outputs.push(field.string())
    else if (field.number === 3) name = field.string()
    else if (field.number === 4) op = field.string()
    else if (field.number === 5) {
      const { name: attributeName, attribute } = readAttribute(field.bytes())
      attributes[attributeName] = attribute
    } else if (field.number === 7 && field.string() !== '' && field.string() !== 'ai.onnx') {
      throw unsupported(`the operator set ${field.string()}`)
    }
    if (inputs.length + outputs.length > maxEdges) throw malformed(`a node with more than ${maxEdges} edges`)
  }
  return { op, name, inputs, outputs, attributes }
}

function readAttribute(bytes: Uint8Array): { name: string; attribute: Attribute } {
  let name = ''
  let type = 0
  const values = new Map<number, Field[]>()
  let count = 0
  for (const field of readFields(bytes)) {
    if (field.number === 1) name = field.string()
    else if (field.number === 20) type = field.integer()
    else if (++count > maxListLength) throw malformed('a list too long')
    else {
      const list = values.get(field.number)
      if (list === undefined) values.set(field.number, [field])
      else list.push(field)
    }
  }
  const kind = attributeKinds.get(type)
  const one = (number: number): Field => {
    const field = values.get(number)?.at(-1)
    if (field === undefined) throw malformed(`the attribute ${name} without its value`)
    return field
  }
  switch (kind) {
    case 'float':
      return { name, attribute: { kind, value: one(2).float() } }
    case 'int':
      return { name, attribute: { kind, value: one(3).integer() } }
    case 'string':
      return { name, attribute: { kind, value: one(4).string() } }
    case 'tensor':
      return { name, attribute: { kind, value: readTensor(one(5).bytes()).tensor } }
    case 'floats':
      return { name, attribute: { kind, value: (values.get(7) ?? []).flatMap((field) => field.floats(maxListLength)) } }
    case 'ints':
      return {
        name,
        attribute: { kind, value: (values.get(8) ?? []).flatMap((field) => field.integers(maxListLength)) },
      }
    default:
      throw unsupported(`an attribute of kind ${kind ?? type}`)
  }
}

function readTensor(bytes: Uint8Array): { name: string; tensor: Tensor } {
  const shape: number[] = []
  let name = ''
  let type: ElementType | undefined
  let data: Uint8Array = new Uint8Array()
  for (const field of readFields(bytes)) {
    if (field.number === 1) shape.push(...field.integers(maxRank))
    else if (field.number === 2) type = readType(field.integer())
    else if (field.number === 8) name = field.string()
    else if (field.number === 9) data = field.bytes()
    else if (field.number !== 12) throw unsupported('a tensor whose data is not raw bytes in the file itself')
    if (shape.length > maxRank) throw malformed(`a tensor of more than ${maxRank} axes`)
  }
  if (type === undefined) throw malformed(`the tensor ${name} without a type`)
  if (shape.some((size) => size < 0)) throw malformed(`the tensor ${name} with a negative size`)
  const count = shape.reduce((product, size) => product * size, 1)
  if (count * elementBytes[type] !== data.length) throw malformed(`the tensor ${name} whose data do not fill its shape`)
  return { name, tensor: { type, shape, data } }
}

function readValue(bytes: Uint8Array): ValueInfo {
  let name = ''
  let type: ElementType | undefined
  const shape: Dimension[] = []
  for (const field of readFields(bytes)) {
    if (field.number === 1) name = field.string()
    if (field.number !== 2) continue
    for (const kind of readFields(field.bytes())) {
      if (kind.number !== 1) throw unsupported(`the value ${name}, which is not a dense tensor`)
      for (const part of readFields(kind.bytes())) {
        if (part.number === 1) type = readType(part.integer())
        else if (part.number === 2) for (const size of readFields(part.bytes())) shape.push(readDimension(size.bytes()))
        if (shape.length > maxRank) throw malformed(`a tensor of more than ${maxRank} axes`)
      }
    }
  }
  if (name === '' || type === undefined) throw malformed('an input or output without a name or a type')
  return { name, type, shape }
}

function readDimension(bytes: Uint8Array): Dimension {
  for (const field of readFields(bytes)) {
    if (field.number === 2) return field.string(64)
    if (field.number !== 1) continue
    const size = field.integer()
    if (size < 0) throw malformed('a negative size')
    return size
  }
  throw unsupported('a value whose shape is not given')
}

function readType(number: number): ElementType {
  const type = typeNames.get(number)
  if (type === undefined) throw unsupported(`the element type ${number}`)
  return type
}

function malformed(what: string): OwmError {
  return new OwmError('malformed_model', `Not a valid ONNX file: ${what}.`)
}
function unsupported(what: string): OwmError {
  return new OwmError('unsupported_model', `This ONNX file uses ${what}, which is not supported.`)
}
