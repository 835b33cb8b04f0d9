/** The page's script: `runJob(PROVIDER, URL)` fetches a job, runs it and gives the outcome as text. */
import { fromText, type Job, type Runtime, runSteps, toText } from './run-steps.ts'

interface WebRuntime extends Runtime {
  readonly env: { readonly wasm: { numThreads: number; wasmPaths: string } }
}

const bundles: Readonly<Record<string, string>> = {
  wasm: '/onnxruntime/ort.wasm.min.mjs',
  webgpu: '/onnxruntime/ort.webgpu.min.mjs',
}

async function runJob(provider: string, url: string): Promise<string> {
  const runtime = (await import(bundles[provider] ?? '')) as WebRuntime
  runtime.env.wasm.numThreads = 1
  runtime.env.wasm.wasmPaths = '/onnxruntime/'
  const job = fromText<Job>(await (await fetch(url)).text())
  return toText(await runSteps(runtime, provider, job))
}

/** The name of the adapter that WebGPU has here, or why there is none. */
async function findAdapter(): Promise<{ readonly found: boolean; readonly what: string }> {
  const { gpu } = navigator as unknown as {
    gpu?: {
      requestAdapter(): Promise<{ info: { vendor: string; architecture: string; description: string } } | null>
    }
  }
  if (gpu === undefined) return { found: false, what: 'this Chromium has no navigator.gpu' }
  const adapter = await gpu.requestAdapter()
  if (adapter === null) return { found: false, what: 'this Chromium finds no WebGPU adapter' }
  const { vendor, architecture, description } = adapter.info
  return { found: true, what: [vendor, architecture, description].filter((part) => part !== '').join(' ') }
}

Object.assign(globalThis, { runJob, findAdapter })
