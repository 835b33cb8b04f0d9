/** The thread of one trainer: holds the data, the sessions and the optimizer's state. */
import { OwmError } from '../lib/index.ts'
import {
  decodeLanguageModel,
  decodeModel,
  type Model,
  openSession,
  type ParameterLayout,
  parameterLayout,
  type Session,
  serveWorker,
} from '../onnx/index.ts'
import type { Dataset } from './data/dataset.ts'
import { openExamples } from './data/examples.ts'
import { openOffered } from './data/offered.ts'
import { windowsOf } from './data/windows.ts'
import { buildEvaluationGraph, measure } from './evaluation.ts'
import type { ExampleShape, OfferedData } from './index.ts'
import { learn, type TrainJob } from './learner.ts'
import type { Measured } from './local/job.ts'
import { type Measurement, openMeasurement } from './local/measure.ts'
import { feedsOf, languageShape, lossOf, lossUnit, objectiveOf } from './objective.ts'
import { createOptimizer, type OptimizerPlan } from './optimizer.ts'
import { createStepper, parameterTensors, type Stepper } from './stepper.ts'
import { buildTrainingStep } from './training-step.ts'

export interface OpenJob extends ExampleShape {
  readonly graph: Uint8Array
  readonly data: OfferedData
  readonly optimizer: OptimizerPlan
  readonly batch: number
  readonly seed: number
  readonly threads: number
}
export interface Opened {
  readonly layout: ParameterLayout
  readonly about: string
  readonly examples: number
  readonly skipped: Readonly<Record<string, number>>
}
export interface EvaluateJob {
  readonly parameters: Float32Array
  readonly heldOut: Uint8Array
}
export type Job = TrainJob & { readonly draw?: number | undefined }

interface Open {
  readonly job: OpenJob
  readonly model: Model
  readonly layout: ParameterLayout
  /** One for each data set; they share the session. */
  readonly steppers: readonly Stepper[]
  readonly datasets: readonly Dataset[]
  /** Of a language model whose sequences have any length: what measures it on text. */
  readonly text: (() => Promise<Session>) | null
}
let open: Open | undefined
let textSession: Promise<Session> | undefined
/** On the held-out examples of the run; made when first asked for. */
let measurement: Promise<Measurement> | undefined

/** Examples measured at once: no more is faster. */
const measureBatch = 64

serveWorker(
  {
    open: async (job: OpenJob) => {
      const { fields, batch } = job
      const parts = job.data.shards === true ? job.data.roots.map((root) => [root]) : [job.data.roots]
      const datasets = parts.map((roots) => openOffered({ ...job.data, roots }, job, 'training'))
      const model = decodeTrained(job)
      const optimizer = createOptimizer(job.optimizer)
      const layout = parameterLayout(model)
      const step = buildTrainingStep({
        layout,
        feeds: feedsOf(fields, batch),
        loss: lossOf(model, objectiveOf(fields)),
        optimizer,
      })
      const session = await openSession(step.bytes, job)
      const steppers = datasets.map((dataset) =>
        createStepper({ step, session, dataset, optimizer, batch, seed: job.seed }),
      )
      const text = isOpen(model) && languageShape(fields)?.vocabulary === 256
      open = {
        job,
        model,
        layout,
        steppers,
        datasets,
        text: text ? () => (textSession ??= openSession(buildEvaluationGraph(model), job)) : null,
      }
      const [first] = datasets
      const about =
        datasets.length === 1 ? (first?.about ?? '') : `${datasets.length} data sets, ${first?.about} and others`
      const examples = datasets.reduce((sum, { length }) => sum + length, 0)
      return { value: { layout, about, examples, skipped: first?.skipped ?? {} } satisfies Opened }
    },
    train: async ({ draw = 0, ...job }: Job, { signal, emit }) => {
      const {
        steppers,
        datasets,
        job: { fields },
      } = opened()
      const at = draw % steppers.length
      const { perNat } = lossUnit(fields)
      const examples = datasets[at]!.length
      const result = await learn(steppers[at]!, job, { examples, perNat, signal, onProgress: emit })
      return { value: result, transfer: [result.parameters.buffer as ArrayBuffer] }
    },
    evaluate: async ({ parameters, heldOut }: EvaluateJob, { signal }) => {
      const { layout, text, job } = opened()
      const tensors = parameterTensors(layout, parameters)
      const language = languageShape(job.fields)
      if (text !== null && language !== null) {
        const { context } = language
        return { value: await measure(await text(), tensors, { text: heldOut, context, signal }) }
      }
      measurement ??= openHeldOut(heldOut).catch((error: unknown) => {
        measurement = undefined
        throw error
      })
      const { perNat } = lossUnit(job.fields)
      const found = await (await measurement).measure(tensors, 'atTheEnd', signal)
      return { value: { ...found, loss: found.loss * perNat } satisfies Measured }
    },
  },
  async () => {
    const [first, ...others] = open?.steppers ?? []
    await first?.release()
    for (const dataset of open?.datasets.slice(1, 1 + others.length) ?? []) dataset.close()
    await (await textSession)?.release()
    await (await measurement)?.release()
  },
)

function opened(): Open {
  if (open === undefined) throw new OwmError('internal_error', 'The trainer is not open.')
  return open
}

/** @throws OwmError as `decodeLanguageModel` */
function decodeTrained({ graph, fields }: OpenJob): Model {
  const language = languageShape(fields)
  const model = decodeModel(graph)
  return language !== null && isOpen(model) ? decodeLanguageModel(graph, language) : model
}

/** Whether it takes sequences of any length. */
function isOpen(model: Model): boolean {
  return model.graph.inputs.find(({ name }) => name === 'tokens')?.shape.join() === 'batch,sequence'
}

function openHeldOut(bytes: Uint8Array): Promise<Measurement> {
  const { model, job } = opened()
  const language = languageShape(job.fields)
  const dataset =
    language?.vocabulary === 256 ? windowsOf(bytes, language.context, 'held-out text') : openExamples(bytes, job.fields)
  const settings = {
    batch: measureBatch,
    threads: job.threads,
    provider: 'cpu',
    measureExamples: dataset.length,
  } as const
  return openMeasurement(model, dataset, settings)
}
