import { OwmError } from '../lib/index.ts'
import { encodeModel } from './encode.ts'
import { createGraphBuilder } from './graph.ts'

/** Loads onnxruntime and lets it compute a sum, for whoever wants to know whether this machine can. Blocks for some milliseconds. */
export async function probeRuntime(): Promise<{ readonly version: string; readonly providers: readonly string[] }> {
  const builder = createGraphBuilder('probe')
  const x = builder.input('x', 'float32', [2])
  builder.output('y', builder.op('Add', [x, x]))
  const runtime = await import('onnxruntime-node').catch((cause: Error) => {
    throw new OwmError(
      'runtime_missing',
      `onnxruntime-node does not load on this machine: ${cause.message}; try npm ci again.`,
      {},
      cause,
    )
  })
  const session = await runtime.InferenceSession.create(encodeModel(builder.model()), { executionProviders: ['cpu'] })
  const { y } = await session.run({ x: new runtime.Tensor('float32', Float32Array.of(1, 2.5), [2]) })
  await session.release()
  if (String(y?.data) !== '2,5')
    throw new OwmError('runtime_failed', `onnxruntime computed 1 + 1, 2.5 + 2.5 as ${String(y?.data)}.`)
  return {
    version: runtime.env.versions.node ?? 'unknown version',
    providers: runtime.listSupportedBackends().map(({ name }) => name),
  }
}
