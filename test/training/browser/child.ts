/**
 * A process of its own that runs one job: with onnxruntime-web's wasm, or with onnxruntime-node's WebGPU, whose driver is
 * chosen by the environment that a process starts with.
 */
import { openSession, type RuntimeTensor, requireProvider } from '../../../src/onnx/index.ts'
import { type Job, type Outcome, type Runtime, runSteps } from './run-steps.ts'

export type Request =
  | { readonly kind: 'wasm'; readonly job: Job }
  | { readonly kind: 'webgpu'; readonly job: Job }
  | { readonly kind: 'probe' }

async function answer(request: Request): Promise<Outcome | undefined> {
  if (request.kind === 'probe') {
    await requireProvider('webgpu')
    return undefined
  }
  if (request.kind === 'wasm') {
    const runtime = await import('onnxruntime-web')
    runtime.env.wasm.numThreads = 1
    return runSteps(runtime as unknown as Runtime, 'wasm', request.job)
  }
  const { model, carried, runs } = request.job
  const session = await openSession(model, { threads: 1, provider: 'webgpu' })
  let now = carried as Readonly<Record<string, RuntimeTensor>>
  const losses: number[] = []
  const runMs: number[] = []
  for (const feeds of runs) {
    const startedMs = performance.now()
    const results = await session.run({ ...(feeds as Readonly<Record<string, RuntimeTensor>>), ...now })
    runMs.push(performance.now() - startedMs)
    losses.push(Number(results['loss']?.data[0]))
    now = Object.fromEntries(Object.keys(carried).map((name) => [name, results[`${name}.next`] as RuntimeTensor]))
  }
  await session.release()
  return { carried: now, losses, runMs }
}

process.once('message', (request: Request) => {
  answer(request).then(
    (outcome) => process.send?.({ outcome }, () => process.disconnect()),
    (error: unknown) => process.send?.({ error: String(error) }, () => process.disconnect()),
  )
})
