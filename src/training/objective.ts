/**
 * What a model is trained for, which follows from what examples have: `windows` of tokens, of which each is predicted
 * from those before it; `inputs` and a class; `inputs` and numbers.
 */
import { OwmError } from '../lib/index.ts'
import {
  type Constant,
  createGraphBuilder,
  encodeModel,
  type GraphBuilder,
  inlineGraph,
  logitsOutput,
  type Model,
  opset,
  parameterLayout,
  staticShape,
  tokensInput,
  type Value,
  withoutLargeConstants,
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

/** What losses are told in: text in bits per byte, where tokens are bytes; else nats, or the square of an error. */
export type LossUnit = 'nats' | 'squared error' | 'bits/byte'

/** The unit of a run's losses, and how much of it is one of what the step graph gives. */
export function lossUnit(fields: readonly Field[]): { readonly unit: LossUnit; readonly perNat: number } {
  if (objectiveOf(fields) === 'regression') return { unit: 'squared error', perNat: 1 }
  return languageShape(fields)?.vocabulary === 256
    ? { unit: 'bits/byte', perNat: 1 / Math.LN2 }
    : { unit: 'nats', perNat: 1 }
}

/** Of windows of tokens; null of other examples. */
export function languageShape(
  fields: readonly Field[],
): { readonly context: number; readonly vocabulary: number } | null {
  const windows = fields.find(({ name }) => name === 'windows')
  if (windows?.type !== 'int32') return null
  return { context: windows.shape[0]! - 1, vocabulary: windows.values }
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
  if (objective !== 'nextToken') return { logits: run(fitted(g, model, feeds)), targets: feeds.get('targets')! }
  const window = feeds.get('windows')!
  const length = Number(window.shape[1])
  const part = (from: number, to: number): Value =>
    g.op('Slice', [window, g.integers([from]), g.integers([to]), g.integers([1])])
  return { logits: run(new Map([[tokensInput, part(0, length - 1)]])), targets: part(1, length) }
}

/** Examples as the model takes them: an image as a row of numbers, or a row of as many as an image. */
function fitted(g: GraphBuilder, model: Model, feeds: ReadonlyMap<string, Value>): ReadonlyMap<string, Value> {
  return new Map(
    [...feeds].map(([name, value]) => {
      const [batch, ...wanted] = model.graph.inputs.find((input) => input.name === name)?.shape ?? value.shape
      const known = wanted.every((size) => typeof size === 'number')
      if (batch === undefined || !known || wanted.join() === value.shape.slice(1).join()) return [name, value]
      return [name, g.op('Reshape', [value, g.integers([Number(value.shape[0]), ...(wanted as number[])])])]
    }),
  )
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
 * error, and, of a classifier, `correct` [batch]: 1 where no other class got more than the right one. The model's large
 * constants are inputs too.
 */
export function buildMeasurement(
  model: Model,
  fields: readonly Field[],
  batch: number,
): { readonly bytes: Uint8Array; readonly constants: readonly Constant[] } {
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
  const { graph, constants } = withoutLargeConstants(g.graph())
  const inputs = constants.map(({ name, tensor: { type, shape } }) => ({ name, type, shape }))
  return { bytes: encodeModel({ opset, graph: { ...graph, inputs: [...graph.inputs, ...inputs] } }), constants }
}
