/** Language models of the GPT family: GPT-2 (Radford et al. 2019) by default, Llama (Touvron et al. 2023) by its choices. */
import type { Value } from '../../onnx/index.ts'
import { defineModel, type ModelBuilder, type TrainableModel, within } from '../define-model.ts'
import { normal } from '../initialisers.ts'
import { dense, embedding, layerNorm, rmsNorm, silu, widthOf } from '../layers.ts'

export interface TransformerShape {
  readonly layers: number
  readonly heads: number
  /** Heads of keys and values, which several heads of queries share (Ainslie et al. 2023); by default as many. */
  readonly keyHeads?: number
  readonly width: number
  readonly context: number
  readonly vocabulary: number
  /** `rotary` turns queries and keys by their place (Su et al. 2021). */
  readonly positions?: 'learned' | 'rotary'
  /** `silu` is gated (Shazeer 2020, "SwiGLU"). */
  readonly activation?: 'gelu' | 'gelu-tanh' | 'silu'
  readonly norm?: 'layer' | 'rms'
  readonly bias?: boolean
}

/** Shapes without vocabulary and context; the largest four are GPT-2's. */
export const transformerSizes = {
  tiny: { layers: 2, heads: 2, width: 64 },
  small: { layers: 4, heads: 4, width: 128 },
  medium: { layers: 6, heads: 6, width: 384 },
  gpt2: { layers: 12, heads: 12, width: 768 },
  'gpt2-medium': { layers: 24, heads: 16, width: 1024 },
  'gpt2-large': { layers: 36, heads: 20, width: 1280 },
  'gpt2-xl': { layers: 48, heads: 25, width: 1600 },
} as const

const maskedScore = -1e9

/** `tokens` int32 [batch, sequence] -> `logits` [batch, sequence, vocabulary]. */
export function transformer(shape: TransformerShape): TrainableModel {
  const { layers, width, context, vocabulary, positions = 'learned', norm = 'layer' } = shape
  const normalise = norm === 'layer' ? layerNorm : rmsNorm
  return defineModel('transformer', (m) => {
    const { g } = m
    const tokens = g.input('tokens', 'int32', ['batch', 'sequence'])
    const length = g.op('Squeeze', [g.op('Shape', [tokens], { start: 1, end: 2 }), g.integers([0])])
    const places = g.op('Range', [g.scalar('int64', 0), length, g.scalar('int64', 1)])
    let x = embedding(m, 'token', tokens, { rows: vocabulary, width, table: normal(0.02) })
    if (positions === 'learned') {
      x = g.op('Add', [x, embedding(m, 'position', places, { rows: context, width, table: normal(0.02) })])
    }
    // From here on, all positions of all sequences are the rows of one matrix.
    x = g.op('Reshape', [x, g.integers([-1, width])])
    const attend = { tokens, places, mask: causalMask(m, places) }
    for (let layer = 0; layer < layers; layer++) {
      const own = within(m, layer)
      x = g.op('Add', [x, attention(within(own, 'attention'), normalise(own, 'before', x), shape, attend)])
      x = g.op('Add', [x, feedForward(within(own, 'mlp'), normalise(own, 'between', x), shape)])
    }
    const logits = dense(m, 'head', normalise(m, 'final', x), vocabulary, { weights: normal(0.02), bias: false })
    const whole = g.op('Concat', [g.op('Shape', [tokens]), g.integers([vocabulary])], { axis: 0 })
    g.output('logits', g.op('Reshape', [logits, whole]))
  })
}

/** What is added to the rows begins smaller, the more often that happens (Radford et al. 2019, section 2.3). */
const addedBack = ({ layers }: TransformerShape) => normal(0.02 / Math.sqrt(2 * layers))

function attention(
  m: ModelBuilder,
  x: Value,
  shape: TransformerShape,
  { tokens, places, mask }: { readonly tokens: Value; readonly places: Value; readonly mask: Value },
): Value {
  const { g } = m
  const { heads, width, keyHeads = heads, positions, norm = 'layer', bias = norm === 'layer' } = shape
  const [each, shared] = [width / heads, heads / keyHeads]
  /** [batch, keyHeads, shared, sequence, each], or of the keys' heads without `shared`. */
  const project = (name: string, sizes: readonly number[]): Value => {
    const outputs = sizes.reduce((product, size) => product * size, each)
    const rows = dense(m, name, x, outputs, { weights: normal(0.02), bias })
    const split = g.op('Concat', [g.op('Shape', [tokens]), g.integers([...sizes, each])], { axis: 0 })
    const perm = sizes.length === 2 ? [0, 2, 3, 1, 4] : [0, 2, 1, 3]
    return g.op('Transpose', [g.op('Reshape', [rows, split])], { perm })
  }
  const turn = (value: Value): Value => (positions === 'rotary' ? rotated(m, value, places) : value)
  const spread = (value: Value): Value => (shared === 1 ? value : g.op('Unsqueeze', [value, g.integers([2])]))
  const scale = g.scalar('float32', 1 / Math.sqrt(each))
  const query = g.op('Mul', [turn(project('query', shared === 1 ? [heads] : [keyHeads, shared])), scale])
  const key = turn(project('key', [keyHeads]))
  const value = project('value', [keyHeads])
  const exchanged = shared === 1 ? [0, 1, 3, 2] : [0, 1, 2, 4, 3]
  const columns = g.op('Transpose', [spread(key)], { perm: exchanged })
  const scores = g.op('Add', [g.op('MatMul', [query, columns]), mask])
  const mixed = g.op('MatMul', [g.op('Softmax', [scores], { axis: -1 }), spread(value)])
  const together = g.op('Transpose', [mixed], { perm: shared === 1 ? [0, 2, 1, 3] : [0, 3, 1, 2, 4] })
  const rows = g.op('Reshape', [together, g.integers([-1, width])])
  return dense(m, 'output', rows, width, { weights: addedBack(shape), bias })
}

/** Each pair of numbers (i, i + half) of a head turned by an angle that grows with the place. */
function rotated({ g }: ModelBuilder, x: Value, places: Value): Value {
  const half = widthOf(x) / 2
  const speeds = Array.from({ length: half }, (_, at) => 10_000 ** (-at / half))
  const column = g.op('Unsqueeze', [g.cast(places, 'float32'), g.integers([1])])
  const angles = g.op('Mul', [column, g.constant('float32', [1, 2 * half], [...speeds, ...speeds])])
  const [a, b] = g.ops('Split', [x, g.integers([half, half])], { axis: -1 }, 2)
  const turned = g.op('Concat', [g.op('Neg', [b!]), a!], { axis: -1 })
  return g.op('Add', [g.op('Mul', [x, g.op('Cos', [angles])]), g.op('Mul', [turned, g.op('Sin', [angles])])])
}

function feedForward(m: ModelBuilder, x: Value, shape: TransformerShape): Value {
  const { g } = m
  const { width, activation = 'gelu', norm = 'layer', bias = norm === 'layer' } = shape
  const into = (name: string): Value => dense(m, name, x, 4 * width, { weights: normal(0.02), bias })
  const hidden =
    activation === 'silu'
      ? g.op('Mul', [silu(m, into('gate')), into('input')])
      : g.op('Gelu', [into('input')], { approximate: activation === 'gelu' ? 'none' : 'tanh' })
  return dense(m, 'output', hidden, width, { weights: addedBack(shape), bias })
}

/** [sequence, sequence]: 0 where the column is not after the row. */
function causalMask({ g }: ModelBuilder, places: Value): Value {
  const row = g.op('Unsqueeze', [places, g.integers([1])])
  const column = g.op('Unsqueeze', [places, g.integers([0])])
  return g.op('Mul', [g.cast(g.op('Greater', [column, row]), 'float32'), g.scalar('float32', maskedScore)])
}
