/** Shapes themselves, and operators that move elements and change none. */
import { OwmError } from '../../lib/index.ts'
import { broadcast, divide, multiply, subtract } from '../dimensions.ts'
import type { Dimension } from '../model.ts'
import { eachKnown, maxKnownElements, movedKnown } from './known.ts'
import { axisOf, knownOf, need, numbersOf, operator } from './operator.ts'

export const shapes = {
  Shape: operator({ start: 'int', end: 'int' }, (inputs, { start = 0, end }) => {
    const known = need(inputs, 0).shape.slice(start, end)
    return [{ type: 'int64', shape: [known.length], known }]
  }),
  Size: operator({}, (inputs) => [{ type: 'int64', shape: [], known: [multiply(need(inputs, 0).shape)] }]),
  Range: operator({}, (inputs) => {
    const { type } = need(inputs, 0)
    const [start, limit, delta] = [0, 1, 2].map((at) => knownOf(need(inputs, at))[0]!)
    if (typeof limit === 'string' || typeof start === 'string' || typeof delta === 'string') {
      if (delta !== 1) throw new OwmError('bad_graph', 'A range to an unknown end that does not count by 1.')
      return [{ type, shape: [subtract(limit!, start!)] }]
    }
    const count = Math.max(0, Math.ceil((limit! - start!) / delta!))
    if (!Number.isSafeInteger(count)) throw new OwmError('bad_graph', 'A range without an end.')
    const known = count <= maxKnownElements ? Array.from({ length: count }, (_, at) => start! + at * delta!) : undefined
    return [{ type, shape: [count], known }]
  }),
  Reshape: operator({ allowzero: 'int' }, (inputs, { allowzero = 0 }) => {
    const { type, shape, known } = need(inputs, 0)
    const wanted = knownOf(need(inputs, 1)).map((size, axis) => (size === 0 && allowzero === 0 ? shape[axis] : size))
    const given = wanted.filter((size): size is Dimension => size !== -1 && size !== undefined)
    if (wanted.length - given.length > 1) throw new OwmError('bad_graph', 'A reshape to several unknown sizes.')
    const rest = divide(shape, given)
    if (rest === undefined || (given.length === wanted.length && rest !== 1)) {
      throw new OwmError('bad_graph', `[${shape.join(', ')}] cannot be reshaped to [${wanted.join(', ')}].`)
    }
    return [{ type, shape: wanted.map((size) => (size === -1 || size === undefined ? rest : size)), known }]
  }),
  Unsqueeze: operator({}, (inputs) => {
    const { type, shape, known } = need(inputs, 0)
    const axes = numbersOf(need(inputs, 1))
    const rank = shape.length + axes.length
    const added = new Set(axes.map((axis) => axisOf(axis, rank)))
    const rest = [...shape]
    return [{ type, shape: Array.from({ length: rank }, (_, axis) => (added.has(axis) ? 1 : rest.shift()!)), known }]
  }),
  Squeeze: operator({}, (inputs) => {
    const { type, shape, known } = need(inputs, 0)
    const axes = new Set(numbersOf(need(inputs, 1)).map((axis) => axisOf(axis, shape.length)))
    if ([...axes].some((axis) => shape[axis] !== 1)) throw new OwmError('bad_graph', 'A squeeze of a size over 1.')
    return [{ type, shape: shape.filter((_, axis) => !axes.has(axis)), known }]
  }),
  Transpose: operator({ perm: 'ints' }, (inputs, { perm }) => {
    const { type, shape } = need(inputs, 0)
    const order = perm ?? shape.map((_, axis) => shape.length - 1 - axis)
    if (order.length !== shape.length || new Set(order).size !== order.length) {
      throw new OwmError('bad_graph', `[${order.join(', ')}] does not order the axes of [${shape.join(', ')}].`)
    }
    const turned = order.map((axis) => shape[axisOf(axis, shape.length)]!)
    const known = movedKnown(need(inputs, 0), turned, (place) => order.map((_, axis) => place[order.indexOf(axis)]!))
    return [{ type, shape: turned, known }]
  }),
  Flatten: operator({ axis: 'int' }, (inputs, { axis = 1 }) => {
    const { type, shape } = need(inputs, 0)
    const at = axis < 0 ? axis + shape.length : axis
    if (at < 0 || at > shape.length) throw new OwmError('bad_graph', `Axis ${axis} is outside.`)
    return [{ type, shape: [multiply(shape.slice(0, at)), multiply(shape.slice(at))] }]
  }),
  Expand: operator({}, (inputs) => {
    const input = need(inputs, 0)
    const shape = broadcast(input.shape, knownOf(need(inputs, 1)))
    return [{ type: input.type, shape, known: eachKnown([input], shape, (value) => value) }]
  }),
  ConstantOfShape: operator({}, (inputs) => [{ type: 'float32', shape: knownOf(need(inputs, 0)) }]),
} as const
