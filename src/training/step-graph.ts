/**
 * The training step as an ordinary ONNX graph: forward, cross-entropy, backward and optimizer, K steps in one `Loop`,
 * so that weights and optimizer state stay inside the runtime between steps.
 *
 * Inputs: `windows` int32 [K, batch, context + 1], `rates` float32 [K, rateCount] and, per parameter, the parameter and its
 * optimizer state. Outputs: the same parameters and state after K steps, named alike, and `loss`, the sum over K of the mean loss in nats.
 */
import {
  createGraphBuilder,
  encodeModel,
  type GraphBuilder,
  inlineGraph,
  logitsOutput,
  type Model,
  type ParameterLayout,
  parameterLayout,
  tokensInput,
  type Value,
} from '../onnx/index.ts'
import { appendGradients } from './autodiff.ts'
import type { OptimizerSpec } from './index.ts'
import { rateCount, updateRule } from './optimizer.ts'

export interface StepGraph {
  readonly bytes: Uint8Array
  readonly layout: ParameterLayout
  /** All that is carried from step to step, in the order of the graph's inputs after `windows` and `rates`. */
  readonly carried: readonly { readonly name: string; readonly shape: readonly number[] }[]
}

export function buildStepGraph(
  model: Model,
  options: { readonly batch: number; readonly context: number; readonly optimizer: OptimizerSpec },
): StepGraph {
  const { batch, context, optimizer } = options
  const layout = parameterLayout(model)
  const outer = createGraphBuilder('training')
  const windows = outer.input('windows', 'int32', ['steps', batch, context + 1])
  const rates = outer.input('rates', 'float32', ['steps', rateCount])
  const steps = outer.op('Squeeze', [outer.op('Shape', [windows], { start: 0, end: 1 }), outer.integers([0])])

  const rules = layout.entries.map(({ name, shape }) => ({ name, shape, rule: updateRule(optimizer, name, shape) }))
  const carried = [
    ...layout.entries.map(({ name, shape }) => ({ name, shape })),
    ...rules.flatMap(({ name, rule }) =>
      rule.state.map((part) => ({ name: `${name}:${part.name}`, shape: part.shape })),
    ),
  ]

  // The body takes iteration, condition and what is carried, and gives all but the iteration, in the same order.
  const body = createGraphBuilder('step', 'step.')
  const iteration = body.input('step.iteration', 'int64', [])
  const going = body.input('step.going', 'bool', [])
  const lossBefore = body.input('step.loss', 'float32', [])
  const slots = new Map(carried.map(({ name, shape }) => [name, body.input(`step.${name}`, 'float32', shape)]))
  const parameters = layout.entries.map(({ name }) => ({ name, value: slots.get(name)! }))
  const { loss, gradients } = appendLoss(body, model, body.op('Gather', [windows, iteration]), parameters)
  const rate = body.op('Gather', [rates, iteration])
  const rateValues = Array.from({ length: rateCount }, (_, at) => body.op('Gather', [rate, body.scalar('int64', at)]))
  const next = new Map<string, Value>()
  rules.forEach(({ name, rule }, at) => {
    const state = rule.state.map((part) => slots.get(`${name}:${part.name}`)!)
    const updated = rule.append(body, slots.get(name)!, gradients[at]!, state, rateValues)
    next.set(name, updated.value)
    rule.state.forEach((part, index) => {
      next.set(`${name}:${part.name}`, updated.state[index]!)
    })
  })
  body.output('step.going.next', going)
  body.output('step.loss.next', body.op('Add', [lossBefore, loss]))
  for (const { name } of carried) body.output(`step.${name}.next`, next.get(name)!)

  const initial = carried.map(({ name, shape }) => outer.input(name, 'float32', shape))
  const results = outer.ops(
    'Loop',
    [steps, outer.constant('bool', [], [1]), outer.scalar('float32', 0), ...initial],
    { body: body.graph() },
    carried.length + 1,
  )
  outer.output('loss', results[0]!)
  for (const [at, { name }] of carried.entries()) outer.output(`${name}.next`, results[at + 1]!)
  return { bytes: encodeModel(outer.model()), layout, carried }
}

/** Mean cross-entropy in nats of each byte given those before it, and its gradients. */
export function appendLoss(
  g: GraphBuilder,
  model: Model,
  window: Value,
  parameters: readonly { readonly name: string; readonly value: Value }[],
): { readonly loss: Value; readonly gradients: Value[] } {
  const [batch, length] = window.shape as [number, number]
  const part = (from: number, to: number): Value =>
    g.op('Slice', [window, g.integers([from]), g.integers([to]), g.integers([1])])
  const feeds = new Map(parameters.map(({ name, value }) => [name, value]))
  feeds.set(tokensInput, part(0, length - 1))
  const logits = inlineGraph(g, model.graph, feeds).get(logitsOutput)!
  const targets = g.op('Unsqueeze', [part(1, length), g.integers([2])])
  const logProbabilities = g.op('LogSoftmax', [logits], { axis: -1 })
  const picked = g.op('GatherElements', [logProbabilities, targets], { axis: 2 })
  const loss = g.op('Neg', [g.op('ReduceMean', [picked, g.integers([0, 1, 2])], { keepdims: 0 })])
  // The gradient of loss by logits in one piece: (probabilities - one at the target) / count.
  const share = g.scalar('float32', 1 / (batch * (length - 1)))
  const probabilities = g.op('Mul', [g.op('Exp', [logProbabilities]), share])
  const minus = g.op('Expand', [g.op('Neg', [share]), g.op('Shape', [targets])])
  const gradient = g.op('ScatterElements', [probabilities, targets, minus], { axis: 2, reduction: 'add' })
  const gradients = appendGradients(
    g,
    { value: logits, gradient },
    parameters.map(({ value }) => value),
  )
  return { loss, gradients }
}
