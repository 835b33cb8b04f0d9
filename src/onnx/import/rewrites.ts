/** Operators that a node or a few of this room's form stand for. */
import { OwmError } from '../../lib/index.ts'
import type { Value } from '../graph.ts'
import { type ElementType, elementTypes, tensorOf } from '../model.ts'
import type { OperatorName } from '../operators/index.ts'
import { axisOf } from '../operators/operator.ts'
import {
  type Conversion,
  floatOf,
  floatsOf,
  inputOf,
  intOf,
  intsOf,
  isFloat,
  like,
  op,
  ops,
  reshaped,
  sizeOf,
  tensorOfAttribute,
} from './node.ts'

/** Where float16 and bfloat16 are cast to, float32 is. */
const castTargets: ReadonlyMap<number, ElementType> = new Map([
  ...Object.entries(elementTypes).map(([name, number]) => [number as number, name as ElementType] as const),
  [10, 'float32'],
  [16, 'float32'],
])

export const constant: Conversion = (c) => {
  const given = tensorOfAttribute(c, 'value', undefined)
  if (given !== undefined) return [c.g.initializer(c.node.outputs[0] ?? c.node.name, given)]
  const lists = { value_float: 'float32', value_int: 'int64', value_floats: 'float32', value_ints: 'int64' } as const
  for (const [name, type] of Object.entries(lists)) {
    if (c.node.attributes[name] === undefined) continue
    const list = type === 'float32' ? floatsOf : intsOf
    const one = type === 'float32' ? floatOf : intOf
    if (!name.endsWith('s')) return [c.g.scalar(type, one(c, name, 0))]
    const values = list(c, name, undefined) ?? []
    return [c.g.initializer(c.node.outputs[0] ?? c.node.name, tensorOf(type, [values.length], values))]
  }
  throw new OwmError('unsupported_model', 'A constant that is no tensor of numbers.')
}

export const constantOfShape: Conversion = (c) => {
  const given = tensorOfAttribute(c, 'value', undefined) ?? tensorOf('float32', [1], [0])
  const value = c.g.initializer(`${c.node.outputs[0]}/value`, { ...given, shape: [] })
  return [op(c, 'Expand', [value, inputOf(c, 0)])]
}

export const identity: Conversion = (c) => [inputOf(c, 0)]

/** As in inference: the input itself. */
export const dropout: Conversion = (c) => [inputOf(c, 0), undefined]

export const cast: Conversion = (c) => {
  const to = intOf(c, 'to', 0)
  const type = castTargets.get(to)
  if (type === undefined) throw new OwmError('unsupported_model', `A cast to the element type ${to}.`)
  return [inputOf(c, 0).type === type ? inputOf(c, 0) : op(c, 'Cast', [inputOf(c, 0)], { to: elementTypes[type] })]
}
export const castLike: Conversion = (c) => [c.g.cast(inputOf(c, 0), inputOf(c, 1).type)]

export const clip: Conversion = (c) => {
  const bounds = [c.inputs[1], c.inputs[2]].map((bound) =>
    bound === undefined || bound.shape.length === 0 ? bound : reshaped(c, bound, []),
  )
  return [op(c, 'Clip', [inputOf(c, 0), ...bounds])]
}

/** The exponent may be of another type. */
export const pow: Conversion = (c) => {
  const x = inputOf(c, 0)
  return [op(c, 'Pow', [x, c.g.cast(inputOf(c, 1), x.type)])]
}

/** Of any number of inputs, two at a time. */
export const variadic =
  (name: 'Max' | 'Min' | 'Add'): Conversion =>
  (c) => [c.inputs.slice(1).reduce((a, _, at) => op(c, name, [a, inputOf(c, at + 1)]), inputOf(c, 0))]
export const sum: Conversion = variadic('Add')
export const mean: Conversion = (c) => {
  const [total] = sum(c)
  return [op(c, 'Mul', [total, like(c, total!, 1 / c.inputs.length)])]
}

/** A vector on either side is a matrix of one row or column. */
export const matMul: Conversion = (c) => {
  let [a, b] = [inputOf(c, 0), inputOf(c, 1)]
  const dropped: number[] = []
  if (a.shape.length === 1) {
    a = op(c, 'Unsqueeze', [a, c.g.integers([0])])
    dropped.push(-2)
  }
  if (b.shape.length === 1) {
    b = op(c, 'Unsqueeze', [b, c.g.integers([1])])
    dropped.push(-1)
  }
  const product = op(c, 'MatMul', [a, b])
  return [dropped.length === 0 ? product : op(c, 'Squeeze', [product, c.g.integers(dropped)])]
}

type Reduction = Extract<OperatorName, `Reduce${string}`>
export const reduction =
  (name: Reduction): Conversion =>
  (c) => {
    const x = inputOf(c, 0)
    const attribute = intsOf(c, 'axes', undefined)
    const given = attribute === undefined ? c.inputs[1] : c.g.integers(attribute)
    const none = given === undefined || given.shape.join() === '0'
    if (none && intOf(c, 'noop_with_empty_axes', 0) === 1) return [x]
    return [op(c, name, none ? [x] : [x, given], { keepdims: intOf(c, 'keepdims', 1) })]
  }

/** How many there are of each output, where the file does not say: as even as can be, the last fewer. */
export const split: Conversion = (c) => {
  const x = inputOf(c, 0)
  const axis = axisOf(intOf(c, 'axis', 0), x.shape.length)
  const count = c.node.outputs.length
  const given = intsOf(c, 'split', undefined)
  let sizes = given === undefined ? c.inputs[1] : c.g.integers(given)
  if (sizes === undefined) {
    const total = sizeOf(x, axis)
    const each = Math.ceil(total / intOf(c, 'num_outputs', count))
    sizes = c.g.integers(Array.from({ length: count }, (_, at) => Math.min(each, total - at * each)))
  }
  return ops(c, 'Split', [x, sizes], { axis }, count)
}

/** Without axes: all of size 1. */
export const squeeze: Conversion = (c) => {
  const x = inputOf(c, 0)
  const ones = x.shape.flatMap((size, axis) => (size === 1 ? [axis] : []))
  const given = intsOf(c, 'axes', undefined)
  const axes = given === undefined ? c.inputs[1] : c.g.integers(given)
  return [op(c, 'Squeeze', [x, axes ?? c.g.integers(ones)])]
}

/** A 0 that is to be a size of 0 and not the input's own is no matter where there is none. */
export const reshape: Conversion = (c) => {
  const shape = inputOf(c, 1)
  const keeps = intOf(c, 'allowzero', 0) === 0 || shape.known?.includes(0) !== true
  return [op(c, 'Reshape', [inputOf(c, 0), shape], keeps ? {} : { allowzero: 1 })]
}

/** A negative index counts from the end. */
export const oneHot: Conversion = (c) => {
  const [indices, depth, values] = [inputOf(c, 0), inputOf(c, 1), inputOf(c, 2)]
  const whole = c.g.cast(isFloat(indices) ? op(c, 'Round', [indices]) : indices, 'int64')
  const size = c.g.cast(depth.shape.length === 0 ? depth : reshaped(c, depth, []), 'int64')
  const rank = indices.shape.length + 1
  const axis = axisOf(intOf(c, 'axis', -1), rank)
  const wrapped = op(c, 'Where', [op(c, 'Less', [whole, like(c, whole, 0)]), op(c, 'Add', [whole, size]), whole])
  const places = op(c, 'Range', [c.g.scalar('int64', 0), size, c.g.scalar('int64', 1)])
  const along = reshaped(
    c,
    places,
    Array.from({ length: rank }, (_, at) => (at === axis ? -1 : 1)),
  )
  const hit = op(c, 'Equal', [op(c, 'Unsqueeze', [wrapped, c.g.integers([axis])]), along])
  const value = (at: number): Value => op(c, 'Gather', [values, c.g.scalar('int64', at)])
  return [op(c, 'Where', [hit, value(1), value(0)])]
}
