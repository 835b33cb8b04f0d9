/** Operators that move elements and change none: shapes, orders, parts. */
import type { Value } from '../../onnx/index.ts'
import {
  attribute,
  fromFront,
  input,
  integersAt,
  type Rule,
  type RuleContext,
  type RuleTable,
  reshape,
  shapeOf,
  size,
  unbroadcast,
  zeros,
} from './rule.ts'

const reshapeBack: Rule = (c) => reshape(c.g, c.dy, shapeOf(input(c, 0)))

export const shapes: RuleTable = {
  Reshape: [reshapeBack],
  Flatten: [reshapeBack],
  Unsqueeze: [reshapeBack],
  Squeeze: [reshapeBack],
  Expand: [(c) => unbroadcast(c.g, c.dy, input(c, 0))],
  Transpose: [
    (c) => {
      const rank = c.dy.shape.length
      const perm = attribute<readonly number[]>(
        c,
        'perm',
        Array.from({ length: rank }, (_, axis) => rank - 1 - axis),
      )
      return c.g.op('Transpose', [c.dy], { perm: perm.map((_, axis) => perm.indexOf(axis)) })
    },
  ],
  // Each input takes its part of dy.
  Concat: (at) => (c) => {
    const axis = fromFront(attribute(c, 'axis', 0), c.dy.shape.length)
    const sizes = c.step.inputs.map((_, index) => shapeOf(input(c, index))[axis]!)
    const start = sizes.slice(0, at).reduce((sum, length) => sum + length, 0)
    return part(c, c.dy, axis, start, start + sizes[at]!)
  },
  // The outputs' gradients side by side; where nothing depends on an output, zeros.
  Split: [
    (c) => {
      const parts = c.step.outputs.map((value, at) => c.gradients[at] ?? zeros(c.g, value.type, shapeOf(value)))
      return c.g.op('Concat', parts, { axis: attribute(c, 'axis', 0) })
    },
  ],
  // Each repeat's gradient, added up.
  Tile: [
    (c) => {
      const [shape, repeats] = [shapeOf(input(c, 0)), integersAt(c, 1)!]
      const apart = shape.flatMap((length, axis) => [repeats[axis]!, length])
      const axes = c.g.integers(shape.map((_, axis) => 2 * axis))
      return c.g.op('ReduceSum', [reshape(c.g, c.dy, apart), axes], { keepdims: 0 })
    },
  ],
  Trilu: [(c) => c.g.op('Trilu', [c.dy, c.step.inputs[1]], { upper: attribute(c, 'upper', 1) })],
  Slice: [sliceRule],
  // What was added is cut off again: the pads with their signs turned.
  Pad: [
    (c) => {
      const pads = integersAt(c, 1)!.map((pad) => -pad)
      return c.g.op('Pad', [c.dy, c.g.integers(pads), undefined, c.step.inputs[3]])
    },
  ],
  Gather: [gatherRule],
  // What is summed up comes back from all that comes after.
  CumSum: [
    (c) =>
      c.g.op('CumSum', [c.dy, c.step.inputs[1]], {
        exclusive: attribute(c, 'exclusive', 0),
        reverse: 1 - attribute(c, 'reverse', 0),
      }),
  ],
  // What is written over gets nothing; what is added to, all.
  ScatterElements: [
    (c) => {
      if (attribute<string>(c, 'reduction', 'none') === 'add') return c.dy
      const axis = attribute(c, 'axis', 0)
      return c.g.op('ScatterElements', [c.dy, input(c, 1), zeros(c.g, c.dy.type, shapeOf(input(c, 1)))], { axis })
    },
    undefined,
    (c) => c.g.op('GatherElements', [c.dy, input(c, 1)], { axis: attribute(c, 'axis', 0) }),
  ],
  ScatterND: [
    (c) => c.g.op('ScatterND', [c.dy, input(c, 1), zeros(c.g, c.dy.type, shapeOf(input(c, 2)))]),
    undefined,
    (c) => c.g.op('GatherND', [c.dy, input(c, 1)]),
  ],
  GatherElements: [
    (c) =>
      c.g.op('ScatterElements', [zeros(c.g, c.dy.type, shapeOf(input(c, 0))), input(c, 1), c.dy], {
        axis: attribute(c, 'axis', 0),
        reduction: 'add',
      }),
  ],
}

function part(c: RuleContext, value: Value, axis: number, start: number, end: number): Value {
  const { g } = c
  return g.op('Slice', [value, g.integers([start]), g.integers([end]), g.integers([axis])])
}

/** Zeros around the slice, and between its elements where it has a step. */
function sliceRule(c: RuleContext): Value {
  const { g } = c
  const shape = shapeOf(input(c, 0))
  const starts = integersAt(c, 1)!
  const axes = (integersAt(c, 3) ?? starts.map((_, at) => at)).map((axis) => fromFront(axis, shape.length))
  const steps = integersAt(c, 4) ?? starts.map(() => 1)
  let dy = c.dy
  axes.forEach((axis, at) => {
    const [length, count] = [shape[axis]!, shapeOf(dy)[axis]!]
    if (length === count && steps[at] === 1) return
    const indices = Array.from({ length: count }, (_, index) => index * steps[at]!)
    const first = Math.min(Math.max(starts[at]! < 0 ? starts[at]! + length : starts[at]!, 0), length - 1)
    if (steps[at] === 1) {
      const pads = [...shapeOf(dy), ...shapeOf(dy)].map(() => 0)
      pads[axis] = first
      pads[axis + shape.length] = length - first - count
      dy = g.op('Pad', [dy, g.integers(pads)])
      return
    }
    const whole = shapeOf(dy).with(axis, length)
    const places = g.constant(
      'int64',
      shapeOf(dy).map((_, other) => (other === axis ? count : 1)),
      indices.map((index) => index + first),
    )
    const spread = g.op('Expand', [places, g.integers(shapeOf(dy))])
    dy = g.op('ScatterElements', [zeros(g, dy.type, whole), spread, dy], { axis })
  })
  return dy
}

/**
 * Rows are added back where they came from. ScatterND(add) would lose updates when threads meet; this operator does not.
 * Along another axis than the first, that axis is brought to the front and back.
 */
function gatherRule(c: RuleContext): Value {
  const { g } = c
  const [table, indices] = [input(c, 0), input(c, 1)]
  const shape = shapeOf(table)
  const axis = fromFront(attribute(c, 'axis', 0), shape.length)
  const [count, rows] = [size(indices), shape[axis]!]
  const rest = shape.toSpliced(axis, 1)
  const width = rest.reduce((product, length) => product * length, 1)
  const rank = c.dy.shape.length
  const own = Array.from({ length: indices.shape.length }, (_, at) => axis + at)
  const front = [...own, ...Array.from({ length: rank }, (_, at) => at).filter((at) => !own.includes(at))]
  const rowsFirst = axis === 0 ? c.dy : g.op('Transpose', [c.dy], { perm: front })
  const spread = g.op('Expand', [reshape(g, indices, [count, 1]), g.integers([count, width])])
  const updates = reshape(g, rowsFirst, [count, width])
  const sum = g.op('ScatterElements', [zeros(g, c.dy.type, [rows, width]), spread, updates], {
    axis: 0,
    reduction: 'add',
  })
  const inFront = reshape(g, sum, [rows, ...rest])
  if (axis === 0) return inFront
  const back = Array.from({ length: shape.length }, (_, at) => (at === axis ? 0 : at < axis ? at + 1 : at))
  return g.op('Transpose', [inFront], { perm: back })
}
