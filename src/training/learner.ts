/** A trainer's work for a federated run: local steps from given parameters, within limits of steps and of time. */
import { OwmError } from '../lib/index.ts'
import { nextTurn } from './evaluation.ts'
import type { TrainProgress, TrainResult } from './index.ts'
import type { Stepper } from './stepper.ts'

export interface TrainJob {
  readonly parameters: Float32Array
  readonly maxSteps: number
  readonly maxMs: number
  readonly maxEpochs?: number | undefined
  readonly runProgress?: { readonly from: number; readonly to: number } | undefined
}

/**
 * How long one run of the step graph takes: progress is told, and calling off noticed, this often. Copying weights and
 * state out of the runtime after each run is a few percent of it.
 */
export const runMs = 250

export async function learn(
  stepper: Stepper,
  { parameters, maxMs, runProgress: { from, to } = { from: 0, to: 0 }, ...job }: TrainJob,
  about: {
    /** Of the data set. */
    readonly examples: number
    /** What a nat is in the unit that is told. */
    readonly perNat: number
    readonly signal: AbortSignal
    readonly onProgress: (progress: TrainProgress) => void
  },
): Promise<TrainResult> {
  const { signal, onProgress, perNat } = about
  const epochSteps = ((job.maxEpochs ?? Number.POSITIVE_INFINITY) * about.examples) / stepper.examplesPerStep
  const maxSteps = Math.max(1, Math.min(job.maxSteps, Math.round(epochSteps)))
  const startedMs = performance.now()
  const spentMs = (): number => performance.now() - startedMs
  stepper.setParameters(parameters)
  let steps = 0
  let loss = 0
  for (;;) {
    const leftMs = maxMs - spentMs()
    if (steps > 0 && (steps >= maxSteps || leftMs < stepper.stepMs)) break
    const count = stepper.fitting(maxSteps - steps, Math.min(runMs, leftMs))
    const done = Math.min(1, Math.max(steps / maxSteps, spentMs() / maxMs))
    const progress = from + (to - from) * done
    const mean = await stepper
      .advance(count, () => progress)
      .catch((error: unknown) => {
        if (!(error instanceof OwmError) || error.code !== 'loss_not_finite') throw error
        const message = `After ${steps + count} steps: ${error.message}`
        throw new OwmError(error.code, message, { steps: steps + count }, error)
      })
    steps += count
    loss += mean * count
    onProgress({ step: steps, loss: mean * perNat, stepsPerSecond: (1000 * steps) / spentMs() })
    await nextTurn()
    signal.throwIfAborted()
  }
  const samples = steps * stepper.examplesPerStep
  return { parameters: stepper.parameters(), steps, samples, loss: (loss / steps) * perNat }
}
