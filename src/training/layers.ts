/** Layers: a few nodes each, with their parameters. */
import type { Value } from '../onnx/index.ts'
import { type ModelBuilder, within } from './define-model.ts'
import { glorot, type Initialiser, ones, zeros } from './initialisers.ts'

/** Rows [n, inputs] -> [n, outputs]. */
export function dense(
  m: ModelBuilder,
  name: string,
  rows: Value,
  outputs: number,
  { weights = glorot, bias = true }: { readonly weights?: Initialiser; readonly bias?: boolean } = {},
): Value {
  const own = within(m, name)
  const weight = own.parameter('weight', [widthOf(rows), outputs], weights)
  return m.g.op('Gemm', bias ? [rows, weight, own.parameter('bias', [outputs], zeros)] : [rows, weight])
}

/** [n, channels, h, w] -> [n, filters, h, w]: padded so that the size stays. */
export function convolution(m: ModelBuilder, name: string, x: Value, filters: number, kernel: number): Value {
  const own = within(m, name)
  const weight = own.parameter('weight', [filters, Number(x.shape[1]), kernel, kernel], glorot)
  const [before, after] = [Math.floor((kernel - 1) / 2), Math.ceil((kernel - 1) / 2)]
  return m.g.op('Conv', [x, weight, own.parameter('bias', [filters], zeros)], { pads: [before, before, after, after] })
}

/** The largest of each square. */
export function maxPool(m: ModelBuilder, x: Value, length: number): Value {
  const square = [length, length]
  return m.g.op('MaxPool', [x], { kernel_shape: square, strides: square })
}

/** Rows of a table, by indices of any shape. */
export function embedding(
  m: ModelBuilder,
  name: string,
  indices: Value,
  { rows, width, table }: { readonly rows: number; readonly width: number; readonly table: Initialiser },
): Value {
  return m.g.op('Gather', [within(m, name).parameter('embedding', [rows, width], table), indices])
}

/** Ba et al. 2016. Mean and deviation are outputs too: the gradient uses them. */
export function layerNorm(m: ModelBuilder, name: string, x: Value): Value {
  const own = within(m, name)
  const [scale, bias] = [own.parameter('scale', [widthOf(x)], ones), own.parameter('bias', [widthOf(x)], zeros)]
  return m.g.ops('LayerNormalization', [x, scale, bias], { axis: -1, epsilon: 1e-5 }, 3)[0]!
}

/** Zhang and Sennrich 2019. */
export function rmsNorm(m: ModelBuilder, name: string, x: Value): Value {
  const { g } = m
  const mean = g.op('ReduceMean', [g.op('Mul', [x, x]), g.integers([-1])], { keepdims: 1 })
  const root = g.op('Sqrt', [g.op('Add', [mean, g.scalar('float32', 1e-5)])])
  return g.op('Mul', [g.op('Div', [x, root]), within(m, name).parameter('scale', [widthOf(x)], ones)])
}

/** x sigmoid(x) (Elfwing et al. 2017). */
export function silu(m: ModelBuilder, x: Value): Value {
  return m.g.op('Mul', [x, m.g.op('Sigmoid', [x])])
}

export function widthOf(x: Value): number {
  return Number(x.shape.at(-1))
}
