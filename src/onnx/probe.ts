/** Finds out what this machine's runtime can do, by letting it compute a sum. */
import { errorMessage, OwmError } from '../lib/index.ts'
import { encodeModel } from './encode.ts'
import { createGraphBuilder } from './graph.ts'
import { type ProviderName, providers } from './providers.ts'

/** Loads onnxruntime, for whoever wants to know whether this machine can. Blocks for some milliseconds. */
export async function probeRuntime(): Promise<{
  readonly version: string
  /** Those in the package; whether a GPU is there, `requireProvider` tells. */
  readonly providers: readonly string[]
}> {
  const runtime = await import('onnxruntime-node').catch((cause: Error) => {
    throw new OwmError(
      'runtime_missing',
      `onnxruntime-node does not load on this machine: ${cause.message}; try npm ci again.`,
      {},
      cause,
    )
  })
  const sum = await computeSum('cpu')
  if (sum !== '2,5') throw new OwmError('runtime_failed', `onnxruntime computed 1 + 1, 2.5 + 2.5 as ${sum}.`)
  return {
    version: runtime.env.versions.node ?? 'unknown version',
    providers: runtime
      .listSupportedBackends()
      .filter(({ bundled }) => bundled)
      .map(({ name }) => name),
  }
}

/** @throws OwmError `provider_missing`, saying what to do */
export async function requireProvider(provider: ProviderName): Promise<void> {
  const missing = (cause: unknown): never => {
    const reason = errorMessage(cause).split('\n')[0]
    throw new OwmError(
      'provider_missing',
      `${provider} cannot be used on this machine. ${providers[provider].missing} (${reason})`,
      { provider },
      cause,
    )
  }
  const sum = await computeSum(provider).catch(missing)
  if (sum !== '2,5') missing(new Error(`it computed 1 + 1, 2.5 + 2.5 as ${sum}`))
}

async function computeSum(provider: ProviderName): Promise<string> {
  const g = createGraphBuilder('probe')
  const x = g.input('x', 'float32', [2])
  g.output('y', g.op('Add', [x, x]))
  const runtime = await import('onnxruntime-node')
  const session = await runtime.InferenceSession.create(encodeModel(g.model()), {
    executionProviders: [providers[provider].runtimeName],
  })
  try {
    const { y } = await session.run({ x: new runtime.Tensor('float32', Float32Array.of(1, 2.5), [2]) })
    return String(y?.data)
  } finally {
    await session.release()
  }
}
