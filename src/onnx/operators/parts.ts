/** Operators that cut tensors and put them together. */
import { OwmError } from '../../lib/index.ts'
import { add, broadcast, divide, multiply, subtract } from '../dimensions.ts'
import type { Dimension } from '../model.ts'
import { movedKnown } from './known.ts'
import { axisOf, knownOf, need, numbersOf, operator, sameTypes, typeOnly } from './operator.ts'

export const parts = {
  /** With a constant; negative pads cut off. */
  Pad: operator({ mode: 'string' }, (inputs, { mode = 'constant' }) => {
    const { type, shape } = need(inputs, 0)
    const pads = numbersOf(need(inputs, 1))
    const axes = inputs[3] === undefined ? shape.map((_, axis) => axis) : numbersOf(inputs[3])
    if (mode !== 'constant' || pads.length !== 2 * axes.length) throw new OwmError('bad_graph', 'A pad of this kind.')
    const padded = [...shape]
    axes.forEach((axis, index) => {
      const at = axisOf(axis, shape.length)
      const [before, after] = [pads[index]!, pads[index + axes.length]!]
      const size = shape[at]!
      if (before === 0 && after === 0) return
      if (typeof size === 'string') throw new OwmError('bad_graph', `A pad of the size ${size}, which is not known.`)
      if (size + before + after < 0) throw new OwmError('bad_graph', 'A pad that cuts off more than there is.')
      padded[at] = size + before + after
    })
    return [{ type, shape: padded }]
  }),
  Concat: operator({ axis: 'int' }, (inputs, { axis = 0 }) => {
    const first = need(inputs, 0)
    const at = axisOf(axis, first.shape.length)
    const type = sameTypes(inputs)
    const parts = inputs.map((_, index) => need(inputs, index))
    for (const { shape } of parts) broadcast(shape.with(at, 1), first.shape.with(at, 1))
    const sizes = parts.map(({ shape }) => shape[at]!)
    const followed = at === 0 && parts.every((part) => part.known !== undefined)
    const known = followed ? parts.flatMap((part) => part.known!) : undefined
    return [{ type, shape: first.shape.with(at, add(...sizes)), known }]
  }),
  Slice: operator({}, (inputs) => {
    const input = need(inputs, 0)
    const { type, shape } = input
    const [starts, ends] = [knownOf(need(inputs, 1)), knownOf(need(inputs, 2))]
    const axes = inputs[3] === undefined ? starts.map((_, at) => at) : numbersOf(inputs[3])
    const steps = inputs[4] === undefined ? starts.map(() => 1) : numbersOf(inputs[4])
    const sliced = [...shape]
    const first = shape.map(() => 0)
    const step = shape.map(() => 1)
    axes.forEach((axis, at) => {
      const target = axisOf(axis, shape.length)
      const size = shape[target]!
      sliced[target] = sliceSize(size, starts[at]!, ends[at]!, steps[at]!)
      const start = starts[at]!
      if (typeof size === 'number' && typeof start === 'number') {
        first[target] = clamped(start, size, steps[at]! < 0 ? size - 1 : size)
      }
      step[target] = steps[at]!
    })
    const known = movedKnown(input, sliced, (place) => place.map((at, axis) => first[axis]! + at * step[axis]!))
    return [{ type, shape: sliced, known }]
  }),
  /** Each axis as often as the second input says. */
  Tile: operator({}, (inputs) => {
    const input = need(inputs, 0)
    const repeats = numbersOf(need(inputs, 1))
    if (repeats.length !== input.shape.length || repeats.some((count) => count < 0)) {
      throw new OwmError('bad_graph', `Repeats of [${repeats.join(', ')}].`)
    }
    const shape = input.shape.map((size, axis) => multiply([size, repeats[axis]!]))
    const known = movedKnown(input, shape, (place) => place.map((at, axis) => at % Number(input.shape[axis])))
    return [{ type: input.type, shape, known }]
  }),
  /** The lower or upper triangles of the last two axes; elsewhere 0. */
  Trilu: operator({ upper: 'int' }, (inputs) => {
    if (need(inputs, 0).shape.length < 2) throw new OwmError('bad_graph', 'A triangle of fewer than two axes.')
    return [typeOnly(need(inputs, 0))]
  }),
  Split: operator({ axis: 'int', num_outputs: 'int' }, (inputs, { axis = 0, num_outputs }, count) => {
    const { type, shape } = need(inputs, 0)
    const at = axisOf(axis, shape.length)
    if (inputs[1] === undefined) {
      const part = divide([shape[at]!], [count])
      if (part === undefined || num_outputs !== count) {
        throw new OwmError('bad_graph', `[${shape.join(', ')}] cannot be split into ${num_outputs} even parts.`)
      }
      return Array.from({ length: count }, () => ({ type, shape: shape.with(at, part) }))
    }
    const sizes = numbersOf(inputs[1])
    if (sizes.length !== count || sizes.reduce((sum, size) => sum + size, 0) !== shape[at]) {
      throw new OwmError('bad_graph', `[${shape.join(', ')}] cannot be split into parts of [${sizes.join(', ')}].`)
    }
    return sizes.map((size) => ({ type, shape: shape.with(at, size) }))
  }),
} as const

/** A place counted from the front, within the axis. */
function clamped(at: number, size: number, most: number): number {
  return Math.min(Math.max(at < 0 ? at + size : at, 0), most)
}

function sliceSize(size: Dimension, start: Dimension, end: Dimension, step: number): Dimension {
  if (step === 0) throw new OwmError('bad_graph', 'A slice without a step.')
  if (typeof size === 'number' && typeof start === 'number' && typeof end === 'number') {
    const clamp = (at: number): number => Math.min(Math.max(at < 0 ? at + size : at, step < 0 ? -1 : 0), size)
    return Math.max(0, Math.ceil((clamp(end) - clamp(start)) / step))
  }
  // The caller vouches that what is asked for is there.
  const place = (at: Dimension): Dimension => {
    if (typeof at !== 'number') return at
    return at >= beyond ? size : at < 0 ? add(size, at) : at
  }
  if (step === -1 && start === -1 && typeof end === 'number' && end <= -beyond) return size
  if (step !== 1) throw new OwmError('bad_graph', `A slice by ${step} of the size ${size}, which is not known.`)
  return subtract(place(end), place(start))
}
/** An end this far stands for the end of the axis. */
const beyond = 2 ** 31 - 1
