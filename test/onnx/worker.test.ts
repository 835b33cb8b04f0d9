import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import * as assert from 'uvu/assert'
import { errorCode } from '../../src/lib/index.ts'
import { silentLogger } from '../../src/observability/index.ts'
import { startWorker } from '../../src/onnx/index.ts'
import { suite } from '../suite.ts'

const test = suite('onnx workers')
const file = new URL('./busy-worker.ts', import.meta.url)
const start = () => startWorker(file, { name: 'busy', logger: silentLogger })
const codeOf = (promise: Promise<unknown>): Promise<string> => promise.then(() => 'none', errorCode)

test('a call is answered, with its events, and errors keep their codes', async () => {
  const worker = start()
  const events: unknown[] = []
  assert.equal(await worker.call('echo', { a: 1 }, { onEvent: (event) => events.push(event) }), { a: 1 })
  assert.equal(events, ['heard'])
  assert.is(await codeOf(worker.call('fail', undefined)), 'own_code')
  assert.is(await codeOf(worker.call('nothing', undefined)), 'not_found')
  await worker.stop()
  assert.is(await codeOf(worker.call('echo', 1)), 'worker_stopped')
})

test('a call is called off between runs, and the worker goes on', async () => {
  const worker = start()
  const controller = new AbortController()
  const call = worker.call('runForEver', undefined, { signal: controller.signal, onEvent: () => controller.abort() })
  assert.is(await codeOf(call), 'aborted')
  assert.is(await worker.call('echo', 'still here'), 'still here')
  assert.is(await codeOf(worker.call('echo', 1, { signal: AbortSignal.abort() })), 'aborted')
  await worker.stop()
})

test('stop ends a busy worker at a run’s end, and its calls with it', async () => {
  const worker = start()
  const { promise, resolve } = Promise.withResolvers<void>()
  const call = codeOf(worker.call('runForEver', undefined, { onEvent: () => resolve() }))
  await promise
  await Promise.all([worker.stop(), worker.stop()])
  assert.is(await call, 'worker_stopped')
})

test('an error outside a call ends the worker, not the process', async () => {
  const worker = start()
  assert.is(await codeOf(worker.call('throwLater', undefined)), 'worker_failed')
  assert.is(await codeOf(worker.call('echo', 1)), 'worker_failed')
  await worker.stop()
})

const node = (script: string): Promise<{ stdout: string }> =>
  promisify(execFile)(process.execPath, ['--input-type=module-typescript', '-e', script], {
    cwd: fileURLToPath(new URL('../..', import.meta.url)),
    timeout: 15_000,
  })

test('a process that exits within a run exits cleanly', async () => {
  // Without the wait at exit, the runtime aborts the process: exit by signal, which rejects here.
  const { stdout } = await node(`
    import { startWorker } from './src/onnx/index.ts'
    import { silentLogger } from './src/observability/index.ts'
    const worker = startWorker(new URL('file://${file.pathname}'), { name: 'busy', logger: silentLogger })
    worker.call('runForEver', undefined, { onEvent: () => { console.log('exiting'); process.exit(0) } }).catch(() => 0)`)
  assert.is(stdout, 'exiting\n')
})

test('importing the rooms loads no runtime and starts no thread', async () => {
  const { stdout } = await node(`
    await import('./src/onnx/index.ts'); await import('./src/training/index.ts'); await import('./src/inference/index.ts')
    const { sharedObjects, workers } = process.report.getReport()
    console.log(sharedObjects.filter((name) => name.includes('onnxruntime')).length, workers.length)`)
  assert.is(stdout, '0 0\n')
})

test.run()
