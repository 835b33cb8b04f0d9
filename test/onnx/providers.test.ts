/** What a session says of a provider that is not here, of bits that nobody promises, and of memory that ran out. */
import { execFileSync } from 'node:child_process'
import * as assert from 'uvu/assert'
import { errorCode, errorMessage } from '../../src/lib/index.ts'
import {
  createGraphBuilder,
  encodeModel,
  openSession,
  probeRuntime,
  providers,
  threadsFor,
} from '../../src/onnx/index.ts'
import { suite } from '../suite.ts'

const test = suite('providers')

/** More than a session may ask for below: the sum of a column and a row of so many numbers takes 160 GB. */
const wide = 200_000
const addressSpaceKiB = 32 * 1024 * 1024

function adding(): Uint8Array {
  const g = createGraphBuilder('adding')
  const x = g.input('x', 'float32', [2])
  g.output('y', g.op('Add', [x, x]))
  return encodeModel(g.model())
}
async function refusal(call: Promise<unknown>): Promise<{ readonly code: string; readonly message: string }> {
  try {
    await call
  } catch (error) {
    return { code: errorCode(error), message: errorMessage(error) }
  }
  return { code: 'none', message: '' }
}

test('a provider that is not on this machine is refused before the model is looked at, with what to do', async () => {
  const provider = process.platform === 'darwin' ? 'cuda' : 'coreml'
  const { code, message } = await refusal(openSession(Uint8Array.of(1), { threads: 1, provider }))
  assert.is(code, 'provider_missing')
  assert.match(message, providers[provider].missing)
})

test('what the package has is listed, and the CPU is always there', async () => {
  const { providers: found } = await probeRuntime()
  assert.ok(found.includes('cpu'))
  const known: readonly string[] = [...Object.values(providers).map(({ runtimeName }) => runtimeName), 'dml']
  assert.equal(
    found.filter((name) => !known.includes(name)),
    [],
  )
})

test('where bits matter, a provider that promises none is refused, and the CPU computes', async () => {
  assert.is((await refusal(openSession(adding(), { threads: 1, provider: 'webgpu', exact: true }))).code, 'not_exact')
  const session = await openSession(adding(), { threads: 64, exact: true })
  const { y } = await session.run({ x: { type: 'float32', shape: [2], data: Float32Array.of(1, 2) } })
  assert.equal(y?.data, Float32Array.of(2, 4))
  await session.release()
})

test('where bits matter, no more threads are taken than give those of one', () => {
  assert.is(threadsFor('cpu', 64, false), 64)
  assert.is(threadsFor('cpu', 64, true), 2)
  assert.is(threadsFor('cpu', 1, true), 1)
})

if (process.platform === 'linux') {
  test('memory that runs out is its own error, with advice, and the process goes on', () => {
    const child = 'test/onnx/out-of-memory.ts'
    const command = `ulimit -v ${addressSpaceKiB} && exec "$0" ${child} ${wide} 2>/dev/null`
    const output = execFileSync('bash', ['-c', command, process.execPath], { encoding: 'utf8', timeout: 15_000 })
    const { code, message, alive } = JSON.parse(output) as { code: string; message: string; alive: boolean }
    assert.is(code, 'out_of_memory')
    assert.match(message, 'smaller')
    assert.ok(alive)
  })
} else test.skip('memory that runs out is its own error, with advice', 'ulimit -v is of Linux')

test.run()
