/**
 * What can compute a graph: onnxruntime's execution providers, as data. What was found by running it says so; the rest
 * is from onnxruntime 1.30's own lists of kernels.
 */
import { OwmError } from '../lib/index.ts'

export type ProviderName = 'cpu' | 'webgpu' | 'cuda' | 'coreml'

/** What numbers of a model's products may be: float16 stands for mixed precision. */
export type Precision = 'float32' | 'float16'

export interface Provider {
  /** onnxruntime's name for it, in JavaScript. */
  readonly runtimeName: string
  /** In which it computes at the speed it is made for. */
  readonly precisions: readonly Precision[]
  /** Whether weights that change from run to run, as a training step's do, are computed with on it. */
  readonly trains: boolean
  /** Whether what a `Loop` carries stays on it. Where it does not, each step is a run of its own. */
  readonly loops: boolean
  /** Up to so many threads give the same bits, on machines of one kind; 0 where nothing promises it. */
  readonly exactThreads: number
  /** Why it may not be here, and what to do. */
  readonly missing: string
  /** What it cannot do, for people. */
  readonly limits: string
}

export const providers: Readonly<Record<ProviderName, Provider>> = {
  // Measured: 1 and 2 threads give the same bits in every run and process, 3 and more do not.
  cpu: {
    runtimeName: 'cpu',
    precisions: ['float32'],
    trains: true,
    loops: true,
    exactThreads: 2,
    missing: 'onnxruntime-node does not load; try npm ci again.',
    limits: 'float16 works, by casts before and after each node, and is slower than float32',
  },
  // Measured on a software adapter: a Loop runs on the CPU, and copies all it carries there and back in each iteration.
  webgpu: {
    runtimeName: 'webgpu',
    precisions: ['float32', 'float16'],
    trains: true,
    loops: false,
    exactThreads: 0,
    missing: 'It needs a GPU with a driver for Vulkan, Direct3D 12 or Metal; vulkaninfo tells what Vulkan sees.',
    limits:
      'no MaxPool with indices, no float64; float16 where the adapter has shader-f16; ' +
      'Round, Softsign, Selu and Celu go to the CPU and back',
  },
  // Not tried.
  cuda: {
    runtimeName: 'cuda',
    precisions: ['float32', 'float16'],
    trains: true,
    loops: true,
    exactThreads: 0,
    missing:
      'The npm package brings no CUDA libraries, and needs CUDA 12 and cuDNN 9 beside. They are fetched by: ' +
      'ONNXRUNTIME_NODE_INSTALL=cuda12 node node_modules/onnxruntime-node/script/install.js',
    limits: 'sums by atomic additions have no fixed order',
  },
  // Not tried. Its Gemm, MatMul and Conv take constant weights alone, so that a training step would run on the CPU.
  coreml: {
    runtimeName: 'coreml',
    precisions: ['float32', 'float16'],
    trains: false,
    loops: false,
    exactThreads: 0,
    missing: 'It is a part of macOS; on other systems use webgpu or cpu.',
    limits: 'weights must be constants: it answers, and does not train',
  },
}

/**
 * How many threads a session gets of those offered: where bits matter, no more than give the same ones as one thread.
 *
 * @throws OwmError `not_exact` where the provider promises no bits
 */
export function threadsFor(provider: ProviderName, offered: number, exact: boolean): number {
  const { exactThreads } = providers[provider]
  if (!exact) return offered
  if (exactThreads === 0) {
    throw new OwmError('not_exact', `${provider} does not promise the same bits twice; the CPU does.`, { provider })
  }
  return Math.min(offered, exactThreads)
}
