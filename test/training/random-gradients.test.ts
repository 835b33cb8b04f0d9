/** Gradient rules with random shapes, broadcasting, strides, groups and axes, and over random compositions of them. */
import * as assert from 'uvu/assert'
import {
  createGraphBuilder,
  createRandom,
  encodeModel,
  type GraphBuilder,
  openSession,
  type Random,
  staticShape,
  type Value,
} from '../../src/onnx/index.ts'
import { appendGradients } from '../../src/training/autodiff.ts'
import { suite } from '../suite.ts'
import { inFloat64 } from './float64.ts'
import { type Check, checkGradients } from './gradient-check.ts'

const test = suite('gradient rules, at random')

/** Enough to meet every branch; the seed of one that fails is in its message. */
const rounds = 12

const between = (random: Random, low: number, high: number): number => low + random.below(high - low + 1)
const pick = <T>(random: Random, list: readonly T[]): T => list[random.below(list.length)]!
const list = (count: number, of: () => number): number[] => Array.from({ length: count }, of)
/** A shape that broadcasts to the given one. */
const narrowed = (random: Random, shape: readonly number[]): number[] =>
  shape.slice(random.below(shape.length)).map((size) => (random.below(3) === 0 ? 1 : size))

function windows(random: Random, axes: number, kernel: readonly number[]) {
  return {
    strides: list(axes, () => between(random, 1, 3)),
    dilations: list(axes, () => between(random, 1, 2)),
    pads: list(2 * axes, () => random.below(Math.min(...kernel, 3))),
  }
}

const kinds: Readonly<Record<string, (random: Random) => Check>> = {
  Conv: (random) => {
    const axes = between(random, 1, 2)
    const group = between(random, 1, 3)
    const kernel = list(axes, () => between(random, 1, 3))
    const [into, out] = [between(random, 1, 2), between(random, 1, 2)]
    const attributes = { ...windows(random, axes, kernel), group }
    const shapes = [
      [between(random, 1, 2), into * group, ...list(axes, () => between(random, 5, 7))],
      [out * group, into, ...kernel],
    ]
    if (random.below(2) === 0) shapes.push([out * group])
    return { shapes, use: (g, ...inputs) => g.op('Conv', inputs, attributes) }
  },
  ConvTranspose: (random) => {
    const axes = between(random, 1, 2)
    const group = between(random, 1, 2)
    const kernel = list(axes, () => between(random, 1, 3))
    const [into, out] = [between(random, 1, 2), between(random, 1, 2)]
    const lay = windows(random, axes, kernel)
    const extra = lay.strides.map((stride, axis) => random.below(Math.max(stride, lay.dilations[axis]!)))
    const attributes = { ...lay, group, output_padding: extra }
    const shapes = [
      [between(random, 1, 2), into * group, ...list(axes, () => between(random, 4, 5))],
      [into * group, out, ...kernel],
    ]
    if (random.below(2) === 0) shapes.push([out * group])
    return { shapes, use: (g, ...inputs) => g.op('ConvTranspose', inputs, attributes) }
  },
  MaxPool: (random) => {
    const kernel = list(2, () => between(random, 1, 3))
    const attributes = { kernel_shape: kernel, ...windows(random, 2, kernel) }
    const shape = [between(random, 1, 2), 2, between(random, 5, 7), between(random, 5, 7)]
    return { shapes: [shape], spaced: true, use: (g, x) => g.op('MaxPool', [x], attributes) }
  },
  AveragePool: (random) => {
    const kernel = list(2, () => between(random, 1, 3))
    // The runtime's average has no dilations before opset 19, and few use them.
    const lay = { ...windows(random, 2, kernel), dilations: [1, 1] }
    const attributes = { kernel_shape: kernel, ...lay, count_include_pad: random.below(2) }
    const shape = [between(random, 1, 2), 2, between(random, 5, 7), between(random, 5, 7)]
    return { shapes: [shape], use: (g, x) => g.op('AveragePool', [x], attributes) }
  },
  Gemm: (random) => {
    const [rows, inner, columns] = [between(random, 1, 4), between(random, 1, 4), between(random, 1, 4)]
    const [transA, transB] = [random.below(2), random.below(2)]
    const attributes = { transA, transB, alpha: 0.5 + random.unit(), beta: 0.5 + random.unit() }
    const a = transA === 1 ? [inner, rows] : [rows, inner]
    const b = transB === 1 ? [columns, inner] : [inner, columns]
    return {
      shapes: [a, b, narrowed(random, [rows, columns])],
      use: (g, ...inputs) => g.op('Gemm', inputs, attributes),
    }
  },
  MatMul: (random) => {
    const batch = list(between(random, 1, 2), () => between(random, 1, 3))
    const [rows, inner, columns] = [between(random, 1, 3), between(random, 1, 3), between(random, 1, 3)]
    const left = [...(random.below(2) === 0 ? batch : narrowed(random, batch)), rows, inner]
    const right = [...(random.below(2) === 0 ? batch : narrowed(random, batch)), inner, columns]
    return { shapes: [left, right], use: (g, a, b) => g.op('MatMul', [a, b]) }
  },
  'binary operators with broadcasting': (random) => {
    const shape = list(between(random, 1, 3), () => between(random, 1, 4))
    const [a, b] = random.below(2) === 0 ? [shape, narrowed(random, shape)] : [narrowed(random, shape), shape]
    const op = pick(random, ['Add', 'Sub', 'Mul', 'Div', 'Pow'] as const)
    return { shapes: [a, b], from: 0.5, use: (g, x, y) => g.op(op, [x, y]) }
  },
  'reductions over any axes': (random) => {
    const shape = list(3, () => between(random, 1, 4))
    const axes = [0, 1, 2].filter(() => random.below(2) === 0).map((axis) => axis - 3 * random.below(2))
    const op = pick(random, [
      'ReduceSum',
      'ReduceMean',
      'ReduceMax',
      'ReduceMin',
      'ReduceSumSquare',
      'ReduceL2',
    ] as const)
    const chosen = axes.length === 0 ? [1] : axes
    const keepdims = random.below(2)
    return { shapes: [shape], from: 0.5, spaced: true, use: (g, x) => g.op(op, [x, g.integers(chosen)], { keepdims }) }
  },
  'Softmax, LogSoftmax, LayerNormalization along any axis': (random) => {
    const shape = list(3, () => between(random, 2, 4))
    const axis = random.below(6) - 3
    const op = pick(random, ['Softmax', 'LogSoftmax', 'LayerNormalization'] as const)
    if (op !== 'LayerNormalization') return { shapes: [shape], use: (g, x) => g.op(op, [x], { axis }) }
    const scale = shape.slice(axis)
    return { shapes: [shape, scale, scale], use: (g, ...inputs) => g.op(op, inputs, { axis, epsilon: 1e-3 }) }
  },
  'Transpose, Concat, Split': (random) => {
    const shape = list(3, () => between(random, 2, 4))
    const perm = pick(random, [
      [0, 2, 1],
      [1, 2, 0],
      [2, 0, 1],
      [2, 1, 0],
    ])
    const axis = random.below(3)
    const size = shape[axis]!
    const cut = between(random, 1, size - 1)
    return {
      shapes: [shape],
      use: (g, x) => {
        const [a, b] = g.ops('Split', [x, g.integers([cut, size - cut])], { axis }, 2)
        return g.op('Transpose', [g.op('Concat', [b!, x, a!], { axis })], { perm })
      },
    }
  },
  'Slice, Pad': (random) => {
    const shape = list(2, () => between(random, 3, 6))
    const step = pick(random, [1, 2, -1, -2])
    const axis = random.below(2)
    const [start, end] = step > 0 ? [random.below(2), shape[axis]! - random.below(2)] : [-1 - random.below(2), -99]
    const pads = list(4, () => between(random, -1, 2))
    return {
      shapes: [shape],
      use: (g, x) => {
        const slice = g.op('Slice', [x, g.integers([start]), g.integers([end]), g.integers([axis]), g.integers([step])])
        const fits = slice.shape.every((size, at) => Number(size) + pads[at]! + pads[at + 2]! > 0)
        return fits ? g.op('Pad', [slice, g.integers(pads)]) : slice
      },
    }
  },
  'Gather, GatherElements along any axis': (random) => {
    const shape = list(3, () => between(random, 2, 3))
    const axis = random.below(6) - 3
    const size = shape.at(axis)!
    const element = (): number => random.below(size)
    return {
      shapes: [shape],
      use: (g, x) => {
        if (random.below(2) === 0) return g.op('Gather', [x, g.constant('int64', [2, 2], list(4, element))], { axis })
        const places = g.constant(
          'int64',
          shape,
          list(
            shape.reduce((a, b) => a * b),
            element,
          ),
        )
        return g.op('GatherElements', [x, places], { axis })
      },
    }
  },
}

for (const [title, kind] of Object.entries(kinds)) {
  test(`${title}`, async () => {
    for (let seed = 1; seed <= rounds; seed++) {
      const random = createRandom(seed * 1000 + title.length)
      const check = kind(random)
      try {
        await checkGradients(check, random)
      } catch (error) {
        throw new Error(`seed ${seed}, shapes ${JSON.stringify(check.shapes)}`, { cause: error })
      }
    }
  })
}

test('what stands for the runtime’s operators in float64 gives what they give in float32', async () => {
  for (const title of ['Conv', 'ConvTranspose', 'AveragePool', 'MaxPool']) {
    for (let seed = 1; seed <= 4; seed++) {
      const { shapes, use } = kinds[title]!(createRandom(seed))
      const run = async (type: 'float32' | 'float64'): Promise<number[][]> => {
        const random = createRandom(seed)
        const g = createGraphBuilder('twice')
        const inputs = shapes.map((shape, at) => g.input(`x${at}`, type, shape))
        const y = use(g, ...inputs)
        appendGradients(g, { value: y, gradient: g.op('Mul', [y, y]) }, inputs).forEach((dx, at) => {
          g.output(`d${at}`, dx)
        })
        const feeds = shapes.map((shape, at) => {
          const data = Float32Array.from({ length: shape.reduce((a, b) => a * b) }, () => random.unit() - 0.5)
          return [`x${at}`, { type, shape, data: type === 'float32' ? data : Float64Array.from(data) }] as const
        })
        const session = await openSession(encodeModel(type === 'float32' ? g.model() : inFloat64(g.graph())), {
          threads: 1,
        })
        const results = await session.run(Object.fromEntries(feeds))
        await session.release()
        return shapes.map((_, at) => Array.from(results[`d${at}`]!.data, Number))
      }
      const [single, double] = [(await run('float32')).flat(), (await run('float64')).flat()]
      for (const i of double.keys()) {
        assert.ok(Math.abs(single[i]! - double[i]!) < 1e-4, `${title}, seed ${seed}: ${single[i]}, not ${double[i]}`)
      }
    }
  }
})

/** Steps from a matrix and a spare matrix of the same shape to a matrix, all of them smooth. */
const pieces: readonly ((g: GraphBuilder, x: Value, other: Value) => Value)[] = [
  (g, x, other) => g.op('Add', [x, g.op('Tanh', [other])]),
  (g, x, other) => g.op('Mul', [x, g.op('Sigmoid', [other])]),
  (g, x) => g.op('Gelu', [x]),
  (g, x) => g.op('Softplus', [x]),
  (g, x) => g.op('Softmax', [x], { axis: -1 }),
  (g, x, other) => g.op('Div', [x, g.op('Exp', [other])]),
  (g, x, other) => {
    const [rows] = staticShape(x.shape) as [number, number]
    const gram = g.op('MatMul', [x, g.op('Transpose', [other], { perm: [1, 0] })])
    return g.op('MatMul', [g.op('Mul', [gram, g.scalar('float64', 1 / rows)]), x])
  },
  (g, x, other) => g.op('LayerNormalization', [g.op('Sub', [x, other]), row(g, other)], { axis: -1, epsilon: 0.1 }),
  (g, x) => g.op('Sub', [x, g.op('ReduceMean', [x, g.integers([0])], { keepdims: 1 })]),
  (g, x, other) => {
    const [, columns] = staticShape(x.shape) as [number, number]
    const joined = g.op('Concat', [other, x], { axis: 1 })
    return g.op('Slice', [joined, g.integers([1]), g.integers([columns + 1]), g.integers([1])])
  },
  (g, x) => {
    const [rows] = staticShape(x.shape) as [number, number]
    return g.op('Gather', [
      x,
      g.constant(
        'int64',
        [rows],
        Array.from({ length: rows }, (_, at) => (at * at + 1) % rows),
      ),
    ])
  },
  (g, x) => {
    const image = g.op('Unsqueeze', [x, g.integers([0, 1])])
    const kernel = g.constant('float64', [1, 1, 3, 3], [0.1, 0.2, -0.3, 0.4, 0.5, -0.2, 0.3, -0.1, 0.2])
    return g.op('Squeeze', [g.op('Conv', [image, kernel], { pads: [1, 1, 1, 1] }), g.integers([0, 1])])
  },
]
const row = (g: GraphBuilder, x: Value): Value => g.op('ReduceMean', [x, g.integers([0])], { keepdims: 0 })

test('compositions of up to eight steps, with values used more than once', async () => {
  for (let seed = 1; seed <= 25; seed++) {
    const random = createRandom(seed)
    const shape = [between(random, 2, 4), between(random, 2, 4)]
    const names: number[] = []
    const check: Check = {
      shapes: [shape, shape],
      use: (g, a, b) => {
        const values = [a, b]
        for (let step = between(random, 3, 8); step > 0; step--) {
          const at = random.below(pieces.length)
          names.push(at)
          values.push(pieces[at]!(g, values.at(-1)!, pick(random, values)))
        }
        return g.op('Add', [values.at(-1)!, g.op('Mul', [a, b])])
      },
    }
    try {
      await checkGradients(check, random)
    } catch (error) {
      throw new Error(`seed ${seed}, pieces ${names.join()}`, { cause: error })
    }
  }
})

test('of windows side by side and of others, the largest elements take the gradient; equals share it', async () => {
  const build = (strides: readonly number[]) => {
    const g = createGraphBuilder('pool')
    const x = g.input('x', 'float32', [1, 2, 6, 6])
    const y = g.op('MaxPool', [x], { kernel_shape: [2, 2], strides })
    const dy = g.op('Mul', [y, y])
    const [dx] = appendGradients(g, { value: y, gradient: dy }, [x])
    g.output('dx', dx!)
    return { ops: g.steps.map(({ op }) => op), bytes: encodeModel(g.model()) }
  }
  const random = createRandom(1)
  const data = Float32Array.from({ length: 72 }, () => random.unit() - 0.5)
  data.set([1, 1], 0)
  const run = async (bytes: Uint8Array): Promise<Float32Array> => {
    const session = await openSession(bytes, { threads: 1 })
    const { dx } = await session.run({ x: { type: 'float32', shape: [1, 2, 6, 6], data } })
    await session.release()
    return dx!.data as Float32Array
  }
  const expected = (stride: number): Float32Array => {
    const sum = new Float32Array(72)
    for (let plane = 0; plane < 72; plane += 36) {
      for (let r = 0; r + 1 < 6; r += stride) {
        for (let c = 0; c + 1 < 6; c += stride) {
          const places = [0, 1, 6, 7].map((offset) => plane + r * 6 + c + offset)
          const best = places.reduce((a, b) => (data[b]! > data[a]! ? b : a))
          const winners = stride === 1 ? [best] : places.filter((place) => data[place] === data[best])
          for (const winner of winners) sum[winner]! += data[best]! ** 2 / winners.length
        }
      }
    }
    return sum
  }
  for (const stride of [1, 2]) {
    const { ops, bytes } = build([stride, stride])
    assert.is(ops.includes('ScatterElements'), stride === 1)
    const [actual, wanted] = [await run(bytes), expected(stride)]
    for (const i of actual.keys()) assert.ok(Math.abs(actual[i]! - wanted[i]!) < 1e-6, `element ${i}`)
  }
})

test.run()
