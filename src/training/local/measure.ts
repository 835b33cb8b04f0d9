/** Measures a model on held-out examples, a batch at a time; the last batch is filled up with what is not counted. */
import type { RuntimeTensor, Session } from '../../onnx/index.ts'
import { elementCount } from '../../onnx/index.ts'
import type { Dataset } from '../data/dataset.ts'
import { nextTurn } from '../evaluation.ts'
import type { Measured } from './job.ts'

export async function measureOn(
  session: Session,
  parameters: Readonly<Record<string, RuntimeTensor>>,
  dataset: Dataset,
  {
    batch,
    maxExamples,
    signal,
  }: { readonly batch: number; readonly maxExamples: number; readonly signal: AbortSignal },
): Promise<Measured> {
  // Windows overlap: of a text, those are measured that lie side by side, or as many of them, spread over the whole.
  const window = dataset.fields.find(({ name }) => name === 'windows')
  const apart = window === undefined ? 1 : window.shape[0]! - 1
  const available = Math.max(1, Math.floor((dataset.length + apart - 1) / apart))
  const examples = Math.min(available, maxExamples)
  const buffers = dataset.fields.map(({ type, shape }) => {
    const length = batch * elementCount(shape)
    return type === 'float32' ? new Float32Array(length) : new Int32Array(length)
  })
  let loss = 0
  let correct: number | null = 0
  for (let from = 0; from < examples; from += batch) {
    const count = Math.min(batch, examples - from)
    for (let row = 0; row < batch; row++) {
      const at = Math.floor(((from + (row % count)) * available) / examples)
      dataset.read(at * apart, buffers, row)
    }
    const feeds = dataset.fields.map(({ name, type, shape }, at): [string, RuntimeTensor] => [
      name,
      { type, shape: [batch, ...shape], data: buffers[at]! },
    ])
    const results = await session.run({ ...parameters, ...Object.fromEntries(feeds) })
    const sum = (name: string): number =>
      (results[name]!.data as Float32Array).subarray(0, count).reduce((a, b) => a + b, 0)
    loss += sum('loss')
    correct = correct === null || results['correct'] === undefined ? null : correct + sum('correct')
    await nextTurn()
    signal.throwIfAborted()
  }
  return { loss: loss / examples, accuracy: correct === null ? null : correct / examples, examples }
}
