/**
 * A GPT over bytes: pre-LayerNorm blocks (Radford et al. 2019), learned positions, and, beside each byte's own vector,
 * vectors of the hashed pair and triple of bytes that end there (Svenstrup et al. 2017, "Hash embeddings"). The local
 * statistics of text are thereby learned by table within seconds, and the blocks learn what tables cannot.
 */
import {
  createGraphBuilder,
  createRandom,
  decodeModel,
  encodeModel,
  type GraphBuilder,
  parameterLayout,
  type Value,
} from '../onnx/index.ts'
import type { ModelDescription } from './index.ts'

const layerNormEpsilon = 1e-5
/** Width of a block's hidden layer, in widths of the model. */
const mlpRatio = 4
/** Added to the scores of later positions; exp of it is 0 in float32. */
const masked = -1e9

/** The forward graph: `tokens` int32 [batch, sequence] -> `logits` float32 [batch, sequence, vocabulary]. */
export function gptGraph(description: ModelDescription): Uint8Array {
  const { layers, heads, width, context, vocabulary, pairBuckets: pairs, tripleBuckets: triples } = description
  const g = createGraphBuilder('gpt')
  const tokens = g.input('tokens', 'int32', ['batch', 'sequence'])
  const weights = (name: string, ...shape: number[]): Value => g.input(name, 'float32', shape)

  const positions = g.op('Range', [
    g.scalar('int64', 0),
    g.op('Squeeze', [g.op('Shape', [tokens], { start: 1, end: 2 }), g.integers([0])]),
    g.scalar('int64', 1),
  ])
  const before = (distance: number): Value => {
    const at = g.op('Max', [g.op('Sub', [positions, g.scalar('int64', distance)]), g.scalar('int64', 0)])
    return g.op('Gather', [tokens, at], { axis: 1 })
  }
  let x = g.op('Add', [
    g.op('Gather', [weights('token.embedding', vocabulary, width), tokens]),
    g.op('Gather', [weights('position.embedding', context, width), positions]),
  ])
  if (pairs > 0) {
    const hash = mix(g, [before(1), tokens], pairs)
    x = g.op('Add', [x, g.op('Gather', [weights('pair.embedding', pairs, width), hash])])
  }
  if (triples > 0) {
    const hash = mix(g, [before(2), before(1), tokens], triples)
    x = g.op('Add', [x, g.op('Gather', [weights('triple.embedding', triples, width), hash])])
  }
  const rows = g.integers([-1, width])
  x = g.op('Reshape', [x, rows])
  const perHead = g.op('Concat', [g.op('Shape', [tokens]), g.integers([heads, width / heads])], { axis: 0 })
  const mask = causalMask(g, positions)
  const scale = g.scalar('float32', Math.sqrt(heads / width))
  for (let layer = 0; layer < layers; layer++) {
    const part = (name: string): string => `${layer}.${name}`
    const a = normalise(g, x, weights(part('attention.scale'), width))
    const project = (name: string, perm: number[]): Value => {
      const flat = g.op('MatMul', [a, weights(part(name), width, width)])
      return g.op('Transpose', [g.op('Reshape', [flat, perHead])], { perm })
    }
    const query = g.op('Mul', [project('attention.query', [0, 2, 1, 3]), scale])
    const key = project('attention.key', [0, 2, 3, 1])
    const value = project('attention.value', [0, 2, 1, 3])
    const scores = g.op('Add', [g.op('MatMul', [query, key]), mask])
    const mixed = g.op('MatMul', [g.op('Softmax', [scores], { axis: -1 }), value])
    const joined = g.op('Reshape', [g.op('Transpose', [mixed], { perm: [0, 2, 1, 3] }), rows])
    x = g.op('Add', [x, g.op('MatMul', [joined, weights(part('attention.output'), width, width)])])
    const b = normalise(g, x, weights(part('mlp.scale'), width))
    const hiddenWidth = mlpRatio * width
    const hidden = activate(g, g.op('MatMul', [b, weights(part('mlp.in'), width, hiddenWidth)]))
    x = g.op('Add', [x, g.op('MatMul', [hidden, weights(part('mlp.out'), hiddenWidth, width)])])
  }
  const last = normalise(g, x, weights('final.scale', width))
  const logits = g.op('MatMul', [last, weights('head', width, vocabulary)])
  const shape = g.op('Concat', [g.op('Shape', [tokens]), g.integers([vocabulary])], { axis: 0 })
  g.output('logits', g.op('Reshape', [logits, shape]))
  return encodeModel(g.model())
}

function normalise(g: GraphBuilder, x: Value, scale: Value): Value {
  return g.ops('LayerNormalization', [x, scale], { axis: -1, epsilon: layerNormEpsilon }, 3)[0]!
}

/** Squared ReLU (So et al. 2021, "Primer"): as good as GELU here, at a quarter of its elementwise work. */
function activate(g: GraphBuilder, x: Value): Value {
  const positive = g.op('Relu', [x])
  return g.op('Mul', [positive, positive])
}

/** A bucket for the bytes of a sequence: their number in base 256, modulo the buckets, which should be a prime. */
function mix(g: GraphBuilder, bytes: readonly Value[], buckets: number): Value {
  const base = g.scalar('int32', 256)
  const [first, ...rest] = bytes
  const number = rest.reduce((sum, byte) => g.op('Add', [g.op('Mul', [sum, base]), byte]), first!)
  return g.op('Mod', [number, g.scalar('int32', buckets)])
}

/** [sequence, sequence]: 0 where the column is not after the row. */
function causalMask(g: GraphBuilder, positions: Value): Value {
  const row = g.op('Unsqueeze', [positions, g.integers([1])])
  const column = g.op('Unsqueeze', [positions, g.integers([0])])
  return g.op('Mul', [g.cast(g.op('Greater', [column, row]), 'float32'), g.scalar('float32', masked)])
}

/**
 * Initial weights, the same for a seed on every machine: uniform, of standard deviation 0.02 for embeddings and
 * 1/sqrt(inputs) for matrices; zero for what writes to the residual stream and for the head, so that a block starts as the identity.
 */
export function initialParameters(description: ModelDescription, seed: number): Float32Array {
  const { entries, length } = parameterLayout(decodeModel(gptGraph(description)))
  const parameters = new Float32Array(length)
  const random = createRandom(seed)
  for (const { name, shape, offset } of entries) {
    const count = shape.reduce((product, size) => product * size, 1)
    if (name.endsWith('.scale')) parameters.fill(1, offset, offset + count)
    else if (/output$|mlp.out$|^head$/.test(name)) continue
    else {
      const deviation = name.endsWith('embedding') ? 0.02 : 1 / Math.sqrt(shape[0]!)
      for (let i = 0; i < count; i++) parameters[offset + i] = (random.unit() * 2 - 1) * Math.sqrt(3) * deviation
    }
  }
  return parameters
}
