import * as assert from 'uvu/assert'
import {
  constantFeeds,
  createGraphBuilder,
  encodeModel,
  openSession,
  tensorOf,
  withoutLargeConstants,
} from '../../src/onnx/index.ts'
import { suite } from '../suite.ts'

const test = suite('large constants')

const large = Float32Array.from({ length: 128 * 128 }, (_, at) => (at % 7) - 3)

test('they are taken out of a graph and the graphs within, and fed as views', async () => {
  const body = createGraphBuilder('body', 'body.')
  const [at, going, x] = [
    body.input('body.at', 'int64', []),
    body.input('body.going', 'bool', []),
    body.input('body.x', 'float32', [1, 128]),
  ]
  assert.is(at.type, 'int64')
  const tensor = { type: 'float32', shape: [128, 128], data: new Uint8Array(large.buffer) } as const
  const product = body.op('MatMul', [x, body.initializer('weight', tensor)])
  body.output('body.going.next', going)
  body.output('body.x.next', body.op('Mul', [product, body.scalar('float32', 0.01)]))
  const { graph, constants } = withoutLargeConstants(body.graph())
  assert.equal(
    constants.map(({ name }) => name),
    ['body.weight'],
  )
  assert.is(graph.initializers.size, 1)

  const run = async (fed: boolean) => {
    const g = createGraphBuilder('outer')
    const start = g.input('x', 'float32', [1, 128])
    if (fed)
      for (const {
        name,
        tensor: { type, shape },
      } of constants)
        g.input(name, type, shape)
    const inputs = [g.scalar('int64', 3), g.constant('bool', [], [1]), start]
    g.output('y', g.op('Loop', inputs, { body: fed ? graph : body.graph() }))
    const bytes = encodeModel(g.model())
    const session = await openSession(bytes, { threads: 1, lean: fed })
    const data = Float32Array.from({ length: 128 }, (_, i) => i / 128)
    const feeds = constantFeeds(constants)
    if (fed) assert.is(feeds['body.weight']!.data.buffer, large.buffer)
    const { y } = await session.run({ x: { type: 'float32', shape: [1, 128], data }, ...(fed ? feeds : {}) })
    await session.release()
    return { bytes: bytes.length, y: Array.from(y!.data, Number) }
  }
  const [fed, builtIn] = [await run(true), await run(false)]
  assert.ok(fed.bytes < 2000 && builtIn.bytes > large.byteLength)
  for (const [i, value] of builtIn.y.entries()) assert.ok(Math.abs(fed.y[i]! - value) < 1e-4)
  // The nested body is found from the graph around it too.
  const outer = createGraphBuilder('outer')
  const inputs = [outer.scalar('int64', 3), outer.constant('bool', [], [1]), outer.input('x', 'float32', [1, 128])]
  outer.output('y', outer.op('Loop', inputs, { body: body.graph() }))
  assert.equal(
    withoutLargeConstants(outer.graph()).constants.map(({ name }) => name),
    ['body.weight'],
  )
})

test('small ones and integers stay; a tensor at an odd place is copied', () => {
  const g = createGraphBuilder('g')
  const table = g.initializer('table', tensorOf('int64', [10_000], new Array(10_000).fill(0)))
  const small = g.initializer('small', tensorOf('float32', [2], [1, 2]))
  g.output('y', g.op('Gather', [small, table]))
  assert.equal(withoutLargeConstants(g.graph()).constants, [])
  const odd = new Uint8Array(large.byteLength + 1)
  odd.set(new Uint8Array(large.buffer), 1)
  const tensor = { type: 'float32', shape: [128, 128], data: odd.subarray(1) } as const
  assert.equal(constantFeeds([{ name: 'w', tensor }])['w']!.data, large)
})

test.run()
