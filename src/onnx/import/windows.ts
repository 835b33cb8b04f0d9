/** Convolution and pooling, whose pads a file may leave to be calculated, and channels that become places. */
import { OwmError } from '../../lib/index.ts'
import { type Conversion, inputOf, intOf, intsOf, op, ops, reshaped, sizeOf, stringOf, transposed } from './node.ts'

/** Pads as numbers, where the file asks for the same size: more at the end (or the start) of each axis. */
function padsOf(c: Parameters<Conversion>[0], kernel: readonly number[]): readonly number[] | undefined {
  const mode = stringOf(c, 'auto_pad', 'NOTSET')
  if (mode === 'NOTSET' || mode === '') return intsOf(c, 'pads', undefined)
  if (mode === 'VALID') return undefined
  if (mode !== 'SAME_UPPER' && mode !== 'SAME_LOWER') throw new OwmError('bad_graph', `Pads of the kind ${mode}.`)
  const strides = intsOf(c, 'strides', undefined)
  const dilations = intsOf(c, 'dilations', undefined)
  const totals = kernel.map((length, axis) => {
    const [size, stride] = [sizeOf(inputOf(c, 0), axis + 2), strides?.[axis] ?? 1]
    const reach = (Math.ceil(size / stride) - 1) * stride + (dilations?.[axis] ?? 1) * (length - 1) + 1
    return Math.max(0, reach - size)
  })
  const lower = totals.map((total) => (mode === 'SAME_LOWER' ? Math.ceil(total / 2) : Math.floor(total / 2)))
  return [...lower, ...totals.map((total, axis) => total - lower[axis]!)]
}
const kernelOf = (c: Parameters<Conversion>[0]): readonly number[] => intsOf(c, 'kernel_shape', undefined) ?? []
const windowOf = (c: Parameters<Conversion>[0], kernel: readonly number[]) => ({
  strides: intsOf(c, 'strides', undefined),
  dilations: intsOf(c, 'dilations', undefined),
  pads: padsOf(c, kernel),
})

export const conv =
  (name: 'Conv' | 'ConvTranspose'): Conversion =>
  (c) => {
    const weights = inputOf(c, 1)
    const kernel = weights.shape.slice(2).map((_, axis) => sizeOf(weights, axis + 2))
    const shared = { ...windowOf(c, kernel), group: intOf(c, 'group', 1) }
    if (name === 'Conv') return [op(c, 'Conv', c.inputs, shared)]
    if (c.node.attributes['output_shape'] !== undefined || stringOf(c, 'auto_pad', 'NOTSET').startsWith('SAME')) {
      throw new OwmError('unsupported_model', 'A transposed convolution whose output is given instead of its pads.')
    }
    return [op(c, 'ConvTranspose', c.inputs, { ...shared, output_padding: intsOf(c, 'output_padding', undefined) })]
  }

export const maxPool: Conversion = (c) => {
  const kernel = kernelOf(c)
  const attributes = { ...windowOf(c, kernel), kernel_shape: kernel, ceil_mode: intOf(c, 'ceil_mode', 0) }
  return ops(c, 'MaxPool', [inputOf(c, 0)], attributes, c.node.outputs.length)
}
export const averagePool: Conversion = (c) => {
  const kernel = kernelOf(c)
  const counted = { ceil_mode: intOf(c, 'ceil_mode', 0), count_include_pad: intOf(c, 'count_include_pad', 0) }
  return [op(c, 'AveragePool', [inputOf(c, 0)], { ...windowOf(c, kernel), kernel_shape: kernel, ...counted })]
}
export const globalMaxPool: Conversion = (c) => {
  const x = inputOf(c, 0)
  const axes = x.shape.map((_, axis) => axis).slice(2)
  return [op(c, 'ReduceMax', [x, c.g.integers(axes)], { keepdims: 1 })]
}

/** Channels become squares of places, in one of two orders (Shi et al. 2016). */
export const depthToSpace: Conversion = (c) => {
  const x = inputOf(c, 0)
  const side = intOf(c, 'blocksize', 1)
  const [channels, height, width] = [1, 2, 3].map((axis) => sizeOf(x, axis)) as [number, number, number]
  const rows = stringOf(c, 'mode', 'DCR') === 'CRD'
  const depth = channels / side ** 2
  const split = reshaped(c, x, rows ? [0, depth, side, side, height, width] : [0, side, side, depth, height, width])
  const moved = transposed(c, split, rows ? [0, 1, 4, 2, 5, 3] : [0, 3, 4, 1, 5, 2])
  return [reshaped(c, moved, [0, depth, height * side, width * side])]
}
export const spaceToDepth: Conversion = (c) => {
  const x = inputOf(c, 0)
  const side = intOf(c, 'blocksize', 1)
  const [channels, height, width] = [1, 2, 3].map((axis) => sizeOf(x, axis)) as [number, number, number]
  const split = reshaped(c, x, [0, channels, height / side, side, width / side, side])
  return [reshaped(c, transposed(c, split, [0, 3, 5, 1, 2, 4]), [0, channels * side ** 2, height / side, width / side])]
}
