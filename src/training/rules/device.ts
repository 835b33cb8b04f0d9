/**
 * Rules for devices on which thousands of elements are computed at once: no operator that wants indices of a maximum, and
 * no sums by atomic additions, whose order changes from run to run.
 */
import type { Value } from '../../onnx/index.ts'
import { maxPoolRule, sideBySide } from './pooling.ts'
import { attribute, fromFront, input, type Rule, type RuleContext, reshape, shapeOf, size } from './rule.ts'

/** Up to so many rows of a table, indices become a matrix of zeros and ones; of more, that matrix would be most of the work. */
export const maxOneHotRows = 4096

/** Below any number, and finite: a place outside is multiplied by the zeros of a kernel. */
const lowest: Readonly<Partial<Record<Value['type'], number>>> = { float16: -65504, float32: -3e38, float64: -1e300 }

/**
 * Windows side by side are compared with their maximum, as on the CPU. Where they overlap, or have pads or gaps, each
 * gradient goes to the first element of its window that is the maximum, as with indices: a convolution with a one at each
 * place of the window takes its elements out, and the transposed one brings their gradients back.
 */
export const maxPoolByMask: Rule = (c) => {
  const { g, dy } = c
  const x = input(c, 0)
  const [batch, channels, ...spatial] = shapeOf(x) as [number, number, ...number[]]
  const windows = shapeOf(dy).slice(2)
  const kernel = attribute<readonly number[]>(c, 'kernel_shape', [])
  if (sideBySide(c, kernel)) return maxPoolRule(c)
  const ones = kernel.map(() => 1)
  const strides = attribute(c, 'strides', ones)
  const dilations = attribute(c, 'dilations', ones)
  const before = attribute(
    c,
    'pads',
    [...kernel, ...kernel].map(() => 0),
  ).slice(0, kernel.length)
  const reach = windows.map((count, axis) => (count - 1) * strides[axis]! + dilations[axis]! * (kernel[axis]! - 1) + 1)
  // What the windows see: the input with what is added before, and after it as far as they reach, or less.
  const after = spatial.map((length, axis) => reach[axis]! - length - before[axis]!)
  const pads = [0, 0, ...before, 0, 0, ...after]
  const seen = pads.every((pad) => pad === 0)
    ? x
    : g.op('Pad', [x, g.integers(pads), g.scalar(x.type, lowest[x.type] ?? 0)])
  const taps = kernel.reduce((product, length) => product * length, 1)
  const places = Array.from({ length: channels * taps * taps }, (_, at) =>
    Number(Math.floor(at / taps) % taps === at % taps),
  )
  const select = g.constant(x.type, [channels * taps, 1, ...kernel], places)
  const taken = g.op('Conv', [seen, select], { strides, dilations, group: channels })
  const elements = reshape(g, taken, [batch, channels, taps, ...windows])
  // Of equal elements the first has the highest rank. The maximum is taken anew, of what the convolution gave: a device
  // that rounds there finds its maximum all the same.
  const ranks = g.constant(
    x.type,
    [1, 1, taps, ...ones],
    Array.from({ length: taps }, (_, at) => taps - at),
  )
  const largest = (value: Value): Value =>
    g.cast(g.op('Equal', [value, g.op('ReduceMax', [value, g.integers([2])], { keepdims: 1 })]), value.type)
  const first = largest(g.op('Mul', [largest(elements), ranks]))
  const shares = g.op('Mul', [g.cast(first, dy.type), g.op('Unsqueeze', [dy, g.integers([2])])])
  const apart = reshape(g, shares, [batch, channels * taps, ...windows])
  const back = g.op('ConvTranspose', [apart, g.cast(select, dy.type)], { strides, dilations, group: channels })
  return pads.every((pad) => pad === 0) ? back : g.op('Pad', [back, g.integers(pads.map((pad) => -pad))])
}

/** A product of ones at the indices with the gradient's rows; for large tables, the rule that is given. */
export const gatherByProduct =
  (otherwise: Rule, maxRows: number): Rule =>
  (c) => {
    const { g, dy } = c
    const [table, indices] = [input(c, 0), input(c, 1)]
    const shape = shapeOf(table)
    const axis = fromFront(attribute(c, 'axis', 0), shape.length)
    const rows = shape[axis]!
    if (axis !== 0 || rows > maxRows) return otherwise(c)
    const [count, width] = [size(indices), size(table) / rows]
    return reshape(g, g.op('Gemm', [oneHot(c, indices, rows), reshape(g, dy, [count, width])], { transA: 1 }), shape)
  }

/** [count, rows]: 1 at each index, which may count from the end. */
function oneHot({ g, dy }: RuleContext, indices: Value, rows: number): Value {
  const column = g.cast(reshape(g, indices, [size(indices), 1]), 'int32')
  const fromEnd = g.op('Less', [column, g.scalar('int32', 0)])
  const places = g.op('Where', [fromEnd, g.op('Add', [column, g.scalar('int32', rows)]), column])
  const all = g.constant(
    'int32',
    [1, rows],
    Array.from({ length: rows }, (_, row) => row),
  )
  return g.cast(g.op('Equal', [places, all]), dy.type)
}
