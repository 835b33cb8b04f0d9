/** What an entry of the operator table is, and the checks that entries share. */
import { OwmError } from '../../lib/index.ts'
import type { Dimension, ElementType, Graph } from '../model.ts'

/** Type and shape, and, of small integer vectors such as shapes, the content where it is known. */
export interface Typed {
  readonly type: ElementType
  readonly shape: readonly Dimension[]
  readonly known?: readonly Dimension[] | undefined
}

export interface AttributeForms {
  int: number
  float: number
  ints: readonly number[]
  string: string
  graph: Graph
}
export type AttributeTable = Readonly<Record<string, keyof AttributeForms>>
export type Attributes<T extends AttributeTable> = { readonly [K in keyof T]?: AttributeForms[T[K]] | undefined }

export interface Operator<T extends AttributeTable> {
  readonly attributes: T
  /** The outputs, of which `count` are asked for. Throws where inputs do not fit. */
  readonly infer: (inputs: readonly (Typed | undefined)[], attributes: Attributes<T>, count: number) => readonly Typed[]
}
export const operator = <const T extends AttributeTable>(attributes: T, infer: Operator<T>['infer']): Operator<T> => ({
  attributes,
  infer,
})

/** The same without the content. */
export const typeOnly = ({ type, shape }: Typed): Typed => ({ type, shape })
export const need = (inputs: readonly (Typed | undefined)[], at: number): Typed => {
  const input = inputs[at]
  if (input === undefined) throw new OwmError('bad_graph', `Input ${at} is missing.`)
  return input
}
export const knownOf = (input: Typed): readonly Dimension[] => {
  if (input.known === undefined) throw new OwmError('bad_graph', 'A shape or an axis depends on data.')
  return input.known
}
export const numbersOf = (input: Typed): number[] =>
  knownOf(input).map((size) => {
    if (typeof size === 'string') throw new OwmError('bad_graph', `The size ${size} is not known.`)
    return size
  })
export const axisOf = (axis: number, rank: number): number => {
  const at = axis < 0 ? axis + rank : axis
  if (!Number.isInteger(at) || at < 0 || at >= rank) {
    throw new OwmError('bad_graph', `Axis ${axis} is outside a tensor of ${rank} axes.`)
  }
  return at
}

export const sameTypes = (inputs: readonly (Typed | undefined)[]): ElementType => {
  const { type } = need(inputs, 0)
  for (const input of inputs) {
    if (input?.type !== type) throw new OwmError('bad_graph', `Inputs of types ${type} and ${input?.type}.`)
  }
  return type
}
