/** The same step graphs, with onnxruntime-web in headless Chromium and in Node, and on WebGPU, beside onnxruntime-node's CPU. */
import { openSession, type RuntimeTensor } from '../../src/onnx/index.ts'
import { cnn, mlp } from '../../src/training/models/images.ts'
import { transformer } from '../../src/training/models/transformer.ts'
import type { OptimizerPlan } from '../../src/training/optimizer.ts'
import { suite } from '../suite.ts'
import { hasChromium, howToGetChromium, openPage, type Page } from './browser/chromium.ts'
import { findWebGpu, runWasm } from './browser/processes.ts'
import type { Job, Outcome } from './browser/run-steps.ts'
import { agree, beginning, type Case, runsOf, stepOf, type Trained, train } from './steps.ts'

const test = suite('browser')

const steps = 100
/** Of the largest number of each tensor, and of each loss. */
const tolerance = 1e-4

/** AdamW's first steps follow the sign of a gradient, however small; as usual, they are short. */
const adamw: OptimizerPlan = {
  kind: 'adamw',
  learningRate: 1e-3,
  weightDecay: 0.01,
  schedule: { kind: 'constant', warmupSteps: 20 },
}

const wasmCases: Readonly<Record<string, Case>> = {
  '2nn': {
    model: mlp(),
    input: { name: 'inputs', type: 'float32', shape: [10, 784] },
    classes: 10,
    plan: { kind: 'sgd', learningRate: 0.05 },
  },
  cnn: {
    model: cnn({ side: 12, channels: [4, 8], kernel: 3, hidden: 32 }),
    input: { name: 'inputs', type: 'float32', shape: [10, 1, 12, 12] },
    classes: 10,
    plan: { kind: 'sgd', learningRate: 0.05, momentum: 0.9 },
  },
  // Without biases: that of keys has no influence on a softmax, so its gradient is rounding, which AdamW makes large.
  gpt: {
    model: transformer({ layers: 2, heads: 2, width: 32, context: 16, vocabulary: 32, bias: false }),
    input: { name: 'tokens', type: 'int32', shape: [4, 16] },
    classes: 32,
    plan: adamw,
  },
}
/** Smaller ones: the adapter may be software. */
const webgpuCases: Readonly<Record<string, Case>> = {
  '2nn': {
    model: mlp([64, 32, 32, 10]),
    input: { name: 'inputs', type: 'float32', shape: [10, 64] },
    classes: 10,
    plan: { kind: 'sgd', learningRate: 0.05 },
  },
  cnn: {
    model: cnn({ side: 8, channels: [2, 3], kernel: 3, hidden: 16, classes: 4 }),
    input: { name: 'inputs', type: 'float32', shape: [4, 1, 8, 8] },
    classes: 4,
    plan: { kind: 'sgd', learningRate: 0.05, momentum: 0.9 },
  },
  gpt: {
    model: transformer({ layers: 1, heads: 2, width: 16, context: 8, vocabulary: 16, bias: false }),
    input: { name: 'tokens', type: 'int32', shape: [4, 8] },
    classes: 16,
    plan: adamw,
  },
}

/** The job, and what the CPU makes of it. */
async function prepare(
  one: Case,
  provider: 'cpu' | 'webgpu',
): Promise<{ readonly job: Job; readonly expected: Trained }> {
  const step = stepOf(one, { provider })
  const runs = runsOf(one, steps, step.steps === 'single' ? 1 : 10)
  const carried = beginning(one, step)
  const session = await openSession(step.bytes, { threads: 1 })
  const expected = await train(session, step, carried, runs)
  await session.release()
  return { job: { model: step.bytes, carried, runs }, expected }
}
function trainedOf({ carried, losses }: Outcome, { runs }: Job): Trained {
  const perRun = runs[0]!['rates']!.shape[0]!
  return { carried: carried as Readonly<Record<string, RuntimeTensor>>, losses: losses.map((loss) => loss / perRun) }
}

const page: Page | undefined = hasChromium ? await openPage() : undefined
test.after(() => page?.close())
/** Software takes about ten seconds a model to compile its shaders: the others are run when asked for. */
const all = process.env['OWM_WEBGPU'] === 'all'
const slow = 'the adapter is software, and slow: OWM_WEBGPU=all runs it'
const native = await findWebGpu(all)
const webgpuTimeoutMs = 120_000

for (const [name, one] of Object.entries(wasmCases)) {
  test(`${name}: wasm in Node makes of ${steps} steps what the CPU makes`, async () => {
    const { job, expected } = await prepare(one, 'cpu')
    agree(trainedOf(await runWasm(job), job), expected, tolerance)
  })
  const inChromium = `${name}: wasm in Chromium makes of ${steps} steps what the CPU makes`
  if (page === undefined) test.skip(inChromium, howToGetChromium)
  else {
    test(inChromium, async () => {
      const { job, expected } = await prepare(one, 'cpu')
      agree(trainedOf(await page.run('wasm', job), job), expected, tolerance)
    })
  }
}

for (const [name, one] of Object.entries(webgpuCases)) {
  const inChromium = `${name}: WebGPU in Chromium makes of ${steps} steps what the CPU makes`
  if (page?.adapter.found !== true) test.skip(inChromium, page?.adapter.what ?? howToGetChromium)
  else if (name !== '2nn' && !all && page.adapter.what.includes('swiftshader')) test.skip(inChromium, slow)
  else {
    const body = async (): Promise<void> => {
      const { job, expected } = await prepare(one, 'webgpu')
      agree(trainedOf(await page.run('webgpu', job), job), expected, tolerance)
    }
    test(inChromium, body, { timeoutMs: webgpuTimeoutMs })
  }
  const inNode = `${name}: WebGPU in Node makes of ${steps} steps what the CPU makes`
  const { run } = native
  if (run === undefined) test.skip(inNode, all ? native.what : `no WebGPU outside a browser, or ${slow}`)
  else {
    const body = async (): Promise<void> => {
      const { job, expected } = await prepare(one, 'webgpu')
      agree(trainedOf(await run(job), job), expected, tolerance)
    }
    test(inNode, body, { timeoutMs: webgpuTimeoutMs })
  }
}

test.run()
