/** Training steps of small models on drawn examples, for whoever compares what several runtimes make of them. */
import * as assert from 'uvu/assert'
import {
  createRandom,
  elementCount,
  type Precision,
  type ProviderName,
  type RuntimeTensor,
  type Session,
  splitParameters,
} from '../../src/onnx/index.ts'
import type { TrainableModel } from '../../src/training/define-model.ts'
import { classification } from '../../src/training/losses.ts'
import { createOptimizer, type OptimizerPlan } from '../../src/training/optimizer.ts'
import { buildTrainingStep, type Feed, type StepGraph } from '../../src/training/training-step.ts'

export interface Case {
  readonly model: TrainableModel
  readonly input: Feed
  readonly classes: number
  readonly plan: OptimizerPlan
}
/** What goes from step to step, and what was lost in each run. */
export interface Trained {
  readonly carried: Readonly<Record<string, RuntimeTensor>>
  readonly losses: readonly number[]
}

const feedsOf = ({ input }: Case): readonly Feed[] => [
  input,
  { name: 'targets', type: 'int32', shape: input.type === 'int32' ? input.shape : input.shape.slice(0, 1) },
]

export function stepOf(
  one: Case,
  options: { readonly provider?: ProviderName; readonly precision?: Precision; readonly accumulate?: number } = {},
): StepGraph {
  const { model, plan } = one
  const loss = classification(model.model)
  return buildTrainingStep({
    layout: model.layout,
    feeds: feedsOf(one),
    loss,
    optimizer: createOptimizer(plan),
    ...options,
  })
}

/** A new model, and an optimizer that has seen nothing. */
export function beginning({ model }: Case, step: StepGraph): Record<string, RuntimeTensor> {
  const parameters = new Map(splitParameters(model.layout, model.initial(1)).map(({ name, values }) => [name, values]))
  return Object.fromEntries(
    step.carried.map(({ name, shape }) => {
      const data = parameters.get(name) ?? new Float32Array(elementCount(shape))
      return [name, { type: 'float32', shape, data }]
    }),
  )
}

/** What the runs of a step graph are fed, beside what is carried: `perRun` steps each, the same examples in any division. */
export function runsOf(one: Case, steps: number, perRun: number, accumulate = 1): Record<string, RuntimeTensor>[] {
  const random = createRandom(5)
  const optimizer = createOptimizer(one.plan)
  const drawn = Array.from({ length: steps }, () =>
    feedsOf(one).map(({ type, shape }) => {
      const length = accumulate * elementCount(shape)
      return type === 'int32'
        ? Array.from({ length }, () => random.below(one.classes))
        : Array.from({ length }, () => random.unit() * 2 - 1)
    }),
  )
  return Array.from({ length: steps / perRun }, (_, run) => {
    const own = drawn.slice(run * perRun, (run + 1) * perRun)
    const fed = feedsOf(one).map(({ name, type, shape }, at): readonly [string, RuntimeTensor] => {
      const values = own.flatMap((step) => step[at]!)
      const data = type === 'int32' ? Int32Array.from(values) : Float32Array.from(values)
      const whole = [perRun, ...(accumulate > 1 ? [accumulate] : []), ...shape]
      return [name, { type: type as 'int32' | 'float32', shape: whole, data }]
    })
    const rates = own.flatMap((_, at) => optimizer.rates(run * perRun + at + 1, 0))
    const shape = [perRun, optimizer.rateCount]
    return { ...Object.fromEntries(fed), rates: { type: 'float32', shape, data: Float32Array.from(rates) } }
  })
}

/** Runs them one after the other. */
export async function train(
  session: Pick<Session, 'run'>,
  step: StepGraph,
  start: Readonly<Record<string, RuntimeTensor>>,
  runs: readonly Readonly<Record<string, RuntimeTensor>>[],
): Promise<Trained> {
  let carried = start
  const losses: number[] = []
  for (const fed of runs) {
    const results = await session.run({ ...fed, ...carried })
    losses.push(Number(results['loss']!.data[0]) / fed['rates']!.shape[0]!)
    carried = Object.fromEntries(step.carried.map(({ name }) => [name, results[`${name}.next`]!]))
  }
  return { carried, losses }
}

/** The largest difference in each tensor, as a part of its largest number, is no larger than this; so in each loss. */
export function agree(actual: Trained, expected: Trained, tolerance: number): void {
  assert.ok(expected.losses.every(Number.isFinite))
  for (const [at, loss] of expected.losses.entries()) {
    const error = Math.abs(actual.losses[at]! - loss) / Math.abs(loss)
    assert.ok(error <= tolerance, `loss ${at}: ${actual.losses[at]}, not ${loss}`)
  }
  for (const [name, { data }] of Object.entries(expected.carried)) {
    const values = Array.from(data, Number)
    const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-6)
    const other = actual.carried[name]?.data ?? []
    assert.is(other.length, values.length, name)
    const error = values.reduce((most, value, i) => {
      const difference = Math.abs(value - Number(other[i]))
      return difference <= most ? most : difference
    }, 0)
    assert.ok(error <= tolerance * largest, `${name}: off by ${error} where the largest is ${largest}`)
  }
}
