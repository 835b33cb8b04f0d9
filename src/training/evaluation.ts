/**
 * Measures a model on text: the forward graph with the loss of each predicted byte summed inside the runtime, so that
 * no logits leave it. Batch and length are left open: the last, shorter window is measured too.
 */
import {
  createGraphBuilder,
  encodeModel,
  inlineGraph,
  logitsOutput,
  type Model,
  parameterLayout,
  type RuntimeTensor,
  type Session,
  tokensInput,
} from '../onnx/index.ts'
import type { Measured } from './local/job.ts'

/** Windows measured in one run: larger is no faster, and the call can be ended between runs. */
const windowsAtOnce = 32

export function buildEvaluationGraph(model: Model): Uint8Array {
  const g = createGraphBuilder('evaluation')
  const tokens = g.input('tokens', 'int32', ['batch', 'sequence'])
  const targets = g.input('targets', 'int32', ['batch', 'sequence'])
  const feeds = new Map([[tokensInput, tokens]])
  for (const { name, shape } of parameterLayout(model).entries) feeds.set(name, g.input(name, 'float32', shape))
  const logits = inlineGraph(g, model.graph, feeds).get(logitsOutput)!
  const logProbabilities = g.op('LogSoftmax', [logits], { axis: -1 })
  const picked = g.op('GatherElements', [logProbabilities, g.op('Unsqueeze', [targets, g.integers([2])])], { axis: 2 })
  g.output('nats', g.op('Neg', [g.op('ReduceSum', [picked, g.integers([0, 1, 2])], { keepdims: 0 })]))
  return encodeModel(g.model())
}

export async function measure(
  session: Session,
  parameters: Readonly<Record<string, RuntimeTensor>>,
  { text, context, signal }: { readonly text: Uint8Array; readonly context: number; readonly signal: AbortSignal },
): Promise<Measured> {
  let nats = 0
  let bytes = 0
  const add = async (from: number, windows: number, length: number): Promise<void> => {
    if (windows === 0 || length < 2) return
    const tokens = new Int32Array(windows * (length - 1))
    const targets = new Int32Array(windows * (length - 1))
    for (let window = 0; window < windows; window++) {
      const at = from + window * length
      tokens.set(text.subarray(at, at + length - 1), window * (length - 1))
      targets.set(text.subarray(at + 1, at + length), window * (length - 1))
    }
    const shape = [windows, length - 1]
    const result = await session.run({
      ...parameters,
      tokens: { type: 'int32', shape, data: tokens },
      targets: { type: 'int32', shape, data: targets },
    })
    nats += Number(result['nats']!.data[0])
    bytes += tokens.length
  }
  const whole = Math.floor(text.length / context)
  for (let window = 0; window < whole; window += windowsAtOnce) {
    await add(window * context, Math.min(windowsAtOnce, whole - window), context)
    await nextTurn()
    signal.throwIfAborted()
  }
  await add(whole * context, 1, text.length - whole * context)
  return { loss: nats / Math.LN2 / bytes, accuracy: null, examples: bytes }
}

/** Lets the thread take its messages, of which one may be to stop. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
