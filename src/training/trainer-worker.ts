/** The thread of one trainer: holds the text, the sessions and the optimizer's state. */
import { OwmError } from '../lib/index.ts'
import {
  decodeLanguageModel,
  openSession,
  type ParameterLayout,
  parameterLayout,
  type Session,
  serveWorker,
} from '../onnx/index.ts'
import { windowsOf } from './data/windows.ts'
import { buildEvaluationGraph, measure } from './evaluation.ts'
import type { ModelDescription, OptimizerSpec, TextSource } from './index.ts'
import { learn, type TrainJob } from './learner.ts'
import { createOptimizer, planOf } from './optimizer.ts'
import { buildStepGraph } from './step-graph.ts'
import { createStepper, parameterTensors, type Stepper } from './stepper.ts'
import { readTextFiles } from './text-files.ts'

export interface OpenJob {
  readonly graph: Uint8Array
  readonly model: ModelDescription
  readonly data: TextSource
  readonly optimizer: OptimizerSpec
  readonly seed: number
  readonly threads: number
}
export interface Opened {
  readonly layout: ParameterLayout
  readonly dataBytes: number
  readonly files: number
  readonly skipped: Readonly<Record<string, number>>
}
export interface EvaluateJob {
  readonly parameters: Float32Array
  readonly text: Uint8Array
}

interface Open {
  readonly layout: ParameterLayout
  readonly context: number
  readonly stepper: Stepper
  /** Made when first asked for. */
  readonly evaluation: () => Promise<Session>
}
let open: Open | undefined
let evaluationSession: Promise<Session> | undefined

serveWorker(
  {
    open: async (job: OpenJob) => {
      const text = readTextFiles(job.data, 'training')
      const model = decodeLanguageModel(job.graph, job.model)
      const { batch } = job.optimizer
      const { context } = job.model
      if (text.bytes.length < context + 1) {
        throw new OwmError('no_training_data', `${text.bytes.length} bytes of text do not fill one window.`, {
          roots: job.data.roots,
        })
      }
      const step = buildStepGraph(model, { batch, context, optimizer: job.optimizer })
      const session = await openSession(step.bytes, job)
      const layout = parameterLayout(model)
      open = {
        layout,
        context,
        stepper: createStepper({
          step,
          session,
          dataset: windowsOf(text.bytes, context, `${text.files} files`),
          optimizer: createOptimizer(planOf(job.optimizer)),
          batch,
          seed: job.seed,
        }),
        evaluation: () => (evaluationSession ??= openSession(buildEvaluationGraph(model), job)),
      }
      const { files, skipped } = text
      return { value: { layout, dataBytes: text.bytes.length, files, skipped } satisfies Opened }
    },
    train: async (job: TrainJob, { signal, emit }) => {
      const result = await learn(opened().stepper, job, { signal, onProgress: emit })
      return { value: result, transfer: [result.parameters.buffer as ArrayBuffer] }
    },
    evaluate: async ({ parameters, text }: EvaluateJob, { signal }) => {
      const { layout, context, evaluation } = opened()
      return {
        value: await measure(await evaluation(), parameterTensors(layout, parameters), { text, context, signal }),
      }
    },
  },
  async () => {
    await open?.stepper.release()
    await (await evaluationSession)?.release()
  },
)

function opened(): Open {
  if (open === undefined) throw new OwmError('internal_error', 'The trainer is not open.')
  return open
}
