/**
 * The operators that the runtime has in float32 alone, made of others that it has in float64 too: so that gradients
 * can be checked to more digits than float32 holds. Independent of the rules, and slow.
 */
import {
  createGraphBuilder,
  type Graph,
  type GraphBuilder,
  inlineGraph,
  type Model,
  opset,
  staticShape,
  type Value,
} from '../../src/onnx/index.ts'

type Lowering = (g: GraphBuilder, inputs: readonly Value[], attributes: Attributes) => Value
class Attributes {
  readonly #values: Readonly<Record<string, unknown>>
  constructor(values: Readonly<Record<string, unknown>>) {
    this.#values = values
  }
  get<T>(name: string, otherwise: T): T {
    return (this.#values[name] as T | undefined) ?? otherwise
  }
}

const f = (g: GraphBuilder, value: number): Value => g.scalar('float64', value)
const reshape = (g: GraphBuilder, value: Value, shape: readonly number[]): Value =>
  g.op('Reshape', [value, g.integers(shape)])
/** All places of a kernel. */
const taps = (kernel: readonly number[]): number[][] =>
  kernel.reduce<number[][]>(
    (all, length) => all.flatMap((tap) => Array.from({ length }, (_, at) => [...tap, at])),
    [[]],
  )
const product = (sizes: readonly number[]): number => sizes.reduce((all, size) => all * size, 1)
const spatialAxes = (count: number): number[] => Array.from({ length: count }, (_, axis) => axis + 2)

function windowOf(attributes: Attributes, kernel: readonly number[]) {
  const ones = kernel.map(() => 1)
  return {
    strides: attributes.get('strides', ones),
    dilations: attributes.get('dilations', ones),
    pads: attributes.get(
      'pads',
      [...kernel, ...kernel].map(() => 0),
    ),
    group: attributes.get('group', 1),
  }
}

/** For one place of the kernel, what each window sees there: [N, C, ...windows]. */
function seen(
  g: GraphBuilder,
  padded: Value,
  tap: readonly number[],
  counts: readonly number[],
  w: ReturnType<typeof windowOf>,
): Value {
  const starts = tap.map((at, axis) => at * w.dilations[axis]!)
  const ends = starts.map((start, axis) => start + (counts[axis]! - 1) * w.strides[axis]! + 1)
  const axes = spatialAxes(tap.length)
  return g.op('Slice', [padded, g.integers(starts), g.integers(ends), g.integers(axes), g.integers(w.strides)])
}
function padded(g: GraphBuilder, x: Value, pads: readonly number[]): Value {
  const axes = pads.length / 2
  return g.op('Pad', [x, g.integers([0, 0, ...pads.slice(0, axes), 0, 0, ...pads.slice(axes)])])
}
/** The weights of one place: [group, rows / group, columns]. */
function at(g: GraphBuilder, weights: Value, tap: readonly number[], group: number): Value {
  const [rows, columns] = staticShape(weights.shape)
  const ends = tap.map((place) => place + 1)
  const slice = g.op('Slice', [weights, g.integers(tap), g.integers(ends), g.integers(spatialAxes(tap.length))])
  return reshape(g, slice, [group, rows! / group, columns!])
}
function biased(g: GraphBuilder, y: Value, bias: Value | undefined): Value {
  if (bias === undefined) return y
  return g.op('Add', [y, reshape(g, bias, [-1, ...y.shape.slice(2).map(() => 1)])])
}

const conv: Lowering = (g, [x, weights, bias], attributes) => {
  const [filters, , ...kernel] = staticShape(weights!.shape)
  const w = windowOf(attributes, kernel)
  const [batch, channels, ...spatial] = staticShape(x!.shape)
  const counts = spatial.map((size, axis) => {
    const whole = size + w.pads[axis]! + w.pads[axis + kernel.length]!
    return Math.floor((whole - w.dilations[axis]! * (kernel[axis]! - 1) - 1) / w.strides[axis]!) + 1
  })
  const all = padded(g, x!, w.pads)
  const parts = taps(kernel).map((tap) => {
    const columns = reshape(g, seen(g, all, tap, counts, w), [batch!, w.group, channels! / w.group, product(counts)])
    return g.op('MatMul', [at(g, weights!, tap, w.group), columns])
  })
  const sum = parts.reduce((a, b) => g.op('Add', [a, b]))
  return biased(g, reshape(g, sum, [batch!, filters!, ...counts]), bias)
}

const convTranspose: Lowering = (g, [x, weights, bias], attributes) => {
  const [, perGroup, ...kernel] = staticShape(weights!.shape)
  const w = windowOf(attributes, kernel)
  const extra = attributes.get(
    'output_padding',
    kernel.map(() => 0),
  )
  const [batch, channels, ...spatial] = staticShape(x!.shape)
  const reach = spatial.map((size, axis) => (size - 1) * w.strides[axis]! + 1)
  const whole = reach.map((size, axis) => size + w.dilations[axis]! * (kernel[axis]! - 1) + extra[axis]!)
  const columns = reshape(g, x!, [batch!, w.group, channels! / w.group, product(spatial)])
  const parts = taps(kernel).map((tap) => {
    const transposed = g.op('Transpose', [at(g, weights!, tap, w.group)], { perm: [0, 2, 1] })
    let y = reshape(g, g.op('MatMul', [transposed, columns]), [batch!, perGroup! * w.group, ...spatial])
    // Zeros between the elements, and around them.
    spatial.forEach((size, axis) => {
      const shape = staticShape(y.shape)
      const apart = reshape(g, y, shape.toSpliced(axis + 3, 0, 1))
      const pads = [...apart.shape, ...apart.shape].map(() => 0)
      pads[apart.shape.length + axis + 3] = w.strides[axis]! - 1
      const spread = g.op('Pad', [apart, g.integers(pads)])
      const joined = reshape(g, spread, shape.with(axis + 2, size * w.strides[axis]!))
      y = g.op('Slice', [joined, g.integers([0]), g.integers([reach[axis]!]), g.integers([axis + 2])])
    })
    const before = tap.map((place, axis) => place * w.dilations[axis]!)
    return padded(g, y, [...before, ...before.map((start, axis) => whole[axis]! - reach[axis]! - start)])
  })
  const sum = parts.reduce((a, b) => g.op('Add', [a, b]))
  return biased(
    g,
    padded(
      g,
      sum,
      w.pads.map((pad) => -pad),
    ),
    bias,
  )
}

const averagePool: Lowering = (g, [x], attributes) => {
  const kernel = attributes.get<readonly number[]>('kernel_shape', [])
  const w = windowOf(attributes, kernel)
  const counted = attributes.get<number>('count_include_pad', 0) === 1
  const ones = reshape(g, g.constant('float64', [], [1]), [1, 1, ...kernel.map(() => 1)])
  const [batch, channels, ...spatial] = staticShape(x!.shape)
  const present = g.op('Expand', [ones, g.integers([batch!, channels!, ...spatial])])
  const [all, weights] = [padded(g, x!, w.pads), padded(g, present, w.pads)]
  const counts = spatial.map((size, axis) => {
    const room = size + w.pads[axis]! + w.pads[axis + kernel.length]! - w.dilations[axis]! * (kernel[axis]! - 1) - 1
    return Math.floor(room / w.strides[axis]!) + 1
  })
  const sumOf = (value: Value): Value =>
    taps(kernel)
      .map((tap) => seen(g, value, tap, counts, w))
      .reduce((a, b) => g.op('Add', [a, b]))
  return g.op('Div', [sumOf(all), counted ? f(g, product(kernel)) : sumOf(weights)])
}

/** 2 / sqrt(pi) sum (-1)^n x^(2n + 1) / (n! (2n + 1)), to 1e-12 for |x| < 2.5. */
const erf: Lowering = (g, [x]) => {
  const square = g.op('Mul', [x!, x!])
  const terms = 45
  let factorial = 1
  const factors = Array.from({ length: terms }, (_, n) => {
    factorial *= n === 0 ? 1 : n
    return ((n % 2 === 0 ? 1 : -1) * 2) / Math.sqrt(Math.PI) / factorial / (2 * n + 1)
  })
  const horner = factors.reduceRight((sum, factor) => g.op('Add', [g.op('Mul', [sum, square]), f(g, factor)]), f(g, 0))
  return g.op('Mul', [x!, horner])
}

const gelu: Lowering = (g, [x], attributes) => {
  const half = g.op('Mul', [x!, f(g, 0.5)])
  if (attributes.get<string>('approximate', 'none') === 'none') {
    const share = erf(g, [g.op('Mul', [x!, f(g, Math.SQRT1_2)])], attributes)
    return g.op('Mul', [half, g.op('Add', [share, f(g, 1)])])
  }
  const cube = g.op('Mul', [g.op('Mul', [x!, x!]), g.op('Mul', [x!, f(g, 0.044715)])])
  const inner = g.op('Mul', [g.op('Add', [x!, cube]), f(g, Math.sqrt(2 / Math.PI))])
  return g.op('Mul', [half, g.op('Add', [g.op('Tanh', [inner]), f(g, 1)])])
}

const hardSigmoid = (g: GraphBuilder, x: Value, alpha: number, beta: number): Value => {
  const line = g.op('Add', [g.op('Mul', [x, f(g, alpha)]), f(g, beta)])
  return g.op('Max', [g.op('Min', [line, f(g, 1)]), f(g, 0)])
}

const lowerings: Readonly<Record<string, Lowering>> = {
  Conv: conv,
  ConvTranspose: convTranspose,
  AveragePool: averagePool,
  GlobalAveragePool: (g, [x]) =>
    g.op('ReduceMean', [x!, g.integers(spatialAxes(x!.shape.length - 2))], { keepdims: 1 }),
  Erf: erf,
  Gelu: gelu,
  Elu: (g, [x], attributes) => {
    const below = g.op('Mul', [g.op('Sub', [g.op('Exp', [x!]), f(g, 1)]), f(g, attributes.get('alpha', 1))])
    return g.op('Where', [g.op('Greater', [x!, f(g, 0)]), x!, below])
  },
  Selu: (g, [x], attributes) => {
    const [alpha, gamma] = [attributes.get('alpha', 1.6732632423543772), attributes.get('gamma', 1.0507009873554805)]
    const below = g.op('Mul', [g.op('Sub', [g.op('Exp', [x!]), f(g, 1)]), f(g, alpha)])
    return g.op('Mul', [g.op('Where', [g.op('Greater', [x!, f(g, 0)]), x!, below]), f(g, gamma)])
  },
  Celu: (g, [x], attributes) => {
    const alpha = f(g, attributes.get('alpha', 1))
    const below = g.op('Mul', [g.op('Sub', [g.op('Exp', [g.op('Div', [x!, alpha])]), f(g, 1)]), alpha])
    return g.op('Where', [g.op('Greater', [x!, f(g, 0)]), x!, below])
  },
  ThresholdedRelu: (g, [x], attributes) =>
    g.op('Where', [g.op('Greater', [x!, f(g, attributes.get('alpha', 1))]), x!, f(g, 0)]),
  PRelu: (g, [x, slope]) => g.op('Where', [g.op('Greater', [x!, f(g, 0)]), x!, g.op('Mul', [x!, slope!])]),
  HardSigmoid: (g, [x], attributes) => hardSigmoid(g, x!, attributes.get('alpha', 0.2), attributes.get('beta', 0.5)),
  HardSwish: (g, [x]) => g.op('Mul', [x!, hardSigmoid(g, x!, 1 / 6, 0.5)]),
  Mish: (g, [x]) => {
    const soft = g.op('Log', [g.op('Add', [g.op('Exp', [x!]), f(g, 1)])])
    return g.op('Mul', [x!, g.op('Tanh', [soft])])
  },
  Softsign: (g, [x]) => g.op('Div', [x!, g.op('Add', [g.op('Abs', [x!]), f(g, 1)])]),
  Tan: (g, [x]) => g.op('Div', [g.op('Sin', [x!]), g.op('Sin', [g.op('Add', [x!, f(g, Math.PI / 2)])])]),
  // By halving the angle twice, and the series there.
  Atan: (g, [x]) => {
    const half = (value: Value): Value => {
      const root = g.op('Sqrt', [g.op('Add', [g.op('Mul', [value, value]), f(g, 1)])])
      return g.op('Div', [value, g.op('Add', [root, f(g, 1)])])
    }
    const small = half(half(half(x!)))
    const square = g.op('Mul', [small, small])
    const terms = Array.from({ length: 14 }, (_, n) => (n % 2 === 0 ? 1 : -1) / (2 * n + 1))
    const series = terms.reduceRight((sum, term) => g.op('Add', [g.op('Mul', [sum, square]), f(g, term)]), f(g, 0))
    return g.op('Mul', [g.op('Mul', [small, series]), f(g, 8)])
  },
  ReduceL1: (g, [x, axes]) => g.op('ReduceSum', [g.op('Abs', [x!]), axes], { keepdims: 1 }),
  ReduceLogSum: (g, [x, axes]) => g.op('Log', [g.op('ReduceSum', [x!, axes], { keepdims: 1 })]),
  ReduceLogSumExp: (g, [x, axes]) => g.op('Log', [g.op('ReduceSum', [g.op('Exp', [x!]), axes], { keepdims: 1 })]),
  LeakyRelu: (g, [x], attributes) => {
    const negative = g.op('Mul', [x!, f(g, attributes.get('alpha', 0.01))])
    return g.op('Where', [g.op('Greater', [x!, f(g, 0)]), x!, negative])
  },
  Cos: (g, [x]) => g.op('Sin', [g.op('Add', [x!, f(g, Math.PI / 2)])]),
  Softplus: (g, [x]) => g.op('Log', [g.op('Add', [g.op('Exp', [x!]), f(g, 1)])]),
  ReduceL2: (g, [x, axes]) => g.op('Sqrt', [g.op('ReduceSumSquare', [x!, axes], { keepdims: 1 })]),
}

/** The same graph for a runtime that has these operators in float32 alone. */
export function inFloat64(graph: Graph): Model {
  const g = createGraphBuilder(graph.name)
  const lowered: GraphBuilder = {
    ...g,
    ops: (op, inputs, attributes, count, label) => {
      const lowering = inputs[0]?.type === 'float64' ? lowerings[op] : undefined
      if (lowering === undefined) return g.ops(op, inputs, attributes, count, label)
      const given = new Attributes(attributes as Record<string, unknown>)
      const value = lowering(g, inputs as Value[], given)
      if (!op.startsWith('Reduce') || given.get<number>('keepdims', 1) === 1) return [value]
      const all = g.integers(inputs[0]!.shape.map((_, axis) => axis))
      return [g.op('Squeeze', [value, inputs[1] ?? all])]
    },
  }
  const feeds = new Map(graph.inputs.map(({ name, type, shape }) => [name, g.input(name, type, shape)]))
  for (const [name, value] of inlineGraph(lowered, graph, feeds)) g.output(name, value)
  return { opset, graph: g.graph() }
}
