/** A node of a file that is being brought into this room's form, and what conversions share. */
import { OwmError } from '../../lib/index.ts'
import type { GraphBuilder, Value } from '../graph.ts'
import type { Attribute, Node, Tensor } from '../model.ts'
import type { AttributesOf, OperatorName } from '../operators/index.ts'

export interface ForeignNode {
  readonly g: GraphBuilder
  readonly node: Node
  /** The file's operator set. */
  readonly version: number
  readonly inputs: readonly (Value | undefined)[]
}
/** Appends what a node stands for, and gives its outputs; undefined for one that is not supported and not used. */
export type Conversion = (c: ForeignNode) => readonly (Value | undefined)[]

const attributeOf =
  <T>(kind: Attribute['kind']) =>
  ({ node }: ForeignNode, name: string, otherwise: T): T => {
    const attribute = node.attributes[name]
    if (attribute === undefined) return otherwise
    if (attribute.kind !== kind) throw new OwmError('malformed_model', `The attribute ${name} is no ${kind}.`)
    return attribute.value as T
  }
export const intOf = attributeOf<number>('int')
export const floatOf = attributeOf<number>('float')
export const stringOf = attributeOf<string>('string')
export const intsOf = attributeOf<readonly number[] | undefined>('ints')
export const floatsOf = attributeOf<readonly number[] | undefined>('floats')
export const tensorOfAttribute = attributeOf<Tensor | undefined>('tensor')

export function inputOf({ inputs, node }: ForeignNode, at: number): Value {
  const value = inputs[at]
  if (value === undefined) throw new OwmError('bad_graph', `${node.op} without its input ${at}.`)
  return value
}

/** Appends a node that is called after the one it comes from. */
export function op<K extends OperatorName>(
  c: ForeignNode,
  name: K,
  inputs: readonly (Value | undefined)[],
  attributes?: AttributesOf<K>,
): Value {
  return c.g.ops(name, inputs, attributes ?? {}, 1, labelOf(c, name))[0]!
}
export function ops<K extends OperatorName>(
  c: ForeignNode,
  name: K,
  inputs: readonly (Value | undefined)[],
  attributes: AttributesOf<K>,
  count: number,
): Value[] {
  return c.g.ops(name, inputs, attributes, count, labelOf(c, name))
}
const labelOf = ({ node }: ForeignNode, name: string): string =>
  node.op === name ? node.name : node.name === '' ? '' : `${node.name}/${name}`

export const like = (c: ForeignNode, value: Value, number: number): Value => c.g.scalar(value.type, number)

/** The size of an axis as a number. @throws OwmError `bad_graph` saying which size to give */
export function sizeOf(value: Value, axis: number): number {
  const size = value.shape.at(axis)
  if (typeof size !== 'number') {
    throw new OwmError('bad_graph', `It needs the size ${size} as a number: give it with \`sizes\`.`, { size })
  }
  return size
}
export function reshaped(c: ForeignNode, value: Value, shape: readonly number[]): Value {
  return op(c, 'Reshape', [value, c.g.integers(shape)])
}
export function transposed(c: ForeignNode, value: Value, perm: readonly number[]): Value {
  return perm.every((from, to) => from === to) ? value : op(c, 'Transpose', [value], { perm })
}
export function parts(c: ForeignNode, value: Value, axis: number, sizes: readonly number[]): Value[] {
  if (sizes.length === 1) return [value]
  return ops(c, 'Split', [value, c.g.integers(sizes)], { axis }, sizes.length)
}
export const isFloat = (value: Value): boolean => value.type === 'float32' || value.type === 'float64'
