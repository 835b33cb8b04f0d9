/** Measures a model for inference as it is used: its logits, one example at a time. */
import {
  elementCount,
  logitsOutput,
  type Model,
  type RuntimeTensor,
  type Session,
  tokensInput,
} from '../../onnx/index.ts'
import type { Dataset } from '../data/dataset.ts'
import { nextTurn } from '../evaluation.ts'
import type { Objective } from '../objective.ts'
import type { Quality } from './index.ts'

/** Blocking, between examples not. */
export async function qualityOf(
  session: Session,
  model: Model,
  objective: Objective,
  dataset: Dataset,
  { examples, signal }: { readonly examples: number; readonly signal: AbortSignal },
): Promise<Quality> {
  const buffers = dataset.fields.map(({ type, shape }) => {
    const length = elementCount(shape)
    return type === 'float32' ? new Float32Array(length) : new Int32Array(length)
  })
  const at = (name: string): Float32Array | Int32Array =>
    buffers[dataset.fields.findIndex((field) => field.name === name)]!
  const count = Math.min(examples, dataset.length)
  let [loss, right, numbers, ms] = [0, 0, 0, 0]
  for (let example = 0; example < count; example++) {
    dataset.read(Math.floor((example * dataset.length) / count), buffers, 0)
    const { feeds, targets } = exampleOf(model, objective, at)
    const startedMs = performance.now()
    const results = await session.run(feeds)
    ms += performance.now() - startedMs
    const logits = results[logitsOutput]!.data as Float32Array
    numbers += targets.length
    const width = logits.length / targets.length
    targets.forEach((target, place) => {
      const row = logits.subarray(place * width, (place + 1) * width)
      if (objective === 'regression') {
        loss += (row[0]! - target) ** 2
        return
      }
      const most = row.reduce((a, b) => Math.max(a, b))
      loss += most + Math.log(row.reduce((sum, value) => sum + Math.exp(value - most), 0)) - row[target]!
      if (row[target] === most) right++
    })
    await nextTurn()
    signal.throwIfAborted()
  }
  return { loss: loss / numbers, accuracy: objective === 'regression' ? null : right / numbers, exampleMs: ms / count }
}

function exampleOf(
  model: Model,
  objective: Objective,
  at: (name: string) => Float32Array | Int32Array,
): { readonly feeds: Record<string, RuntimeTensor>; readonly targets: Float32Array | Int32Array } {
  if (objective === 'nextToken') {
    const window = at('windows') as Int32Array
    const tokens = window.slice(0, -1)
    return {
      feeds: { [tokensInput]: { type: 'int32', shape: [1, tokens.length], data: tokens } },
      targets: window.subarray(1),
    }
  }
  const values = at('inputs') as Float32Array
  const wanted = model.graph.inputs.find(({ name }) => name === 'inputs')?.shape.slice(1) ?? []
  const shape = wanted.every((size) => typeof size === 'number') ? (wanted as number[]) : [values.length]
  return { feeds: { inputs: { type: 'float32', shape: [1, ...shape], data: values } }, targets: at('targets') }
}
