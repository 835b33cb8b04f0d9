/**
 * The same training steps on onnxruntime-node's CPU, on one thread, and in headless Chromium with onnxruntime-web: wasm, and
 * WebGPU where it finds an adapter, whose name is in the figures: a software one tells nothing of speed.
 *
 * `npm run bench -- browser [STEPS]`
 */
import { mlp } from '../../src/training/models/images.ts'
import { transformer, transformerSizes } from '../../src/training/models/transformer.ts'
import { hasChromium, howToGetChromium, openPage, type Page } from '../training/browser/chromium.ts'
import { type Outcome, type Runtime, runSteps } from '../training/browser/run-steps.ts'
import { beginning, type Case, runsOf, stepOf } from '../training/steps.ts'

const cases: Readonly<Record<string, Case>> = {
  '2nn': {
    model: mlp(),
    input: { name: 'inputs', type: 'float32', shape: [10, 784] },
    classes: 10,
    plan: { kind: 'sgd', learningRate: 0.05 },
  },
  gpt: {
    model: transformer({ ...transformerSizes.tiny, context: 64, vocabulary: 96, bias: false }),
    input: { name: 'tokens', type: 'int32', shape: [8, 64] },
    classes: 96,
    plan: { kind: 'adamw', learningRate: 1e-3, schedule: { kind: 'constant', warmupSteps: 20 } },
  },
}
const stepsPerRun = 10
/** A step of the GPT takes a software adapter half a second or more. */
const softwareSteps = 10

export async function run(args: readonly string[]): Promise<Readonly<Record<string, unknown>>> {
  if (!hasChromium) throw new Error(howToGetChromium)
  const steps = Number(args[0] ?? 100)
  const page = await openPage()
  try {
    const figures: Record<string, unknown> = { steps, webgpuAdapter: page.adapter.found ? page.adapter.what : null }
    for (const [name, one] of Object.entries(cases)) {
      for (const [figure, value] of Object.entries(await measure(page, one, steps))) figures[`${name}${figure}`] = value
    }
    return figures
  } finally {
    await page.close()
  }
}

async function measure(page: Page, one: Case, steps: number): Promise<Readonly<Record<string, number | null>>> {
  const runtime = (await import('onnxruntime-node')) as unknown as Runtime & { readonly env: { logLevel: string } }
  runtime.env.logLevel = 'error'
  const step = stepOf(one)
  const job = { model: step.bytes, carried: beginning(one, step), runs: runsOf(one, steps, stepsPerRun) }
  const node = await runSteps(runtime, 'cpu', job)
  const wasm = await page.run('wasm', job)
  const figures = {
    NodeStepMs: round(median(node) / stepsPerRun),
    WasmStepMs: round(median(wasm) / stepsPerRun),
    WasmError: round(error(wasm, node)),
  }
  if (!page.adapter.found) return { ...figures, WebgpuStepMs: null, WebgpuError: null }
  const single = stepOf(one, { provider: 'webgpu' })
  const few = page.adapter.what.includes('swiftshader') ? Math.min(steps, softwareSteps) : steps
  const webgpuJob = { ...job, model: single.bytes, runs: runsOf(one, few, 1) }
  const webgpu = await page.run('webgpu', webgpuJob)
  const same = await runSteps(runtime, 'cpu', webgpuJob)
  return { ...figures, WebgpuStepMs: round(median(webgpu)), WebgpuError: round(error(webgpu, same)) }
}

const round = (value: number): number => Number(value.toPrecision(3))
function median({ runMs }: Outcome): number {
  return runMs.toSorted((a, b) => a - b)[Math.floor(runMs.length / 2)]!
}
/** The largest difference of a tensor's elements, as a part of its largest. */
function error(actual: Outcome, expected: Outcome): number {
  return Object.entries(expected.carried).reduce((worst, [name, tensor]) => {
    const values = tensor.data as Float32Array
    const other = actual.carried[name]!.data as Float32Array
    const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0)
    const off = values.reduce((most, value, i) => Math.max(most, Math.abs(value - other[i]!)), 0)
    return Math.max(worst, off / largest)
  }, 0)
}
