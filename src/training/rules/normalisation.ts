/** Normalisations: of features (LayerNormalization), and of channels with given statistics (BatchNormalization). */
import type { Value } from '../../onnx/index.ts'
import { attribute, fromFront, input, pass, type RuleContext, type RuleTable, reshape, shapeOf, times } from './rule.ts'

export const normalisation: RuleTable = {
  LayerNormalization: [
    // (dys - mean(dys) - n mean(dys n)) / deviation, with n the normalised input and dys = dy scale
    (c) => {
      const { normal, inverse } = normalised(c)
      const dys = c.g.op('Mul', [c.dy, input(c, 1)])
      const along = c.g.op('Mul', [normal, average(c, c.g.op('Mul', [dys, normal]))])
      return c.g.op('Mul', [c.g.op('Sub', [c.g.op('Sub', [dys, average(c, dys)]), along]), inverse])
    },
    times(1, (c) => normalised(c).normal),
    pass(2),
  ],
  // Of mean and variance nothing is learned: in inference they are given.
  BatchNormalization: [
    (c) => c.g.op('Mul', [c.dy, perChannel(c, c.g.op('Mul', [input(c, 1), channelDeviation(c)]))]),
    (c) => {
      const centred = c.g.op('Sub', [input(c, 0), perChannel(c, input(c, 3))])
      return c.g.op('Mul', [sumOfChannels(c, c.g.op('Mul', [c.dy, centred])), channelDeviation(c)])
    },
    (c) => sumOfChannels(c, c.dy),
  ],
}

/** 1 / sqrt(variance + epsilon) */
function channelDeviation(c: RuleContext): Value {
  const epsilon = c.g.scalar(c.dy.type, attribute(c, 'epsilon', 1e-5))
  return c.g.op('Reciprocal', [c.g.op('Sqrt', [c.g.op('Add', [input(c, 4), epsilon])])])
}
/** [C] as [C, 1, ...]. */
function perChannel(c: RuleContext, value: Value): Value {
  const spatial = shapeOf(c.dy).slice(2)
  return spatial.length === 0 ? value : reshape(c.g, value, [shapeOf(value)[0]!, ...spatial.map(() => 1)])
}
function sumOfChannels(c: RuleContext, value: Value): Value {
  const axes = shapeOf(value).flatMap((_, axis) => (axis === 1 ? [] : [axis]))
  return c.g.op('ReduceSum', [value, c.g.integers(axes)], { keepdims: 0 })
}

/** Mean over the normalised axes, kept as 1. */
function average(c: RuleContext, value: Value): Value {
  const rank = input(c, 0).shape.length
  const from = fromFront(attribute(c, 'axis', -1), rank)
  const axes = Array.from({ length: rank - from }, (_, at) => from + at)
  return c.g.op('ReduceMean', [value, c.g.integers(axes)], { keepdims: 1 })
}

/** (x - mean) / deviation, over the normalised axes. */
function normalised(c: RuleContext): { readonly normal: Value; readonly inverse: Value } {
  const { mean, inverse } = statistics(c)
  return { normal: c.g.op('Mul', [c.g.op('Sub', [input(c, 0), mean]), inverse]), inverse }
}

/** Those that the forward node gives, where it does and they are exact enough. */
function statistics(c: RuleContext): { readonly mean: Value; readonly inverse: Value } {
  const x = input(c, 0)
  const [, given, givenInverse] = c.step.outputs
  if (given !== undefined && givenInverse !== undefined && x.type === 'float32') {
    return { mean: given, inverse: givenInverse }
  }
  const mean = average(c, x)
  const centred = c.g.op('Sub', [x, mean])
  const epsilon = c.g.scalar(x.type, attribute(c, 'epsilon', 1e-5))
  const variance = c.g.op('Add', [average(c, c.g.op('Mul', [centred, centred])), epsilon])
  return { mean, inverse: c.g.op('Reciprocal', [c.g.op('Sqrt', [variance])]) }
}
