/**
 * Mixed precision (Micikevicius et al. 2018): products of matrices and convolutions in float16, forward and backward; weights,
 * optimizer, losses, norms, softmax and sums in float32. Small gradients would vanish in float16, so the loss's gradient is
 * multiplied by a scale, and what comes out divided by it. A step whose gradients overflow is skipped and halves the scale;
 * after many good steps it doubles. All of it is a part of the graph.
 */
import type { ElementType, GraphBuilder, OperatorName, Value } from '../onnx/index.ts'
import { overOperators } from './lowering.ts'

/** The arithmetic that float16 is for; its sums of products are made in float32 by the hardware. */
const half: ReadonlySet<OperatorName> = new Set(['MatMul', 'Gemm', 'Conv', 'ConvTranspose'])
/**
 * What needs float32's range or digits: exponentials, quotients, sums over many elements; and maxima, whose rules look for
 * them again among what they were taken of, which has to have the same digits both times.
 */
const single: ReadonlySet<OperatorName> = new Set([
  'Exp',
  'Log',
  'Pow',
  'Sqrt',
  'Reciprocal',
  'Softplus',
  'Softmax',
  'LogSoftmax',
  'LayerNormalization',
  'ReduceSum',
  'ReduceMean',
  'ReduceSumSquare',
  'ReduceL2',
  'ReduceMax',
  'ReduceMin',
  'MaxPool',
])
const isFloat = (type: ElementType): boolean => type === 'float16' || type === 'float32'

/**
 * The same builder, which casts what nodes are given: to float16, to float32, or, where both meet, to float32. Casts are
 * nodes with a gradient rule of their own, so the way back has the same types.
 */
export function inMixedPrecision(g: GraphBuilder): GraphBuilder {
  const casts = new Map<string, Value>()
  const as = (value: Value, type: ElementType): Value => {
    if (value.type === type) return value
    const key = `${type} ${value.name}`
    const cast = casts.get(key) ?? g.cast(value, type)
    casts.set(key, cast)
    return cast
  }
  return overOperators(g, (op, inputs, attributes, count, label) => {
    const floats = inputs.flatMap((value) => (value !== undefined && isFloat(value.type) ? [value.type] : []))
    if (op === 'Cast' || floats.length === 0) return g.ops(op, inputs, attributes, count, label)
    const wide = single.has(op) || (!half.has(op) && floats.includes('float32'))
    const type = wide ? 'float32' : 'float16'
    const given = inputs.map((value) => (value !== undefined && isFloat(value.type) ? as(value, type) : value))
    return g.ops(op, given, attributes, count, label)
  })
}

/** PyTorch's: 2^16 is the largest scale that float16 can hold next to gradients below 1, and 2,000 steps a few minutes. */
const firstExponent = 16
const calmSteps = 2000
/** Larger sums of squares than this are an overflow; so is no number. */
const largestSum = 3e38

/** Carried from step to step; all zeros at first, as all of an optimizer's state is. */
export const scalingState = [
  /** The scale is 2^(16 + this). */
  { name: 'loss:scale', shape: [] },
  /** Steps since the scale changed. */
  { name: 'loss:calm', shape: [] },
] as const

export interface LossScaling {
  /** By which the loss's gradient is multiplied. */
  readonly scale: Value
  /** The gradients as they are, in float32. `rate`: a factor for all of them. */
  unscaled(gradients: readonly Value[], rate: Value | undefined): Value[]
  /** What is carried: as computed where no gradient overflowed, else as it was; and the state's own next values. */
  guard(before: ReadonlyMap<string, Value>, next: ReadonlyMap<string, Value>): Map<string, Value>
}

/** @param slots what is carried into the step, with `scalingState` */
export function appendLossScaling(g: GraphBuilder, slots: ReadonlyMap<string, Value>): LossScaling {
  const number = (value: number): Value => g.scalar('float32', value)
  const [change, calm] = scalingState.map(({ name }) => slots.get(name)!) as [Value, Value]
  const scale = g.op('Pow', [number(2), g.op('Add', [change, number(firstExponent)])])
  let finite: Value | undefined
  return {
    scale,
    unscaled: (gradients, rate) => {
      const wide = gradients.map((gradient) => g.cast(gradient, 'float32'))
      const squares = wide.map((gradient) => g.op('ReduceSumSquare', [gradient], { keepdims: 0 }))
      finite = g.op('Less', [squares.reduce((sum, square) => g.op('Add', [sum, square])), number(largestSum)])
      const factor = g.op('Div', [rate ?? number(1), scale])
      return wide.map((gradient) => g.op('Mul', [gradient, factor]))
    },
    guard: (before, next) => {
      const good = finite!
      const guarded = new Map([...next].map(([name, value]) => [name, g.op('Where', [good, value, before.get(name)!])]))
      const count = g.op('Add', [calm, number(1)])
      const due = g.op('GreaterOrEqual', [count, number(calmSteps)])
      const raised = g.op('Where', [due, g.op('Add', [change, number(1)]), change])
      // Not below 1, where only gradients that are no numbers overflow.
      const lowered = g.op('Max', [g.op('Sub', [change, number(1)]), number(-firstExponent)])
      guarded.set(scalingState[0].name, g.op('Where', [good, raised, lowered]))
      const goesOn = g.op('Where', [due, number(0), count])
      return guarded.set(scalingState[1].name, g.op('Where', [good, goesOn, number(0)]))
    },
  }
}
