/** What a model is trained to make small. */
import { type GraphBuilder, inlineGraph, logitsOutput, type Model, staticShape, type Value } from '../onnx/index.ts'

/** A loss, and the value from which gradients start, with the loss's gradient there. */
export interface Loss {
  readonly loss: Value
  readonly value: Value
  readonly gradient: Value
}
export type AppendLoss = (
  g: GraphBuilder,
  parameters: ReadonlyMap<string, Value>,
  feeds: ReadonlyMap<string, Value>,
) => Loss

/** Mean cross-entropy, in nats, of `targets` int [...] given `logits` [..., classes]. */
export function crossEntropy(g: GraphBuilder, logits: Value, targets: Value): Loss {
  const axis = targets.shape.length
  const places = g.op('Unsqueeze', [targets, g.integers([axis])])
  const logProbabilities = g.op('LogSoftmax', [logits], { axis: -1 })
  const picked = g.op('GatherElements', [logProbabilities, places], { axis })
  const axes = places.shape.map((_, at) => at)
  const loss = g.op('Neg', [g.op('ReduceMean', [picked, g.integers(axes)], { keepdims: 0 })])
  // The gradient by the logits in one piece: (probabilities - one at the target) / count.
  const count = staticShape(targets.shape).reduce((product, size) => product * size, 1)
  const share = g.scalar(logProbabilities.type, 1 / count)
  const probabilities = g.op('Mul', [g.op('Exp', [logProbabilities]), share])
  const minus = g.op('Expand', [g.op('Neg', [share]), g.op('Shape', [places])])
  const gradient = g.op('ScatterElements', [probabilities, places, minus], { axis, reduction: 'add' })
  return { loss, value: logits, gradient }
}

/** The loss of a model that gives `logits`: cross-entropy with the feed `targets`; the other feeds are its inputs. */
export const classification =
  (model: Model): AppendLoss =>
  (g, parameters, feeds) => {
    const logits = inlineGraph(g, model.graph, new Map([...parameters, ...feeds])).get(logitsOutput)!
    return crossEntropy(g, logits, feeds.get('targets')!)
  }
