/**
 * What a model is trained for, which follows from what examples have: `windows` of tokens, of which each is predicted
 * from those before it; `inputs` and a class; `inputs` and numbers.
 */
import { OwmError } from '../lib/index.ts'
import {
  createGraphBuilder,
  encodeModel,
  type GraphBuilder,
  inlineGraph,
  logitsOutput,
  type Model,
  parameterLayout,
  staticShape,
  tokensInput,
  type Value,
} from '../onnx/index.ts'
import type { Field } from './data/dataset.ts'
import { type AppendLoss, crossEntropy } from './losses.ts'
import type { Feed } from './training-step.ts'

export type Objective = 'nextToken' | 'classification' | 'regression'

/** @throws OwmError `bad_data` */
export function objectiveOf(fields: readonly Field[]): Objective {
  if (fields.some(({ name }) => name === 'windows')) return 'nextToken'
  const targets = fields.find(({ name }) => name === 'targets')
  if (targets === undefined) throw new OwmError('bad_data', 'Examples have neither windows of tokens nor targets.')
  return targets.type === 'int32' ? 'classification' : 'regression'
}

/** What a step is fed, of `batch` examples. */
export function feedsOf(fields: readonly Field[], batch: number): Feed[] {
  return fields.map(({ name, type, shape }) => ({ name, type, shape: [batch, ...shape] }))
}

export const lossOf =
  (model: Model, objective: Objective): AppendLoss =>
  (g, parameters, feeds) => {
    const { logits, targets } = predicted(g, model, objective, parameters, feeds)
    return objective === 'regression' ? squaredError(g, logits, targets) : crossEntropy(g, logits, targets)
  }

function predicted(
  g: GraphBuilder,
  model: Model,
  objective: Objective,
  parameters: ReadonlyMap<string, Value>,
  feeds: ReadonlyMap<string, Value>,
): { readonly logits: Value; readonly targets: Value } {
  const run = (inputs: ReadonlyMap<string, Value>): Value =>
    inlineGraph(g, model.graph, new Map([...parameters, ...inputs])).get(logitsOutput)!
  if (objective !== 'nextToken') return { logits: run(feeds), targets: feeds.get('targets')! }
  const window = feeds.get('windows')!
  const length = Number(window.shape[1])
  const part = (from: number, to: number): Value =>
    g.op('Slice', [window, g.integers([from]), g.integers([to]), g.integers([1])])
  return { logits: run(new Map([[tokensInput, part(0, length - 1)]])), targets: part(1, length) }
}

/** The mean of squared differences of `logits` and `targets`, of the same number of elements. */
const squaredError = (g: GraphBuilder, logits: Value, targets: Value): ReturnType<AppendLoss> => {
  const shape = staticShape(logits.shape)
  const count = shape.reduce((product, size) => product * size, 1)
  const difference = g.op('Sub', [logits, g.op('Reshape', [targets, g.integers(shape)])])
  const loss = g.op('ReduceMean', [g.op('Mul', [difference, difference])], { keepdims: 0 })
  return { loss, value: logits, gradient: g.op('Mul', [difference, g.scalar(logits.type, 2 / count)]) }
}

/**
 * Measures a model example by example: fed with a batch and the parameters, it gives `loss` [batch], in nats or squared
 * error, and, of a classifier, `correct` [batch]: 1 where no other class got more than the right one.
 */
export function buildMeasurement(model: Model, fields: readonly Field[], batch: number): Uint8Array {
  const g = createGraphBuilder('measurement')
  const objective = objectiveOf(fields)
  const feeds = new Map(feedsOf(fields, batch).map(({ name, type, shape }) => [name, g.input(name, type, shape)]))
  const parameters = new Map(
    parameterLayout(model).entries.map(({ name, shape }) => [name, g.input(name, 'float32', shape)]),
  )
  const { logits, targets } = predicted(g, model, objective, parameters, feeds)
  const perExample = (value: Value): Value =>
    g.op('ReduceMean', [g.op('Reshape', [value, g.integers([batch, -1])]), g.integers([1])], { keepdims: 0 })
  if (objective === 'regression') {
    const difference = g.op('Sub', [logits, g.op('Reshape', [targets, g.integers(staticShape(logits.shape))])])
    g.output('loss', perExample(g.op('Mul', [difference, difference])))
  } else {
    const axis = targets.shape.length
    const places = g.op('Unsqueeze', [targets, g.integers([axis])])
    const right = g.op('GatherElements', [g.op('LogSoftmax', [logits], { axis: -1 }), places], { axis })
    g.output('loss', g.op('Neg', [perExample(right)]))
    const chosen = g.op('GatherElements', [logits, places], { axis })
    const best = g.op('ReduceMax', [logits, g.integers([axis])], { keepdims: 1 })
    g.output('correct', perExample(g.cast(g.op('GreaterOrEqual', [chosen, best]), 'float32')))
  }
  return encodeModel(g.model())
}
