/** The training step of a language model over windows of text: `windows` int32 [K, batch, context + 1]. */
import { inlineGraph, logitsOutput, type Model, parameterLayout, tokensInput, type Value } from '../onnx/index.ts'
import type { OptimizerSpec } from './index.ts'
import { type AppendLoss, crossEntropy } from './losses.ts'
import { createOptimizer, planOf } from './optimizer.ts'
import { buildTrainingStep, type StepGraph } from './training-step.ts'

export function buildStepGraph(
  model: Model,
  options: { readonly batch: number; readonly context: number; readonly optimizer: OptimizerSpec },
): StepGraph {
  const { batch, context, optimizer } = options
  return buildTrainingStep({
    layout: parameterLayout(model),
    feeds: [{ name: 'windows', type: 'int32', shape: [batch, context + 1] }],
    loss: nextToken(model),
    optimizer: createOptimizer(planOf(optimizer)),
  })
}

/** Mean cross-entropy in nats of each token of a window given those before it. */
const nextToken =
  (model: Model): AppendLoss =>
  (g, parameters, feeds) => {
    const window = feeds.get('windows')!
    const length = Number(window.shape[1])
    const part = (from: number, to: number): Value =>
      g.op('Slice', [window, g.integers([from]), g.integers([to]), g.integers([1])])
    const inputs = new Map([...parameters, [tokensInput, part(0, length - 1)]])
    const logits = inlineGraph(g, model.graph, inputs).get(logitsOutput)!
    return crossEntropy(g, logits, part(1, length))
  }
