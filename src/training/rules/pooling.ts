/** Pooling. */
import type { Value } from '../../onnx/index.ts'
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
 * Each gradient goes to where the maximum was, which a second output of the node tells. Where windows overlap,
 * gradients are added up there; where they do not, `MaxUnpool` does the same faster.
 */
function maxPoolRule(c: RuleContext): Value {
  const { g } = c
  const x = input(c, 0)
  const shape = shapeOf(x)
  const kernel = attribute<readonly number[]>(c, 'kernel_shape', [])
  const ones = kernel.map(() => 1)
  const strides = attribute(c, 'strides', ones)
  const dilations = attribute(c, 'dilations', ones)
  // A node that does not tell is done again; a model made here asks for the indices at once.
  const indices =
    c.step.outputs[1] ?? g.ops('MaxPool', [x], c.step.attributes as Parameters<typeof g.ops<'MaxPool'>>[2], 2)[1]!
  const apart = kernel.every((length, axis) => length <= strides[axis]! && dilations[axis] === 1)
  if (apart && c.dy.type === 'float32') {
    const pads = attribute(
      c,
      'pads',
      [...kernel, ...kernel].map(() => 0),
    )
    return g.op('MaxUnpool', [c.dy, indices, g.integers(shape)], { kernel_shape: kernel, strides, pads })
  }
  const count = size(c.dy)
  const flat = zeros(g, c.dy.type, [size(x)])
  const places = reshape(g, indices, [count])
  const sum = g.op('ScatterElements', [flat, places, reshape(g, c.dy, [count])], { axis: 0, reduction: 'add' })
  return reshape(g, sum, shape)
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
