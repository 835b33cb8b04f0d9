/**
 * Convolution, of any number of axes, with strides, pads, dilations and groups (Dumoulin and Visin 2016, "A guide to
 * convolution arithmetic for deep learning"). By the input, a convolution's gradient is a transposed one; by the
 * weights it is a convolution over the batch.
 */
import type { Value } from '../../onnx/index.ts'
import { attribute, input, type Rule, type RuleContext, type RuleTable, reshape, shapeOf } from './rule.ts'

interface Windows {
  readonly kernel: readonly number[]
  readonly strides: readonly number[]
  readonly dilations: readonly number[]
  readonly pads: readonly number[]
  readonly group: number
}
function windowsOf(c: RuleContext): Windows {
  const kernel = shapeOf(input(c, 1)).slice(2)
  const ones = kernel.map(() => 1)
  return {
    kernel,
    strides: attribute(c, 'strides', ones),
    dilations: attribute(c, 'dilations', ones),
    pads: attribute(
      c,
      'pads',
      [...kernel, ...kernel].map(() => 0),
    ),
    group: attribute(c, 'group', 1),
  }
}

const biasRule: Rule = (c) => {
  const axes = c.dy.shape.map((_, axis) => axis).filter((axis) => axis !== 1)
  return c.g.op('ReduceSum', [c.dy, c.g.integers(axes)], { keepdims: 0 })
}

export const convolutions: RuleTable = {
  Conv: [
    (c) => {
      const { kernel, strides, dilations, pads, group } = windowsOf(c)
      const wanted = shapeOf(input(c, 0)).slice(2)
      // What a stride leaves over at the end got no gradient, and is padded with zeros.
      const reach = shapeOf(c.dy)
        .slice(2)
        .map((count, axis) => (count - 1) * strides[axis]! + dilations[axis]! * (kernel[axis]! - 1) + 1)
      const left = wanted.map((size, axis) => size + pads[axis]! + pads[axis + kernel.length]! - reach[axis]!)
      return c.g.op('ConvTranspose', [c.dy, input(c, 1)], { strides, dilations, pads, group, output_padding: left })
    },
    (c) => byWeights(c, input(c, 0), c.dy),
    biasRule,
  ],
  ConvTranspose: [
    (c) => {
      const { strides, dilations, pads, group } = windowsOf(c)
      const dx = c.g.op('Conv', [c.dy, input(c, 1)], { strides, dilations, pads, group })
      // Output padding can leave room for one more window, which no input made.
      return cut(c, dx, shapeOf(input(c, 0)))
    },
    // The convolution whose transpose this is goes from dy to x.
    (c) => byWeights(c, c.dy, input(c, 0)),
    biasRule,
  ],
}

/**
 * The gradient by the weights of the convolution from `x` [N, C, ...] to `y` [N, M, ...]: for each pair of channels, how
 * `x` and `y` go together at each place of the kernel, summed over the batch. That is a convolution with batch and
 * channels exchanged, in which the stride spreads the kernel `y`. With groups g, the channels of a group are its batch:
 * x as [C/g, g N, ...], y as [M, N, ...] in g groups.
 */
function byWeights(c: RuleContext, x: Value, y: Value): Value {
  const { g } = c
  const { kernel, strides, dilations, pads, group } = windowsOf(c)
  const [batch, channels, ...spatial] = shapeOf(x) as [number, number, ...number[]]
  const swap = [1, 0, ...kernel.map((_, axis) => axis + 2)]
  let swapped: Value
  if (group === 1) swapped = g.op('Transpose', [x], { perm: swap })
  else {
    const grouped = reshape(g, x, [batch, group, channels / group, ...spatial])
    const turned = g.op('Transpose', [grouped], { perm: [2, 1, 0, ...kernel.map((_, axis) => axis + 3)] })
    swapped = reshape(g, turned, [channels / group, group * batch, ...spatial])
  }
  const dw = g.op('Conv', [swapped, g.op('Transpose', [y], { perm: swap })], {
    strides: dilations,
    dilations: strides,
    pads,
    group,
  })
  // [C/g, M, ...]; what a stride leaves over of `x` gives places beyond the kernel.
  return g.op('Transpose', [cut(c, dw, [channels / group, shapeOf(y)[1]!, ...kernel])], { perm: swap })
}

/** The first elements along each axis. */
function cut({ g }: RuleContext, value: Value, shape: readonly number[]): Value {
  const axes = shapeOf(value).flatMap((size, axis) => (size > shape[axis]! ? [axis] : []))
  if (axes.length === 0) return value
  const starts = g.integers(axes.map(() => 0))
  return g.op('Slice', [value, starts, g.integers(axes.map((axis) => shape[axis]!)), g.integers(axes)])
}
