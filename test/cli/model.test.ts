import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { exitCodes } from '../../src/lib/index.ts'
import { createGraphBuilder, encodeModel } from '../../src/onnx/index.ts'
import { owm, temporaryFolder } from '../processes.ts'
import { suite } from '../suite.ts'

const test = suite('owm model')
const folder = temporaryFolder()
const text = join(folder, 'text')
const file = join(folder, 'out', 'model.onnx')

test.before(async () => {
  mkdirSync(text)
  for (let at = 0; at < 30; at++) writeFileSync(join(text, `${at}.txt`), `${at} peers gossip and train; `.repeat(40))
  const args = ['--data', text, '--model', 'gpt:layers=1,heads=2,width=64', '--context', '32', '--steps', '150']
  const { code, stderr } = await owm(['train', 'local', ...args, '--out', join(folder, 'out')])
  assert.is(code, 0, stderr)
})

test('inspect tells what is in a file and what of it can be trained', async () => {
  const found = JSON.parse((await owm(['model', 'inspect', file, '--json'])).stdout)
  assert.equal(found.inputs, [{ name: 'tokens', type: 'int32', shape: ['batch', 'sequence'] }])
  assert.ok(found.operators.Gemm >= 7)
  assert.ok(found.trainable.parameters > 50_000)
  const { stdout } = await owm(['model', 'inspect', file])
  assert.match(stdout, /head\.weight +\[64, 256\]/)
})

test('inspect names what stands in the way of training', async () => {
  const g = createGraphBuilder('no slope')
  const x = g.input('x', 'float32', ['batch', 4])
  const weight = g.initializer('weight', { type: 'float32', shape: [4, 4], data: new Uint8Array(64) })
  g.output('y', g.op('Mod', [g.op('MatMul', [x, weight]), g.scalar('float32', 2)], { fmod: 1 } as never))
  const odd = join(folder, 'odd.onnx')
  writeFileSync(odd, encodeModel(g.model()))
  const found = JSON.parse((await owm(['model', 'inspect', odd, '--json'])).stdout)
  assert.is(found.trainable.code, 'no_gradient')
  assert.match(found.trainable.message, /Mod/)
})

test('quantised variants are smaller and hardly worse', async () => {
  for (const [bits, least] of [
    [8, 3],
    [4, 4],
  ] as const) {
    const out = join(folder, `${bits}.onnx`)
    const args = ['model', 'quantise', file, '--bits', String(bits), '--out', out, '--data', text, '--context', '32']
    const { code, stdout, stderr } = await owm([...args, '--examples', '50', '--json'])
    assert.is(code, 0, stderr)
    const { bytes, loss } = JSON.parse(stdout)
    assert.ok(bytes.before / bytes.after > least, `${bits} bits: ${bytes.before / bytes.after} times`)
    assert.is(loss.unit, 'bits/byte')
    assert.ok(loss.before.loss < 3 && Math.abs(loss.after.loss - loss.before.loss) < 0.1, JSON.stringify(loss))
    assert.not.equal(loss.after.loss, loss.before.loss)
  }
})

test('what is no model, or a wish that means nothing, is told with an exit code', async () => {
  const none = await owm(['model', 'inspect', join(text, '1.txt')])
  assert.is(none.code, exitCodes.badInput, none.stderr)
  const absent = await owm(['model', 'inspect', join(folder, 'absent.onnx')])
  assert.is(absent.code, exitCodes.badInput)
  assert.match(absent.stderr, /absent\.onnx cannot be read: there is no such file/)
  assert.is((await owm(['model', 'quantise', file, '--bits', '6', '--out', join(folder, 'x')])).code, exitCodes.usage)
})

test.run()
