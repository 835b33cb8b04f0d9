import * as assert from 'uvu/assert'
import { OwmError } from '../../src/lib/index.ts'
import {
  createGraphBuilder,
  createRandom,
  decodeLanguageModel,
  decodeModel,
  encodeModel,
  type Model,
  openGraph,
  parameterLayout,
  tensorOf,
  withParameters,
} from '../../src/onnx/index.ts'
import { suite } from '../suite.ts'

const test = suite('onnx model')

/** Uses every kind of attribute and of field that the writer knows. */
function sample(): Model {
  const g = createGraphBuilder('sample')
  const tokens = g.input('tokens', 'int32', ['batch', 'sequence'])
  const table = g.input('table', 'float32', [16, 4])
  const scale = g.initializer('scale', tensorOf('float32', [4], [1, 2, 3, 4]))
  const rows = g.op('Gather', [table, tokens], { axis: 0 })
  const [normal] = g.ops('LayerNormalization', [rows, scale], { axis: -1, epsilon: 1e-5 }, 3)
  g.output('logits', g.op('MatMul', [normal!, g.op('Transpose', [table], { perm: [1, 0] })]))
  const body = createGraphBuilder('body', 'body.')
  body.input('i', 'int64', [])
  const going = body.input('going', 'bool', [])
  const x = body.input('x', 'float32', [])
  body.output('going.next', going)
  body.output('x.next', body.op('Add', [x, x]))
  const loop = [g.scalar('int64', 3), g.constant('bool', [], [1]), g.scalar('float32', 1)]
  g.output('looped', g.ops('Loop', loop, { body: body.graph() }, 1)[0]!)
  return g.model()
}

/** The same without the loop, which only our own step graphs use. */
function forward(): Model {
  const { graph, opset } = sample()
  const outputs = graph.outputs.filter(({ name }) => name === 'logits')
  const nodes = graph.nodes.filter(({ op, name }) => op !== 'Loop' && name !== 'output_looped')
  return { opset, graph: { ...graph, nodes, outputs } }
}

const codeOf = (run: () => unknown): string => {
  try {
    run()
    return 'none'
  } catch (error) {
    if (error instanceof OwmError) return error.code
    throw error
  }
}

test('what is written is read back, byte for byte', () => {
  const bytes = encodeModel(forward())
  const model = decodeModel(bytes)
  assert.equal(model.graph.inputs, forward().graph.inputs)
  assert.equal([...model.graph.initializers.keys()], [...forward().graph.initializers.keys()])
  assert.equal(encodeModel(model), bytes)
})

test('loops are written for the runtime and not read from others', () => {
  assert.is(
    codeOf(() => decodeModel(encodeModel(sample()))),
    'unsupported_model',
  )
})

test('parameters are the float inputs of fixed shape, and can be built in', () => {
  const model = forward()
  assert.equal(parameterLayout(model), { length: 64, entries: [{ name: 'table', shape: [16, 4], offset: 0 }] })
  const built = withParameters(model, new Float32Array(64).fill(0.5))
  assert.is(parameterLayout(built).length, 0)
  assert.is(built.graph.initializers.get('table')?.data.length, 256)
  assert.is(
    codeOf(() => withParameters(model, new Float32Array(63))),
    'wrong_length',
  )
})

test('a cut, flipped or random file is an error with a code, and nothing else', () => {
  const bytes = encodeModel(forward())
  const allowed = new Set(['none', 'malformed_model', 'unsupported_model', 'oversized', 'bad_graph'])
  const read = (input: Uint8Array): void => {
    const code = codeOf(() => {
      const model = decodeModel(input)
      parameterLayout(model)
      openGraph(model.graph, { batch: 2, sequence: 3 })
    })
    assert.ok(allowed.has(code), code)
  }
  for (let length = 0; length < bytes.length; length++) read(bytes.subarray(0, length))
  const random = createRandom(1)
  for (let round = 0; round < 3000; round++) {
    const changed = bytes.slice()
    for (let flips = 1 + random.below(4); flips > 0; flips--) changed[random.below(changed.length)] = random.below(256)
    read(changed)
  }
  for (let round = 0; round < 1000; round++) {
    read(Uint8Array.from({ length: random.below(200) }, () => random.below(256)))
  }
})

test('limits come before reading', () => {
  const bytes = encodeModel(forward())
  assert.is(
    codeOf(() => decodeModel(bytes, { maxBytes: 100, maxNodes: 10 })),
    'oversized',
  )
  assert.is(
    codeOf(() => decodeModel(bytes, { maxBytes: 10_000, maxNodes: 2 })),
    'oversized',
  )
  // A length of 2^62 in a file of 12 bytes.
  const lying = Uint8Array.of(0x3a, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x40, 0, 0)
  assert.is(
    codeOf(() => decodeModel(lying)),
    'malformed_model',
  )
})

test('thousands of nodes of one name are opened in linear time', () => {
  const g = createGraphBuilder('chain')
  let x = g.input('x', 'float32', [1])
  for (let i = 0; i < 20_000; i++) x = g.ops('Neg', [x], {}, 1, 'same')[0]!
  g.output('y', x)
  assert.is(openGraph(decodeModel(encodeModel(g.model())).graph).builder.steps.length, 20_000)
})

test('an operator that is not known is named, with its node', () => {
  const model = forward()
  const nodes = model.graph.nodes.map((node) => (node.op === 'MatMul' ? { ...node, op: 'Einsum', name: 'odd' } : node))
  try {
    openGraph({ ...model.graph, nodes })
    assert.unreachable()
  } catch (error) {
    assert.is((error as OwmError).code, 'unsupported_model')
    assert.equal((error as OwmError).details, { op: 'Einsum', node: 'odd' })
  }
})

test('a graph that is not sound is refused', () => {
  const { graph } = forward()
  const first = graph.nodes[0]!
  const broken = [
    { ...graph, nodes: [...graph.nodes].reverse() },
    { ...graph, nodes: [first, ...graph.nodes] },
    { ...graph, outputs: [{ ...graph.outputs[0]!, name: 'nothing' }] },
    { ...graph, inputs: graph.inputs.slice(1) },
  ]
  for (const bad of broken) {
    assert.is(
      codeOf(() => openGraph(bad)),
      'bad_graph',
    )
  }
})

test('shapes that do not fit, and values too large, are errors where they are written', () => {
  const g = createGraphBuilder('wrong')
  const a = g.input('a', 'float32', [2, 3])
  assert.is(
    codeOf(() => g.op('MatMul', [a, a])),
    'bad_graph',
  )
  assert.is(
    codeOf(() => g.op('Add', [a, g.input('b', 'float32', [2])])),
    'bad_graph',
  )
  assert.is(
    codeOf(() => g.op('Expand', [a, g.integers([1 << 20, 2, 3000])])),
    'bad_graph',
  )
  assert.is(
    codeOf(() => g.op('Expand', [g.scalar('float32', 1), g.integers([1 << 20, 1 << 20])])),
    'oversized',
  )
})

test('a language model keeps its contract', () => {
  const bytes = encodeModel(forward())
  assert.is(decodeLanguageModel(bytes, { context: 8, vocabulary: 16 }).graph.name, 'sample')
  assert.is(
    codeOf(() => decodeLanguageModel(bytes, { context: 8, vocabulary: 256 })),
    'bad_graph',
  )
  const { graph, opset } = forward()
  const inputs = graph.inputs.map((input) => (input.name === 'tokens' ? { ...input, name: 'ids' } : input))
  assert.is(
    codeOf(() =>
      decodeLanguageModel(encodeModel({ opset, graph: { ...graph, inputs } }), { context: 8, vocabulary: 16 }),
    ),
    'bad_graph',
  )
})

test('the random numbers are the same on every machine', () => {
  const random = createRandom(42)
  const drawn = Array.from({ length: 4 }, () => random.uint32())
  const again = createRandom(42)
  assert.equal(
    drawn,
    Array.from({ length: 4 }, () => again.uint32()),
  )
  assert.is.not(createRandom(43).uint32(), drawn[0])
  const dice = Array.from({ length: 6000 }, () => random.below(6))
  for (let side = 0; side < 6; side++) assert.ok(Math.abs(dice.filter((value) => value === side).length - 1000) < 150)
})

test.run()
