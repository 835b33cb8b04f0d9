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
 * channels exchanged, in which the stride spreads the kernel `y`.
 */
function byWeights(c: RuleContext, x: Value, y: Value): Value {
  const { g } = c
  const windows = windowsOf(c)
  const kernels = g.op('Transpose', [y], { perm: exchange(y) })
  return windows.group === 1 && windows.dilations.at(-1) === 1
    ? channelsSideBySide(c, windows, x, kernels)
    : channelsOneByOne(c, windows, x, kernels)
}

/** Twice as fast as a batch of channels: one image, whose last axis has the channels of a place side by side. */
function channelsSideBySide(c: RuleContext, windows: Windows, x: Value, kernels: Value): Value {
  const { g } = c
  const { kernel, strides, dilations, pads } = windows
  const [batch, channels, ...spatial] = shapeOf(x) as [number, number, ...number[]]
  const axes = kernel.map((_, axis) => axis + 2)
  /** The last axis holds as many times more. */
  const wide = (sizes: readonly number[]): number[] => sizes.with(-1, sizes.at(-1)! * channels)
  const image = reshape(g, g.op('Transpose', [x], { perm: [0, ...axes, 1] }), [1, batch, ...wide(spatial)])
  const dw = g.op('Conv', [image, kernels], {
    strides: dilations,
    dilations: wide(strides),
    pads: [...wide(pads.slice(0, kernel.length)), ...wide(pads.slice(kernel.length))],
  })
  const filters = shapeOf(kernels)[0]!
  const places = reshape(g, cut(c, dw, [1, filters, ...wide(kernel)]), [filters, ...kernel, channels])
  return g.op('Transpose', [places], { perm: [0, kernel.length + 1, ...axes.map((axis) => axis - 1)] })
}

/** For all windows. With groups g, the channels of a group are its batch: x as [C/g, g N, ...], y as [M, N, ...]. */
function channelsOneByOne(c: RuleContext, windows: Windows, x: Value, kernels: Value): Value {
  const { g } = c
  const { kernel, strides, dilations, pads, group } = windows
  const [batch, channels, ...spatial] = shapeOf(x) as [number, number, ...number[]]
  const grouped = reshape(g, x, [batch, group, channels / group, ...spatial])
  const turned = g.op('Transpose', [grouped], { perm: [2, 1, 0, ...kernel.map((_, axis) => axis + 3)] })
  const swapped = reshape(g, turned, [channels / group, group * batch, ...spatial])
  const dw = g.op('Conv', [swapped, kernels], { strides: dilations, dilations: strides, pads, group })
  // [C/g, M, ...]
  const whole = cut(c, dw, [channels / group, shapeOf(kernels)[0]!, ...kernel])
  return g.op('Transpose', [whole], { perm: exchange(whole) })
}

/** Batch and channels exchanged. */
function exchange({ shape }: Value): number[] {
  return shape.map((_, axis) => (axis < 2 ? 1 - axis : axis))
}

/** The first elements along each axis: what a stride leaves over of `x` gives places beyond the kernel. */
function cut({ g }: RuleContext, value: Value, shape: readonly number[]): Value {
  const axes = shapeOf(value).flatMap((size, axis) => (size > shape[axis]! ? [axis] : []))
  if (axes.length === 0) return value
  const starts = g.integers(axes.map(() => 0))
  return g.op('Slice', [value, starts, g.integers(axes.map((axis) => shape[axis]!)), g.integers(axes)])
}
