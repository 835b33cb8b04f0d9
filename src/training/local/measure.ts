/** Measures a model on held-out examples, a batch at a time; the last batch is filled up with what is not counted. */
import { constantFeeds, elementCount, type Model, openSession, type RuntimeTensor } from '../../onnx/index.ts'
import type { Dataset } from '../data/dataset.ts'
import { nextTurn } from '../evaluation.ts'
import { buildMeasurement } from '../objective.ts'
import type { LocalJob, Measured } from './job.ts'

/** Enough to see how a curve goes, in a fraction of the time. */
const examplesOnTheWay = 1000

export interface Measurement {
  /** The loss in nats, or squared error; on the way of a run, of fewer examples. */
  measure(
    parameters: Readonly<Record<string, RuntimeTensor>>,
    when: 'onTheWay' | 'atTheEnd',
    signal: AbortSignal,
  ): Promise<Measured>
  release(): Promise<void>
}

export async function openMeasurement(
  model: Model,
  dataset: Dataset,
  { batch, threads, provider, measureExamples }: Pick<LocalJob, 'batch' | 'threads' | 'provider' | 'measureExamples'>,
): Promise<Measurement> {
  const { fields } = dataset
  const { bytes, constants } = buildMeasurement(model, fields, batch)
  const session = await openSession(bytes, { threads, provider })
  const fixed = constantFeeds(constants)
  // Windows overlap: of a text, those are measured that lie side by side, or as many of them, spread over the whole.
  const window = fields.find(({ name }) => name === 'windows')
  const apart = window === undefined ? 1 : window.shape[0]! - 1
  const available = Math.ceil(dataset.length / apart)
  const buffers = fields.map(({ type, shape }) => {
    const length = batch * elementCount(shape)
    return type === 'float32' ? new Float32Array(length) : new Int32Array(length)
  })

  return {
    measure: async (parameters, when, signal) => {
      const wanted = when === 'atTheEnd' ? measureExamples : Math.min(measureExamples, examplesOnTheWay)
      const examples = Math.min(available, wanted)
      let loss = 0
      let correct: number | null = 0
      for (let from = 0; from < examples; from += batch) {
        const count = Math.min(batch, examples - from)
        for (let row = 0; row < batch; row++) {
          dataset.read(Math.floor(((from + (row % count)) * available) / examples) * apart, buffers, row)
        }
        const feeds = fields.map(({ name, type, shape }, at): [string, RuntimeTensor] => [
          name,
          { type, shape: [batch, ...shape], data: buffers[at]! },
        ])
        const results = await session.run({ ...fixed, ...parameters, ...Object.fromEntries(feeds) })
        const sum = (name: string): number =>
          (results[name]!.data as Float32Array).subarray(0, count).reduce((a, b) => a + b, 0)
        loss += sum('loss')
        correct = correct === null || results['correct'] === undefined ? null : correct + sum('correct')
        await nextTurn()
        signal.throwIfAborted()
      }
      return { loss: loss / examples, accuracy: correct === null ? null : correct / examples, examples }
    },
    release: async () => {
      dataset.close()
      await session.release()
    },
  }
}
