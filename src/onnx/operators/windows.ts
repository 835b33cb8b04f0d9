/** Operators whose windows slide over the axes after the first two: convolution and pooling, of any number of axes. */
import { OwmError } from '../../lib/index.ts'
import type { Dimension } from '../model.ts'
import { need, operator, sameTypes, type Typed } from './operator.ts'

/** How windows lie; one number per spatial axis, of `pads` the starts and then the ends. */
export interface Windows {
  readonly kernel: readonly number[]
  readonly strides: readonly number[]
  readonly pads: readonly number[]
  readonly dilations: readonly number[]
}
interface WindowAttributes {
  readonly strides?: readonly number[] | undefined
  readonly pads?: readonly number[] | undefined
  readonly dilations?: readonly number[] | undefined
  readonly auto_pad?: string | undefined
}
const windowForms = { strides: 'ints', pads: 'ints', dilations: 'ints', auto_pad: 'string' } as const
/** A window or a step beyond this is a mistake, or meant to overflow something. */
const maxExtent = 65_536

/** The windows with all defaults filled in. @throws OwmError `bad_graph` */
export function windowsOf(attributes: WindowAttributes, kernel: readonly number[]): Windows {
  const ones = kernel.map(() => 1)
  const { strides = ones, dilations = ones, pads = [...kernel, ...kernel].map(() => 0) } = attributes
  if ((attributes.auto_pad ?? 'NOTSET') !== 'NOTSET') throw new OwmError('bad_graph', 'Pads are given as numbers here.')
  const fits = (list: readonly number[], length: number, least: number): boolean =>
    list.length === length && list.every((value) => value >= least && value <= maxExtent)
  const axes = kernel.length
  if (!fits(kernel, axes, 1) || !fits(strides, axes, 1) || !fits(dilations, axes, 1) || !fits(pads, 2 * axes, 0)) {
    throw new OwmError('bad_graph', 'Kernel, strides, dilations and pads do not fit.')
  }
  return { kernel, strides, dilations, pads }
}

/** How many windows there are along each axis. With `ceil`, the last may hang over the end. */
function windowCounts(spatial: readonly Dimension[], windows: Windows, ceil = false): Dimension[] {
  const { kernel, strides, pads, dilations } = windows
  if (spatial.length !== kernel.length) throw new OwmError('bad_graph', `A window of ${kernel.length} axes.`)
  return spatial.map((size, axis) => {
    if (typeof size === 'string') throw new OwmError('bad_graph', `Windows along ${size}, which is not known.`)
    const padded = size + pads[axis]! + pads[axis + kernel.length]!
    const steps = (padded - dilations[axis]! * (kernel[axis]! - 1) - 1) / strides[axis]!
    if (steps < 0) throw new OwmError('bad_graph', `A window larger than what it slides over (${padded}).`)
    // A window that would start beyond the end and its first pad is left out.
    const last = Math.ceil(steps)
    const whole = ceil && last * strides[axis]! < size + pads[axis]! ? last : Math.floor(steps)
    return whole + 1
  })
}

function numbers(sizes: readonly Dimension[]): number[] {
  return sizes.map((size) => {
    if (typeof size === 'string') throw new OwmError('bad_graph', `A kernel of size ${size}.`)
    return size
  })
}
function checkBias(inputs: readonly (Typed | undefined)[], channels: Dimension): void {
  const bias = inputs[2]
  if (bias !== undefined && bias.shape.join() !== String(channels)) {
    throw new OwmError('bad_graph', `A bias of shape [${bias.shape.join(', ')}] for ${channels} channels.`)
  }
}

const pooling = (withIndices: boolean) =>
  operator(
    { kernel_shape: 'ints', ...windowForms, ceil_mode: 'int', count_include_pad: 'int', storage_order: 'int' },
    (inputs, { kernel_shape = [], ceil_mode = 0, storage_order = 0, ...rest }, count) => {
      const { type, shape } = need(inputs, 0)
      if (storage_order !== 0) throw new OwmError('bad_graph', 'Indices by columns.')
      const windows = windowsOf(rest, kernel_shape)
      const pooled = [...shape.slice(0, 2), ...windowCounts(shape.slice(2), windows, ceil_mode === 1)]
      const outputs: Typed[] = [{ type, shape: pooled }]
      if (withIndices) outputs.push({ type: 'int64', shape: pooled })
      return outputs.slice(0, count)
    },
  )

export const windowOperators = {
  /** [N, C, ...] with [M, C / group, ...] -> [N, M, ...] */
  Conv: operator({ kernel_shape: 'ints', ...windowForms, group: 'int' }, (inputs, { group = 1, ...rest }) => {
    const [x, w] = [need(inputs, 0), need(inputs, 1)]
    const windows = windowsOf(rest, numbers(w.shape.slice(2)))
    const [channels, filters, perGroup] = numbers([x.shape[1]!, w.shape[0]!, w.shape[1]!])
    if (group < 1 || channels !== perGroup! * group || filters! % group !== 0) {
      throw new OwmError('bad_graph', `${channels} channels with [${w.shape.join(', ')}] in ${group} groups.`)
    }
    checkBias(inputs, filters!)
    return [{ type: sameTypes([x, w]), shape: [x.shape[0]!, filters!, ...windowCounts(x.shape.slice(2), windows)] }]
  }),
  /** [N, C, ...] with [C, M / group, ...] -> [N, M, ...], the transpose of the convolution of the same attributes. */
  ConvTranspose: operator(
    { kernel_shape: 'ints', ...windowForms, group: 'int', output_padding: 'ints' },
    (inputs, { group = 1, output_padding, ...rest }) => {
      const [x, w] = [need(inputs, 0), need(inputs, 1)]
      const { kernel, strides, pads, dilations } = windowsOf(rest, numbers(w.shape.slice(2)))
      const [channels, first, perGroup] = numbers([x.shape[1]!, w.shape[0]!, w.shape[1]!])
      if (group < 1 || channels !== first || channels! % group !== 0) {
        throw new OwmError('bad_graph', `${channels} channels with [${w.shape.join(', ')}] in ${group} groups.`)
      }
      const extra = output_padding ?? kernel.map(() => 0)
      if (
        extra.length !== kernel.length ||
        extra.some((size, axis) => size < 0 || size >= maxOf(strides, dilations, axis))
      ) {
        throw new OwmError('bad_graph', 'Output padding that is no smaller than the stride.')
      }
      const spatial = numbers(x.shape.slice(2)).map((size, axis) => {
        const reach = (size - 1) * strides[axis]! + dilations[axis]! * (kernel[axis]! - 1) + 1
        const full = reach + extra[axis]! - pads[axis]! - pads[axis + kernel.length]!
        if (full < 1) throw new OwmError('bad_graph', 'Pads that cut off all there is.')
        return full
      })
      checkBias(inputs, perGroup! * group)
      return [{ type: sameTypes([x, w]), shape: [x.shape[0]!, perGroup! * group, ...spatial] }]
    },
  ),
  MaxPool: pooling(true),
  AveragePool: pooling(false),
  GlobalAveragePool: operator({}, (inputs) => {
    const { type, shape } = need(inputs, 0)
    return [{ type, shape: shape.map((size, axis) => (axis < 2 ? size : 1)) }]
  }),
  /** Values at the places that `MaxPool` gives, in a tensor of the given shape; elsewhere 0. */
  MaxUnpool: operator({ kernel_shape: 'ints', strides: 'ints', pads: 'ints' }, (inputs) => {
    const given = need(inputs, 2).known
    if (given === undefined) throw new OwmError('bad_graph', 'A shape that depends on data.')
    return [{ type: need(inputs, 0).type, shape: given }]
  }),
} as const

function maxOf(strides: readonly number[], dilations: readonly number[], axis: number): number {
  return Math.max(strides[axis]!, dilations[axis]!)
}
