/** Runs the training step over text, within limits of steps and of time. Blocking: for worker threads. */
import { OwmError } from '../lib/index.ts'
import { createRandom, elementCount, type RuntimeTensor, type Session, splitParameters } from '../onnx/index.ts'
import { nextTurn } from './evaluation.ts'
import type { OptimizerSpec, TrainProgress, TrainResult } from './index.ts'
import { createOptimizer, planOf } from './optimizer.ts'
import type { StepGraph } from './training-step.ts'

export interface TrainJob {
  readonly parameters: Float32Array
  readonly maxSteps: number
  readonly maxMs: number
  readonly runProgress?: { readonly from: number; readonly to: number } | undefined
}
export interface Learner {
  train(
    job: TrainJob,
    context: { readonly signal: AbortSignal; readonly onProgress: (progress: TrainProgress) => void },
  ): Promise<TrainResult>
  release(): Promise<void>
}

/**
 * How long one run of the step graph takes: progress is told, and calling off noticed, this often. Copying weights and
 * state out of the runtime after each run is a few percent of it.
 */
const runMs = 250

export function createLearner(init: {
  readonly step: StepGraph
  readonly session: Session
  readonly text: Uint8Array
  readonly optimizer: OptimizerSpec
  readonly context: number
  readonly seed: number
}): Learner {
  const { step, session, text, optimizer, context } = init
  const { batch } = optimizer
  const { rates: ratesAt, rateCount } = createOptimizer(planOf(optimizer))
  const random = createRandom(init.seed)
  const stateParts = step.carried.slice(step.layout.entries.length)
  let state: Record<string, RuntimeTensor> = {}
  /** Steps since the state was empty. */
  let age = 0
  /** The last measured step: the first run of a call is as long as it should be. */
  let stepMs = runMs
  const forget = (): void => {
    age = 0
    state = Object.fromEntries(
      stateParts.map(({ name, shape }) => [name, floats(shape, new Float32Array(elementCount(shape)))]),
    )
  }
  forget()

  /** Windows of `context + 1` bytes from anywhere in the text. */
  const drawWindows = (count: number): RuntimeTensor => {
    const length = context + 1
    const data = new Int32Array(count * batch * length)
    for (let at = 0; at < data.length; at += length) {
      const from = random.below(text.length - length + 1)
      data.set(text.subarray(from, from + length), at)
    }
    return { type: 'int32', shape: [count, batch, length], data }
  }

  return {
    train: async ({ parameters, maxSteps, maxMs, runProgress = { from: 0, to: 0 } }, { signal, onProgress }) => {
      const startedMs = performance.now()
      let weights: Record<string, RuntimeTensor> = Object.fromEntries(
        splitParameters(step.layout, parameters).map(({ name, shape, values }) => [name, floats(shape, values)]),
      )
      let steps = 0
      let loss = 0
      for (;;) {
        const spentMs = performance.now() - startedMs
        const fits = Math.floor(Math.min(runMs, maxMs - spentMs) / stepMs)
        if (steps > 0 && (steps >= maxSteps || fits < 1)) break
        const count = Math.max(1, Math.min(fits, maxSteps - steps))
        const done = Math.min(1, Math.max(steps / maxSteps, spentMs / maxMs))
        const progress = runProgress.from + (runProgress.to - runProgress.from) * done
        const rates = Array.from({ length: count }, (_, at) => ratesAt(age + at + 1, progress)).flat()
        const runStartedMs = performance.now()
        const results = await session.run({
          windows: drawWindows(count),
          rates: floats([count, rateCount], Float32Array.from(rates)),
          ...weights,
          ...state,
        })
        stepMs = (performance.now() - runStartedMs) / count
        const lossSum = Number(results['loss']!.data[0])
        if (!Number.isFinite(lossSum)) {
          forget()
          const message = `The loss is no longer a number after ${steps + count} steps; a lower learning rate helps.`
          throw new OwmError('loss_not_finite', message, { steps: steps + count })
        }
        age += count
        steps += count
        loss += lossSum
        const next = (name: string): [string, RuntimeTensor] => [name, results[`${name}.next`]!]
        weights = Object.fromEntries(step.layout.entries.map(({ name }) => next(name)))
        state = Object.fromEntries(stateParts.map(({ name }) => next(name)))
        onProgress({
          step: steps,
          lossBitsPerByte: lossSum / count / Math.LN2,
          stepsPerSecond: (1000 * steps) / (performance.now() - startedMs),
        })
        await nextTurn()
        signal.throwIfAborted()
      }
      const trained = new Float32Array(step.layout.length)
      for (const { name, offset } of step.layout.entries) trained.set(weights[name]!.data as Float32Array, offset)
      return { parameters: trained, steps, samples: steps * batch, lossBitsPerByte: loss / steps / Math.LN2 }
    },
    release: () => session.release(),
  }
}

function floats(shape: readonly number[], data: Float32Array): RuntimeTensor {
  return { type: 'float32', shape, data }
}
