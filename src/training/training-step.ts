/**
 * A training step as an ordinary ONNX graph: forward, loss, backward and optimizer, K steps in one `Loop`, so that
 * weights and optimizer state stay inside the runtime between steps.
 *
 * Inputs: each feed [K, ...], `rates` float32 [K, rateCount] and, per parameter, the parameter and its optimizer state.
 * Outputs: the same parameters and state after K steps, named alike with `.next`, and `loss`, the sum over K.
 */
import {
  type Constant,
  createGraphBuilder,
  type ElementType,
  encodeModel,
  type Graph,
  type GraphBuilder,
  inlineGraph,
  type ParameterLayout,
  type Precision,
  type ProviderName,
  peakBytes,
  providers,
  type Value,
  withoutLargeConstants,
} from '../onnx/index.ts'
import { appendGradients } from './autodiff.ts'
import type { AppendLoss } from './losses.ts'
import { lowered, loweringFor } from './lowering.ts'
import { addProduct, clipped, type Optimizer } from './optimizer.ts'
import { appendLossScaling, inMixedPrecision, scalingState } from './precision.ts'
import type { RuleTable } from './rules/rule.ts'

export interface StepGraph {
  readonly bytes: Uint8Array
  readonly layout: ParameterLayout
  /** All that is carried from step to step: parameters, then state, in the order of the graph's inputs after feeds and `rates`. */
  readonly carried: readonly { readonly name: string; readonly shape: readonly number[] }[]
  /** The model's large constants, such as frozen weights, which are further inputs: `constantFeeds` makes their feeds. */
  readonly constants: readonly Constant[]
  /** How many steps one run makes: `many`, or one at a time where the provider has no use for a `Loop`. */
  readonly steps: 'many' | 'single'
  /** What a step's values take at most, beside what is carried and fed. */
  readonly stepBytes: number
}
export interface Feed {
  readonly name: string
  readonly type: ElementType
  readonly shape: readonly number[]
}
export interface TrainingStepInit {
  readonly layout: ParameterLayout
  /** What one step is given anew. */
  readonly feeds: readonly Feed[]
  readonly loss: AppendLoss
  readonly optimizer: Optimizer
  /**
   * Batches of these feeds whose gradients are averaged into one update, with the memory of one; each feed is then
   * [K, accumulate, ...].
   */
  readonly accumulate?: number
  /** For which the step is written; by default the CPU. */
  readonly provider?: ProviderName
  /** `float16`: mixed precision, where the provider has it. */
  readonly precision?: Precision
}

/** @throws OwmError `provider_cannot_train`, `no_such_precision`, `no_gradient`, `bad_graph` */
export function buildTrainingStep(init: TrainingStepInit): StepGraph {
  const { layout, feeds, loss, optimizer, accumulate = 1, provider = 'cpu', precision = 'float32' } = init
  const lowering = loweringFor(provider, precision)
  const mixed = precision === 'float16'
  const write: Write = {
    rules: lowering.rules,
    model: (g) => (mixed ? inMixedPrecision(lowered(g, lowering)) : lowered(g, lowering)),
  }
  const outer = createGraphBuilder('training')
  const stacked = (shape: readonly number[]) => ['steps', ...(accumulate > 1 ? [accumulate] : []), ...shape]
  const given = feeds.map(({ name, type, shape }) => outer.input(name, type, stacked(shape)))
  const rates = outer.input('rates', 'float32', ['steps', optimizer.rateCount])
  const steps = outer.op('Squeeze', [outer.op('Shape', [rates], { start: 0, end: 1 }), outer.integers([0])])

  const rules = layout.entries.map(({ name, shape }) => ({ name, rule: optimizer.rule(name, shape) }))
  const carried = [
    ...layout.entries.map(({ name, shape }) => ({ name, shape })),
    ...rules.flatMap(({ name, rule }) => rule.state.map((part) => ({ ...part, name: `${name}:${part.name}` }))),
    ...(mixed ? scalingState : []),
  ]
  // The body takes iteration, condition and what is carried, and gives all but the iteration, in the same order.
  const body = createGraphBuilder('step', 'step.')
  const iteration = body.input('step.iteration', 'int64', [])
  const going = body.input('step.going', 'bool', [])
  const lossBefore = body.input('step.loss', 'float32', [])
  const slots = new Map(carried.map(({ name, shape }) => [name, body.input(`step.${name}`, 'float32', shape)]))
  const parameters = new Map(layout.entries.map(({ name }) => [name, slots.get(name)!]))
  const now = new Map(feeds.map(({ name }, at) => [name, body.op('Gather', [given[at]!, iteration])]))
  const rate = body.op('Gather', [rates, iteration])
  const rateValues = Array.from({ length: optimizer.rateCount }, (_, at) =>
    body.op('Gather', [rate, body.scalar('int64', at)]),
  )
  const seedRate = optimizer.seedRate === undefined ? undefined : rateValues[optimizer.seedRate]!
  const scaling = mixed ? appendLossScaling(body, slots) : undefined
  const seedFactor = scaling?.scale ?? seedRate
  const made =
    accumulate > 1
      ? accumulated(body, accumulate, now, parameters, loss, seedFactor, write, providers[provider].loops)
      : lossAndGradients(body, now, parameters, loss, seedFactor, write)
  const plain = scaling?.unscaled(made.gradients, seedRate) ?? made.gradients
  const gradients = optimizer.clipNorm === undefined ? plain : clipped(body, plain, optimizer.clipNorm)

  const updates = new Map<string, Value>()
  rules.forEach(({ name, rule }, at) => {
    const state = rule.state.map((part) => slots.get(`${name}:${part.name}`)!)
    const updated = rule.append(body, slots.get(name)!, gradients[at]!, state, rateValues)
    updates.set(name, updated.value)
    rule.state.forEach((part, index) => {
      updates.set(`${name}:${part.name}`, updated.state[index]!)
    })
  })
  const next = scaling?.guard(slots, updates) ?? updates
  body.output('step.going.next', going)
  body.output('step.loss.next', body.op('Add', [lossBefore, made.loss]))
  for (const { name } of carried) body.output(`step.${name}.next`, next.get(name)!)

  const initial = carried.map(({ name, shape }) => outer.input(name, 'float32', shape))
  const { graph: step, constants } = withoutLargeConstants(body.graph())
  for (const { name, tensor } of constants) outer.input(name, tensor.type, tensor.shape)
  const start = [outer.constant('bool', [], [1]), outer.scalar('float32', 0), ...initial]
  const { loops } = providers[provider]
  const results = loops
    ? outer.ops('Loop', [steps, ...start], { body: step }, carried.length + 1)
    : once(outer, step, [outer.scalar('int64', 0), ...start])
  outer.output('loss', results[0]!)
  for (const [at, { name }] of carried.entries()) outer.output(`${name}.next`, results[at + 1]!)
  return {
    bytes: encodeModel(outer.model()),
    layout,
    carried,
    constants,
    steps: loops ? 'many' : 'single',
    stepBytes: peakBytes(body) + (made.batchBytes ?? 0),
  }
}

/** A loop's body without the loop, for one iteration. It uses values of the graph around it by their names. */
function once(g: GraphBuilder, body: Graph, inputs: readonly Value[]): Value[] {
  const around = g.inputs.filter(({ name }) => body.nodes.some((node) => node.inputs.includes(name)))
  const given = [...body.inputs.map(({ name }, at) => [name, inputs[at]!] as const)]
  const feeds = new Map([...given, ...around.map((value) => [value.name, value] as const)])
  const whole = { ...body, inputs: [...feeds].map(([name, { type, shape }]) => ({ name, type, shape })) }
  return [...inlineGraph(g, whole, feeds).values()].slice(1)
}

/** How a provider wants the step to be written. */
interface Write {
  readonly rules: RuleTable
  /** The builder for the model and its gradients. */
  model(g: GraphBuilder): GraphBuilder
}
interface Made {
  readonly loss: Value
  readonly gradients: readonly Value[]
  /** Of a loop within the step. */
  readonly batchBytes?: number
}

function lossAndGradients(
  g: GraphBuilder,
  feeds: ReadonlyMap<string, Value>,
  parameters: ReadonlyMap<string, Value>,
  appendLoss: AppendLoss,
  seedFactor: Value | undefined,
  write: Write,
): Made {
  const m = write.model(g)
  const { loss, value, gradient } = appendLoss(m, parameters, feeds)
  const seed = seedFactor === undefined ? gradient : m.op('Mul', [gradient, seedFactor])
  const gradients = appendGradients(m, { value, gradient: seed }, [...parameters.values()], write.rules)
  return { loss: m.cast(loss, 'float32'), gradients: gradients.map((one) => m.cast(one, 'float32')) }
}

/**
 * The mean over batches, in a loop of its own that carries the sums, or one after the other where there are no loops. It
 * sees the parameters of the step around it.
 */
function accumulated(
  g: GraphBuilder,
  count: number,
  feeds: ReadonlyMap<string, Value>,
  parameters: ReadonlyMap<string, Value>,
  appendLoss: AppendLoss,
  seedFactor: Value | undefined,
  write: Write,
  loops: boolean,
): Made {
  const share = g.scalar('float32', 1 / count)
  const mean = (value: Value): Value => g.op('Mul', [value, share])
  // Gradients are of a share of the loss: their sums are means.
  const factor = seedFactor === undefined ? share : mean(seedFactor)
  if (!loops) {
    const parts = Array.from({ length: count }, (_, at) => {
      const now = new Map([...feeds].map(([name, value]) => [name, g.op('Gather', [value, g.scalar('int64', at)])]))
      return lossAndGradients(g, now, parameters, appendLoss, factor, write)
    })
    const sum = (of: (part: Made) => Value): Value => parts.map(of).reduce((a, b) => g.op('Add', [a, b]))
    return {
      loss: mean(sum((part) => part.loss)),
      gradients: [...parameters.keys()].map((_, at) => sum((part) => part.gradients[at]!)),
    }
  }
  const inner = createGraphBuilder('batch', 'batch.')
  const iteration = inner.input('batch.iteration', 'int64', [])
  const going = inner.input('batch.going', 'bool', [])
  const lossBefore = inner.input('batch.loss', 'float32', [])
  const sums = [...parameters.values()].map(({ shape }, at) => inner.input(`batch.sum.${at}`, 'float32', shape))
  const now = new Map([...feeds].map(([name, value]) => [name, inner.op('Gather', [value, iteration])]))
  const made = lossAndGradients(inner, now, parameters, appendLoss, factor, write)
  inner.output('batch.going.next', going)
  inner.output('batch.loss.next', inner.op('Add', [lossBefore, made.loss]))
  for (const [at, sum] of sums.entries())
    inner.output(`batch.sum.${at}.next`, addProduct(inner, sum, made.gradients[at]!))
  const zeros = sums.map(({ shape }) => g.op('Expand', [g.scalar('float32', 0), g.integers(shape as number[])]))
  const [loss, ...gradients] = g.ops(
    'Loop',
    [g.scalar('int64', count), g.constant('bool', [], [1]), g.scalar('float32', 0), ...zeros],
    { body: inner.graph() },
    sums.length + 1,
  )
  return { loss: mean(loss!), gradients, batchBytes: peakBytes(inner) }
}
