/** The training step of a language model over windows of text: `windows` int32 [K, batch, context + 1]. */
import { type Model, parameterLayout } from '../onnx/index.ts'
import type { OptimizerSpec } from './index.ts'
import { lossOf } from './objective.ts'
import { createOptimizer, planOf } from './optimizer.ts'
import { buildTrainingStep, type StepGraph } from './training-step.ts'

export function buildStepGraph(
  model: Model,
  {
    batch,
    context,
    optimizer,
  }: { readonly batch: number; readonly context: number; readonly optimizer: OptimizerSpec },
): StepGraph {
  return buildTrainingStep({
    layout: parameterLayout(model),
    feeds: [{ name: 'windows', type: 'int32', shape: [batch, context + 1] }],
    loss: lossOf(model, 'nextToken'),
    optimizer: createOptimizer(planOf(optimizer)),
  })
}
