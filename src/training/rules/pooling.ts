/** Pooling. */
import type { GraphBuilder, Value } from '../../onnx/index.ts'
import {
  attribute,
  constantLike,
  input,
  output,
  type RuleContext,
  type RuleTable,
  reshape,
  shapeOf,
  size,
  zeros,
} from './rule.ts'

export const pooling: RuleTable = {
  MaxPool: [maxPoolRule],
  // A convolution of each channel with ones; its gradient is the transposed one.
  AveragePool: [averagePoolRule],
  GlobalAveragePool: [
    (c) => {
      const shape = shapeOf(input(c, 0))
      const share = c.g.op('Mul', [c.dy, constantLike(c, size(output(c)) / size(input(c, 0)))])
      return c.g.op('Expand', [share, c.g.integers(shape)])
    },
  ],
}

/**
 * Each gradient goes to where the maximum was. Windows side by side are compared with their maximum; for others a second
 * output of the node tells the places, at ten times the cost (onnxruntime 1.30, CPU), and gradients are added up there.
 */
export function maxPoolRule(c: RuleContext): Value {
  const { g } = c
  const x = input(c, 0)
  const shape = shapeOf(x)
  const kernel = attribute<readonly number[]>(c, 'kernel_shape', [])
  if (sideBySide(c, kernel)) return toWinners(c, kernel)
  const indices =
    c.step.outputs[1] ?? g.ops('MaxPool', [x], c.step.attributes as Parameters<typeof g.ops<'MaxPool'>>[2], 2)[1]!
  const count = size(c.dy)
  const flat = zeros(g, c.dy.type, [size(x)])
  const places = reshape(g, indices, [count])
  const sum = g.op('ScatterElements', [flat, places, reshape(g, c.dy, [count])], { axis: 0, reduction: 'add' })
  return reshape(g, sum, shape)
}

/** Whether no element is in two windows, and none is a pad; some at the end of an axis may be in none. */
export function sideBySide(c: RuleContext, kernel: readonly number[]): boolean {
  const ones = kernel.map(() => 1)
  const [strides, dilations] = [attribute(c, 'strides', ones), attribute(c, 'dilations', ones)]
  const [spatial, counts] = [shapeOf(input(c, 0)).slice(2), shapeOf(c.dy).slice(2)]
  const apart = kernel.every(
    (length, axis) => length === strides[axis] && dilations[axis] === 1 && counts[axis]! * length <= spatial[axis]!,
  )
  return apart && attribute<readonly number[]>(c, 'pads', []).every((pad) => pad === 0)
}

/** Of several largest elements of a window, each takes the same share, as with `ReduceMax`. */
function toWinners(c: RuleContext, kernel: readonly number[]): Value {
  const { g } = c
  const x = input(c, 0)
  const highest = repeated(g, output(c), kernel)
  const winners = g.cast(g.op('Equal', [resized(g, x, shapeOf(highest)), highest]), c.dy.type)
  const area = kernel.reduce((product, length) => product * length, 1)
  const average = g.op('AveragePool', [winners], { kernel_shape: kernel, strides: kernel })
  const share = g.op('Div', [c.dy, g.op('Mul', [average, constantLike(c, area)])])
  return resized(g, g.op('Mul', [winners, repeated(g, share, kernel)]), shapeOf(x))
}

/** With the ends of the axes cut off, or zeros there. */
function resized(g: GraphBuilder, value: Value, shape: readonly number[]): Value {
  const ends = shapeOf(value).map((length, axis) => shape[axis]! - length)
  return ends.every((end) => end === 0) ? value : g.op('Pad', [value, g.integers([...ends.map(() => 0), ...ends])])
}

/** Each element as often as the kernel is long along each axis, in its place. */
function repeated(g: GraphBuilder, value: Value, kernel: readonly number[]): Value {
  return kernel.reduceRight((whole, times, at) => {
    const shape = shapeOf(whole)
    const axis = at + 2
    const inner = shape.slice(axis + 1).reduce((product, length) => product * length, 1)
    const rows = reshape(g, whole, [size(whole) / inner, 1, inner])
    const copies = g.op(
      'Concat',
      Array.from({ length: times }, () => rows),
      { axis: 1 },
    )
    return reshape(g, copies, shape.with(axis, shape[axis]! * times))
  }, value)
}

function averagePoolRule(c: RuleContext): Value {
  const { g, dy } = c
  const shape = shapeOf(input(c, 0))
  const [channels, spatial, counts] = [shape[1]!, shape.slice(2), shapeOf(dy).slice(2)]
  const kernel = attribute<readonly number[]>(c, 'kernel_shape', [])
  const ones = kernel.map(() => 1)
  const strides = attribute(c, 'strides', ones)
  const dilations = attribute(c, 'dilations', ones)
  const pads = attribute(
    c,
    'pads',
    [...kernel, ...kernel].map(() => 0),
  )
  const padsCount = attribute<number>(c, 'count_include_pad', 0) === 1
  // How many elements each window has, as a product over the axes: pads count if asked for, what hangs over never.
  const lengths = spatial.map((size, axis) =>
    Array.from({ length: counts[axis]! }, (_, at) => {
      const first = at * strides[axis]! - pads[axis]!
      const places = Array.from({ length: kernel[axis]! }, (_, tap) => first + tap * dilations[axis]!)
      const [low, high] = padsCount ? [-pads[axis]!, size + pads[axis + kernel.length]!] : [0, size]
      return places.filter((place) => place >= low && place < high).length
    }),
  )
  const areas = lengths.reduce<number[]>((all, axis) => all.flatMap((area) => axis.map((length) => area * length)), [1])
  const shares = g.constant(
    dy.type,
    [1, 1, ...counts],
    areas.map((area) => 1 / area),
  )
  const weights = g.op('Expand', [constantLike(c, 1), g.integers([channels, 1, ...kernel])])
  const whole = g.op('ConvTranspose', [g.op('Mul', [dy, shares]), weights], { strides, dilations, group: channels })
  // With the pads cut off, or zeros where no window reached.
  const reach = shapeOf(whole).slice(2)
  const ends = spatial.map((size, axis) => size - (reach[axis]! - pads[axis]!))
  return g.op('Pad', [whole, g.integers([0, 0, ...ones.map((_, axis) => -pads[axis]!), 0, 0, ...ends])])
}
