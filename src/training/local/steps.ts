import { join } from 'node:path'
import { OwmError } from '../../lib/index.ts'
import type { TrainableModel } from '../define-model.ts'
import { nextTurn } from '../evaluation.ts'
import { runMs } from '../learner.ts'
import { openCsvLog } from '../logs/csv.ts'
import type { TrainingLog } from '../logs/row.ts'
import { openTensorBoardLog } from '../logs/tensorboard.ts'
import { learningRateAt } from '../optimizer.ts'
import { parameterTensors, type Stepper } from '../stepper.ts'
import { type Checkpoint, saveCheckpoint } from './checkpoint.ts'
import { type LocalEvent, type LocalJob, type LocalResult, type Measured, outputs } from './job.ts'
import type { Measurement } from './measure.ts'
import type { Prepared } from './prepare.ts'

/** A run that is opened. */
export interface Run {
  readonly job: LocalJob
  /** In all. */
  readonly steps: number
  readonly stepper: Stepper
  readonly trainable: TrainableModel
  readonly saveModel: Prepared['save']
  readonly identity: string
  /** Absent where nothing is held out. */
  readonly measurement: Measurement | undefined
  /** What losses are multiplied by to be in the run's unit. */
  readonly perNat: number
  /** Examples, of which the steps so far make epochs. */
  readonly examples: number
  /** What the run goes on from. */
  readonly before: Pick<Checkpoint, 'loss' | 'seconds'>
}

/** Makes the steps that are left, tells and logs them, measures and saves on the way. */
export async function makeSteps(
  run: Run,
  signal: AbortSignal,
  tell: (event: LocalEvent) => void,
): Promise<LocalResult> {
  const { job, stepper, trainable, before, perNat } = run
  const measureEvery = Math.max(1, Math.ceil(run.steps / (job.measurements + 1)))
  const startedMs = performance.now()
  const seconds = (): number => before.seconds + (performance.now() - startedMs) / 1000
  const logs = await openLogs(job, stepper.age)
  let { loss } = before
  let measured: Measured | null = null
  let savedMs = startedMs
  let savedStep = stepper.age
  const save = async (): Promise<void> => {
    if (job.keep === undefined || savedStep === stepper.age) return
    const { age: step } = stepper
    const checkpoint = { step, loss, seconds: seconds(), tensors: stepper.carried() }
    const bytes = await saveCheckpoint(join(job.keep.folder, outputs.checkpoint), run.identity, checkpoint)
    savedMs = performance.now()
    savedStep = step
    tell({ kind: 'saved', step, bytes })
  }
  const measure = async (when: 'onTheWay' | 'atTheEnd'): Promise<void> => {
    if (run.measurement === undefined) return
    const parameters = parameterTensors(trainable.layout, stepper.parameters())
    const found = await run.measurement.measure(parameters, when, signal)
    measured = { ...found, loss: found.loss * perNat }
    await logs.append({
      step: stepper.age,
      heldOutLoss: measured.loss,
      ...(measured.accuracy === null ? {} : { heldOutAccuracy: measured.accuracy }),
    })
    tell({ kind: 'measured', step: stepper.age, ...measured })
  }
  try {
    if (stepper.age === 0) await measure('onTheWay')
    while (stepper.age < run.steps) {
      signal.throwIfAborted()
      const from = stepper.age
      const toMeasure = measureEvery - (from % measureEvery)
      const count = stepper.fitting(Math.min(run.steps - from, toMeasure), runMs)
      const nats = await stepper
        .advance(count, (at) => (from + at) / run.steps)
        .catch((error: unknown) => {
          if (!(error instanceof OwmError) || error.code !== 'loss_not_finite') throw error
          const message = `Between steps ${from + 1} and ${from + count}: ${error.message}`
          throw new OwmError(error.code, message, { from }, error)
        })
      loss = nats * perNat
      const { age: step, stepMs, examplesPerStep } = stepper
      const learningRate = learningRateAt(job.optimizer, step, (step - 1) / run.steps)
      const rates = { learningRate, examplesPerSecond: (1000 * examplesPerStep) / stepMs }
      const epoch = (step * examplesPerStep) / run.examples
      const memoryBytes = process.memoryUsage.rss()
      await logs.append({ step, epoch, loss, ...rates, seconds: seconds() })
      tell({ kind: 'progress', step, loss, ...rates, stepsPerSecond: 1000 / stepMs, memoryBytes })
      if (step % measureEvery === 0 && step < run.steps) await measure('onTheWay')
      if (performance.now() - savedMs >= (job.keep?.everyMs ?? 0)) await save()
      await nextTurn()
    }
    await save()
    await measure('atTheEnd')
  } catch (error) {
    // What is finished is kept: a run that is called off goes on from here.
    if (signal.aborted) await save()
    throw error
  } finally {
    await logs.close()
  }
  const parameters = stepper.parameters()
  if (job.keep !== undefined) await run.saveModel(job.keep.folder, parameters)
  return { parameters, steps: stepper.age, loss, measured, seconds: seconds() }
}

async function openLogs({ keep }: LocalJob, resumeAt: number): Promise<TrainingLog> {
  if (keep === undefined) return { append: async () => undefined, close: async () => undefined }
  const csv = await openCsvLog(join(keep.folder, outputs.csv), { resumeAt })
  const board = await openTensorBoardLog(join(keep.folder, outputs.tensorBoard), { resumeAt })
  return {
    append: async (row) => void (await Promise.all([csv.append(row), board.append(row)])),
    close: async () => void (await Promise.allSettled([csv.close(), board.close()])),
  }
}
