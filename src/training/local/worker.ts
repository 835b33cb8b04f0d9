/** The thread of a run on this machine alone. */
import { join } from 'node:path'
import { formatBytes, OwmError } from '../../lib/index.ts'
import { elementCount, openSession, serveWorker } from '../../onnx/index.ts'
import type { Dataset } from '../data/dataset.ts'
import { openDataset } from '../data/source.ts'
import { feedsOf, lossOf, objectiveOf } from '../objective.ts'
import { createOptimizer } from '../optimizer.ts'
import { createStepper } from '../stepper.ts'
import { buildTrainingStep } from '../training-step.ts'
import { loadCheckpoint } from './checkpoint.ts'
import { identityOf, type LocalEvent, type LocalJob, type LocalResult, outputs, stepsOf, unitOf } from './job.ts'
import { openMeasurement } from './measure.ts'
import { prepare } from './prepare.ts'
import { makeSteps } from './steps.ts'

serveWorker({
  train: async (job: LocalJob, { signal, emit }) => {
    const result = await train(job, signal, (event) => emit(event))
    return { value: result, transfer: [result.parameters.buffer as ArrayBuffer] }
  },
})

async function train(job: LocalJob, signal: AbortSignal, tell: (event: LocalEvent) => void): Promise<LocalResult> {
  const { batch, accumulate, threads, provider, precision } = job
  const data = openDataset(job.data, 'training')
  const heldOut = openHeldOut(job)
  const { trainable, save } = await prepare(job, data.fields)
  const objective = objectiveOf(data.fields)
  const steps = stepsOf(job, data.length)
  const { unit, perNat } = unitOf(objective, data)
  const optimizer = createOptimizer(job.optimizer)
  const step = buildTrainingStep({
    layout: trainable.layout,
    feeds: feedsOf(data.fields, batch),
    loss: lossOf(trainable.model, objective),
    optimizer,
    accumulate,
    provider,
    precision,
  })
  const carriedBytes = step.carried.reduce((sum, { shape }) => sum + 4 * elementCount(shape), 0)
  // What is carried is held by the runtime and, while results are copied out, here.
  const neededBytes = step.stepBytes + 2 * carriedBytes
  if (neededBytes > job.maxMemoryBytes) {
    const [needed, limit] = [formatBytes(neededBytes), formatBytes(job.maxMemoryBytes)]
    const message = `A step needs about ${needed} of memory, and ${limit} may be used; a smaller batch (with --accumulate for the same steps), context or model needs less.`
    throw new OwmError('out_of_memory', message, { neededBytes, maxMemoryBytes: job.maxMemoryBytes })
  }
  // Frozen weights are large beside the rest: then memory counts more than a few percent of time.
  const lean = step.constants.length > 0
  const session = await openSession(step.bytes, { threads, provider, lean })
  const stepper = createStepper({ step, session, dataset: data, optimizer, batch, accumulate, seed: job.seed })
  const measurement = heldOut === undefined ? undefined : await openMeasurement(trainable.model, heldOut, job)
  try {
    const identity = identityOf(job, steps, trainable, data)
    const before = job.keep && (await loadCheckpoint(join(job.keep.folder, outputs.checkpoint), identity))
    if (before === undefined) stepper.setParameters(trainable.initial(job.seed))
    else stepper.restore(before.tensors, before.step)
    tell({
      kind: 'started',
      model: job.model.kind,
      objective,
      unit,
      parameters: trainable.layout.length,
      data: data.about,
      heldOut: heldOut?.about ?? null,
      examples: data.length,
      steps,
      stepBytes: step.stepBytes,
      resumedAt: stepper.age,
    })
    const run = {
      job,
      steps,
      stepper,
      trainable,
      saveModel: save,
      identity,
      heldOut,
      measurement,
      perNat,
      examples: data.length,
    }
    return await makeSteps({ ...run, before: before ?? { loss: 0, seconds: 0 } }, signal, tell)
  } finally {
    await stepper.release()
    await measurement?.release()
  }
}

/** Data without anything held out are trained on all the same. */
function openHeldOut(job: LocalJob): Dataset | undefined {
  try {
    return openDataset(job.data, 'heldOut')
  } catch (error) {
    if (error instanceof OwmError && error.code === 'no_training_data') return undefined
    throw error
  }
}
