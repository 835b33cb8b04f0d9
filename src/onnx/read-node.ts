/** Reads `NodeProto` and its attributes. */
import { OwmError } from '../lib/index.ts'
import { attributeTypes } from './encode.ts'
import type { Attribute, Node } from './model.ts'
import { type Field, readFields } from './protobuf.ts'
import { type ForeignTensors, malformed, readTensor, type StoredTensor, unsupported } from './read-tensor.ts'

/** What is read, and how: `foreign` of files from elsewhere, whose tensors may stand anywhere. */
export interface Reading {
  readonly maxNodes: number
  readonly foreign?: ForeignTensors & {
    readonly stored: Map<string, StoredTensor>
    readonly scopes: Map<string, string>
  }
}

const maxEdges = 1024
const maxListLength = 4096
const attributeKinds = new Map(
  Object.entries(attributeTypes).map(([name, number]) => [number as number, name as keyof typeof attributeTypes]),
)

export const isStandard = (domain: string): boolean => domain === '' || domain === 'ai.onnx'

export function readNode(bytes: Uint8Array, reading: Reading): Node {
  const inputs: string[] = []
  const outputs: string[] = []
  const attributes: Record<string, Attribute> = Object.create(null) as Record<string, Attribute>
  const given: Uint8Array[] = []
  let name = ''
  let op = ''
  let domain = ''
  for (const field of readFields(bytes)) {
    if (field.number === 1) inputs.push(field.string())
    else if (field.number === 2) outputs.push(field.string())
    else if (field.number === 3) name = field.string()
    else if (field.number === 4) op = field.string()
    else if (field.number === 5) given.push(field.bytes())
    else if (field.number === 7) domain = field.string()
    else if (field.number === 9 && reading.foreign !== undefined) readScope(field.bytes(), name, reading.foreign.scopes)
    if (inputs.length + outputs.length > maxEdges) throw malformed(`a node with more than ${maxEdges} edges`)
    if (given.length > maxEdges) throw malformed(`a node with more than ${maxEdges} attributes`)
  }
  if (!isStandard(domain)) {
    const message = `The operator ${op} of the domain ${domain} (node ${name}) is not supported.`
    throw new OwmError('unsupported_model', message, { op, domain, node: name })
  }
  for (const part of given) {
    const { name: attributeName, attribute } = readAttribute(part, `${op} node ${name}`, reading)
    attributes[attributeName] = attribute
  }
  return { op, name, inputs, outputs, attributes }
}

/** PyTorch's: `['', 'blocks.0', 'blocks.0.proj', 'linear_1']`. Other metadata can be long, and is passed over. */
function readScope(bytes: Uint8Array, node: string, scopes: Map<string, string>): void {
  let key = ''
  for (const field of readFields(bytes)) {
    if (field.number === 1) key = field.string()
    else if (field.number === 2 && key === 'pkg.torch.onnx.name_scopes' && field.bytes().length <= maxScopeBytes) {
      scopes.set(node, field.string(maxScopeBytes))
    }
  }
}
const maxScopeBytes = 4096

function readAttribute(bytes: Uint8Array, node: string, reading: Reading): { name: string; attribute: Attribute } {
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
      return { name, attribute: { kind, value: readTensor(one(5).bytes(), withinNode(reading)).tensor } }
    case 'floats':
      return { name, attribute: { kind, value: (values.get(7) ?? []).flatMap((field) => field.floats(maxListLength)) } }
    case 'ints':
      return {
        name,
        attribute: { kind, value: (values.get(8) ?? []).flatMap((field) => field.integers(maxListLength)) },
      }
    case 'strings':
      return { name, attribute: { kind, value: (values.get(9) ?? []).map((field) => field.string()) } }
    default:
      throw unsupported(`an attribute of kind ${kind ?? type} (${name} of ${node})`)
  }
}

/** The tensors of attributes are constants, which stand in the file itself. */
function withinNode({ foreign }: Reading): ForeignTensors | undefined {
  if (foreign === undefined) return undefined
  return {
    external: () => {
      throw unsupported('an external tensor in an attribute')
    },
  }
}
