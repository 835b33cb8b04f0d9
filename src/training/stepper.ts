/**
 * Runs a step graph over a data set, and holds what goes on from step to step: parameters, the optimizer's state, and
 * the place in the data. Blocking: for worker threads.
 *
 * Bits do not depend on how many steps are in one run, nor on one or two threads (measured on onnxruntime 1.30, CPU).
 */
import { OwmError } from '../lib/index.ts'
import {
  constantFeeds,
  elementCount,
  type ParameterLayout,
  type RuntimeTensor,
  type Session,
  splitParameters,
} from '../onnx/index.ts'
import type { Dataset } from './data/dataset.ts'
import { createOrder } from './data/order.ts'
import type { Optimizer } from './optimizer.ts'
import type { StepGraph } from './training-step.ts'

/** A tensor that is carried from step to step, by its name in the step graph. */
export interface CarriedTensor {
  readonly name: string
  readonly shape: readonly number[]
  readonly data: Float32Array
}
export interface Stepper {
  /** Examples that one step sees. */
  readonly examplesPerStep: number
  /** Of one step, as last measured. */
  readonly stepMs: number
  /** Steps since the optimizer's state was empty. */
  readonly age: number
  /** How many steps, up to `wanted`, fit about `limitMs` and the memory for their examples; at least one. */
  fitting(wanted: number, limitMs: number): number
  /**
   * Makes `count` steps.
   *
   * @param progressAt the whole run's progress, 0 to 1, at the step of this call counted from 0
   * @returns the mean loss of the steps, in nats
   * @throws OwmError `loss_not_finite`: the optimizer's state is empty then, and the parameters are of no use
   */
  advance(count: number, progressAt: (step: number) => number): Promise<number>
  parameters(): Float32Array
  setParameters(parameters: Float32Array): void
  carried(): readonly CarriedTensor[]
  /** Puts back what `carried` gave after `steps` steps. @throws OwmError `wrong_length` */
  restore(tensors: readonly CarriedTensor[], steps: number): void
  release(): Promise<void>
}

/** The examples of one run are held in memory twice, here and in the runtime. */
const maxFeedBytes = 64 * 1024 * 1024

export function createStepper(init: {
  readonly step: StepGraph
  readonly session: Session
  readonly dataset: Dataset
  readonly optimizer: Optimizer
  readonly batch: number
  readonly accumulate?: number
  /** Decides in which order examples are seen. */
  readonly seed: number
}): Stepper {
  const { step, session, dataset, optimizer, batch, accumulate = 1 } = init
  const { layout } = step
  const constants = constantFeeds(step.constants)
  const order = createOrder(dataset.length, init.seed)
  const examplesPerStep = batch * accumulate
  const exampleBytes = dataset.fields.reduce((sum, { shape }) => sum + 4 * elementCount(shape), 0)
  const fittingFeeds = Math.max(1, Math.floor(maxFeedBytes / (exampleBytes * examplesPerStep)))
  const mostAtOnce = step.steps === 'many' ? fittingFeeds : 1
  let weights: Record<string, RuntimeTensor> = {}
  let state: Record<string, RuntimeTensor> = {}
  let age = 0
  let drawn = 0
  let stepMs = 0
  const stateParts = step.carried.slice(layout.entries.length)
  const forget = (): void => {
    age = 0
    state = tensorsOf(stateParts.map((part) => ({ ...part, data: new Float32Array(elementCount(part.shape)) })))
  }
  forget()

  const draw = (count: number): Record<string, RuntimeTensor> => {
    const rows = count * examplesPerStep
    const buffers = dataset.fields.map(({ type, shape }) => {
      const length = rows * elementCount(shape)
      return type === 'float32' ? new Float32Array(length) : new Int32Array(length)
    })
    for (let row = 0; row < rows; row++) dataset.read(order(drawn * examplesPerStep + row), buffers, row)
    const stacked = accumulate > 1 ? [count, accumulate, batch] : [count, batch]
    return Object.fromEntries(
      dataset.fields.map(({ name, type, shape }, at) => [
        name,
        { type, shape: [...stacked, ...shape], data: buffers[at]! },
      ]),
    )
  }
  const all = (): Record<string, RuntimeTensor> => ({ ...weights, ...state })

  return {
    examplesPerStep,
    get stepMs() {
      return stepMs
    },
    get age() {
      return age
    },
    fitting: (wanted, limitMs) => {
      const fits = stepMs === 0 ? 1 : Math.floor(limitMs / stepMs)
      return Math.max(1, Math.min(wanted, fits, mostAtOnce))
    },
    advance: async (count, progressAt) => {
      const rates = Array.from({ length: count }, (_, at) => optimizer.rates(age + at + 1, progressAt(at))).flat()
      const startedMs = performance.now()
      const results = await session.run({
        ...constants,
        ...draw(count),
        rates: { type: 'float32', shape: [count, optimizer.rateCount], data: Float32Array.from(rates) },
        ...all(),
      })
      stepMs = (performance.now() - startedMs) / count
      const loss = Number(results['loss']!.data[0]) / count
      if (!Number.isFinite(loss)) {
        forget()
        throw new OwmError('loss_not_finite', 'The loss is no longer a number; a lower learning rate helps.')
      }
      age += count
      drawn += count
      const next = (name: string): [string, RuntimeTensor] => [name, results[`${name}.next`]!]
      weights = Object.fromEntries(layout.entries.map(({ name }) => next(name)))
      state = Object.fromEntries(stateParts.map(({ name }) => next(name)))
      return loss
    },
    parameters: () => {
      const parameters = new Float32Array(layout.length)
      for (const { name, offset } of layout.entries) parameters.set(weights[name]!.data as Float32Array, offset)
      return parameters
    },
    setParameters: (parameters) => {
      weights = parameterTensors(layout, parameters)
    },
    carried: () => {
      const tensors = all()
      return step.carried.map(({ name, shape }) => ({ name, shape, data: tensors[name]!.data as Float32Array }))
    },
    restore: (tensors, steps) => {
      const given = new Map(tensors.map((tensor) => [tensor.name, tensor]))
      const found = step.carried.map(({ name, shape }) => {
        const tensor = given.get(name)
        if (tensor?.shape.join() !== shape.join()) {
          throw new OwmError('wrong_length', `The tensor ${name} of shape [${shape.join(', ')}] is not in it.`, {
            name,
          })
        }
        return tensor
      })
      weights = tensorsOf(found.slice(0, layout.entries.length))
      state = tensorsOf(found.slice(layout.entries.length))
      age = steps
      drawn = steps
    },
    release: async () => {
      dataset.close()
      await session.release()
    },
  }
}

/** A model's parameters as a session takes them: views, by name. @throws OwmError `wrong_length` */
export function parameterTensors(layout: ParameterLayout, parameters: Float32Array): Record<string, RuntimeTensor> {
  return tensorsOf(splitParameters(layout, parameters).map(({ values, ...entry }) => ({ ...entry, data: values })))
}

function tensorsOf(tensors: readonly CarriedTensor[]): Record<string, RuntimeTensor> {
  return Object.fromEntries(tensors.map(({ name, shape, data }) => [name, { type: 'float32', shape, data }]))
}
