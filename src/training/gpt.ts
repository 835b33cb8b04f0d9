/**
 * A GPT over bytes: pre-LayerNorm blocks (Radford et al. 2019), learned positions, and, beside each byte's own vector,
 * vectors of the hashed two, three and four bytes that end there (Svenstrup et al. 2017, "Hash embeddings"). The local
 * statistics of text are thereby learned by table within seconds, and the blocks learn what tables cannot.
 */
import {
  createGraphBuilder,
  createRandom,
  decodeModel,
  elementCount,
  encodeModel,
  type GraphBuilder,
  logitsOutput,
  parameterLayout,
  tokensInput,
  type Value,
} from '../onnx/index.ts'
import { checkModel } from './description.ts'
import type { ModelDescription } from './index.ts'

const layerNormEpsilon = 1e-5
/** Width of a block's hidden layer, in widths of the model. */
const mlpRatio = 4
/**
 * Vectors are stored this much smaller than they are used. Adam moves every weight by about the learning rate; the rows
 * of the tables, most of which are seldom seen, thereby learn ten times faster than the matrices, and an update's
 * length is not all theirs.
 */
const embeddingScale = 10
/** Added to the scores of later positions; exp of it is 0 in float32. */
const masked = -1e9
/** A prime below 2^23: a longer sequence of bytes is first brought below it, so that 32 bits hold the next product. */
const hashModulus = 8_388_593

/**
 * The forward graph: `tokens` int32 [batch, sequence] -> `logits` float32 [batch, sequence, vocabulary]. The parameters
 * are inputs; none has a bias, which at this size costs time and brings nothing.
 *
 * @throws OwmError `bad_model` naming the field
 */
export function gptGraph(description: ModelDescription): Uint8Array {
  checkModel(description)
  const { layers, heads, width, vocabulary } = description
  const g = createGraphBuilder('gpt')
  const tokens = g.input(tokensInput, 'int32', ['batch', 'sequence'])
  const weights: Weights = (name, ...shape) => g.input(name, 'float32', shape)
  const length = g.op('Squeeze', [g.op('Shape', [tokens], { start: 1, end: 2 }), g.integers([0])])
  const positions = g.op('Range', [g.scalar('int64', 0), length, g.scalar('int64', 1)])

  // From here on, all positions of all sequences are the rows of one matrix.
  let x = g.op('Reshape', [embed(g, weights, tokens, positions, description), g.integers([-1, width])])
  const mask = causalMask(g, positions)
  const perHead = g.op('Concat', [g.op('Shape', [tokens]), g.integers([heads, width / heads])], { axis: 0 })
  for (let layer = 0; layer < layers; layer++) {
    const own: Weights = (name, ...shape) => weights(`${layer}.${name}`, ...shape)
    const attended = normalise(g, x, own('attention.scale', width))
    x = g.op('Add', [x, attention(g, own, attended, { heads, width, perHead, mask })])
    const hidden = normalise(g, x, own('mlp.scale', width))
    x = g.op('Add', [x, mlp(g, own, hidden, width)])
  }
  const last = normalise(g, x, weights('final.scale', width))
  const logits = g.op('MatMul', [last, weights('head', width, vocabulary)])
  const shape = g.op('Concat', [g.op('Shape', [tokens]), g.integers([vocabulary])], { axis: 0 })
  g.output(logitsOutput, g.op('Reshape', [logits, shape]))
  return encodeModel(g.model())
}

type Weights = (name: string, ...shape: number[]) => Value

/** [batch, sequence, width]: the sum of what byte, position and the last bytes together stand for. */
function embed(
  g: GraphBuilder,
  weights: Weights,
  tokens: Value,
  positions: Value,
  { width, context, vocabulary, pairBuckets, tripleBuckets, quadBuckets }: ModelDescription,
): Value {
  const table = (name: string, rows: number, indices: Value): Value =>
    g.op('Gather', [weights(`${name}.embedding`, rows, width), indices])
  /** The tokens so many places earlier; before the first, the first. */
  const earlier = (places: number): Value => {
    const at = g.op('Max', [g.op('Sub', [positions, g.scalar('int64', places)]), g.scalar('int64', 0)])
    return g.op('Gather', [tokens, at], { axis: 1 })
  }
  let x = g.op('Add', [table('token', vocabulary, tokens), table('position', context, positions)])
  const ngrams = [
    ['pair', 2, pairBuckets],
    ['triple', 3, tripleBuckets],
    ['quad', 4, quadBuckets],
  ] as const
  for (const [name, count, buckets = 0] of ngrams) {
    if (buckets === 0) continue
    const bytes = Array.from({ length: count - 1 }, (_, at) => earlier(count - 1 - at))
    x = g.op('Add', [x, table(name, buckets, bucketOf(g, [...bytes, tokens], buckets))])
  }
  return g.op('Mul', [x, g.scalar('float32', embeddingScale)])
}

/** The bytes as a number in base 256, modulo the buckets. */
function bucketOf(g: GraphBuilder, bytes: readonly Value[], buckets: number): Value {
  const [first, ...rest] = bytes
  const number = rest.reduce((sum, byte, at) => {
    const small = at < 2 ? sum : g.op('Mod', [sum, g.scalar('int32', hashModulus)])
    return g.op('Add', [g.op('Mul', [small, g.scalar('int32', 256)]), byte])
  }, first!)
  return g.op('Mod', [number, g.scalar('int32', buckets)])
}

/** Multi-head attention to what is not later (Vaswani et al. 2017). */
function attention(
  g: GraphBuilder,
  weights: Weights,
  x: Value,
  { heads, width, perHead, mask }: { heads: number; width: number; perHead: Value; mask: Value },
): Value {
  const project = (name: string, perm: readonly number[]): Value => {
    const rows = g.op('MatMul', [x, weights(`attention.${name}`, width, width)])
    return g.op('Transpose', [g.op('Reshape', [rows, perHead])], { perm })
  }
  const query = g.op('Mul', [project('query', [0, 2, 1, 3]), g.scalar('float32', Math.sqrt(heads / width))])
  const key = project('key', [0, 2, 3, 1])
  const value = project('value', [0, 2, 1, 3])
  const shares = g.op('Softmax', [g.op('Add', [g.op('MatMul', [query, key]), mask])], { axis: -1 })
  const mixed = g.op('Transpose', [g.op('MatMul', [shares, value])], { perm: [0, 2, 1, 3] })
  return g.op('MatMul', [g.op('Reshape', [mixed, g.integers([-1, width])]), weights('attention.output', width, width)])
}

/** With squared ReLU (So et al. 2021, "Primer"): a quarter of the elementwise work of GELU. */
function mlp(g: GraphBuilder, weights: Weights, x: Value, width: number): Value {
  const hidden = g.op('Relu', [g.op('MatMul', [x, weights('mlp.input', width, mlpRatio * width)])])
  return g.op('MatMul', [g.op('Mul', [hidden, hidden]), weights('mlp.output', mlpRatio * width, width)])
}

function normalise(g: GraphBuilder, x: Value, scale: Value): Value {
  return g.ops('LayerNormalization', [x, scale], { axis: -1, epsilon: layerNormEpsilon }, 3)[0]!
}

/** [sequence, sequence]: 0 where the column is not after the row. */
function causalMask(g: GraphBuilder, positions: Value): Value {
  const row = g.op('Unsqueeze', [positions, g.integers([1])])
  const column = g.op('Unsqueeze', [positions, g.integers([0])])
  return g.op('Mul', [g.cast(g.op('Greater', [column, row]), 'float32'), g.scalar('float32', masked)])
}

/**
 * Initial weights, the same for a seed on every machine: uniform, of standard deviation 0.02 for embeddings as they are used and
 * 1/sqrt(inputs) for matrices; zero for the head and for what writes back into the rows, so that each block starts as
 * the identity.
 */
export function initialParameters(description: ModelDescription, seed: number): Float32Array {
  const { entries, length } = parameterLayout(decodeModel(gptGraph(description)))
  const parameters = new Float32Array(length)
  const random = createRandom(seed)
  for (const { name, shape, offset } of entries) {
    const end = offset + elementCount(shape)
    if (name === 'head' || name.endsWith('.output')) continue
    if (name.endsWith('.scale')) parameters.fill(1, offset, end)
    else {
      // A uniform distribution over [-r, r] has the standard deviation r / sqrt 3.
      const deviation = name.endsWith('.embedding') ? 0.02 / embeddingScale : 1 / Math.sqrt(shape[0]!)
      for (let i = offset; i < end; i++) parameters[i] = (random.unit() * 2 - 1) * Math.sqrt(3) * deviation
    }
  }
  return parameters
}
