import type { Value } from '../../onnx/index.ts'
import { defineModel, type ModelBuilder, type TrainableModel, within } from '../define-model.ts'
import { type Initialiser, normal, uniform } from '../initialisers.ts'
import { dense, embedding, widthOf } from '../layers.ts'

/**
 * A language model of LSTM layers (Hochreiter and Schmidhuber 1997) over sequences of fixed length, unrolled; by default
 * the character model of McMahan et al. 2017. `tokens` int32 [batch, length] -> `logits` [batch, length, vocabulary].
 */
export function lstm({
  vocabulary = 256,
  width = 8,
  hidden = 256,
  layers = 2,
  length = 80,
}: Partial<Record<'vocabulary' | 'width' | 'hidden' | 'layers' | 'length', number>> = {}): TrainableModel {
  return defineModel('lstm', (m) => {
    const { g } = m
    const tokens = g.input('tokens', 'int32', ['batch', length])
    const turned = g.op('Transpose', [tokens], { perm: [1, 0] })
    const embedded = embedding(m, 'token', turned, { rows: vocabulary, width, table: normal(1) })
    // All sequences at the first time, then at the second, and so on, are the rows of one matrix.
    let x = g.op('Reshape', [embedded, g.integers([-1, width])])
    for (let layer = 0; layer < layers; layer++) x = lstmLayer(within(m, layer), x, { length, hidden })
    const byTime = g.op('Reshape', [x, g.integers([length, -1, hidden])])
    const rows = g.op('Reshape', [g.op('Transpose', [byTime], { perm: [1, 0, 2] }), g.integers([-1, hidden])])
    const logits = dense(m, 'head', rows, vocabulary, { weights: uniform(1 / Math.sqrt(hidden)) })
    g.output('logits', g.op('Reshape', [logits, g.integers([-1, length, vocabulary])]))
  })
}

/** Rows of `width` -> rows of `hidden`, time by time. */
function lstmLayer(m: ModelBuilder, rows: Value, { length, hidden }: { length: number; hidden: number }): Value {
  const { g } = m
  const spread = uniform(1 / Math.sqrt(hidden))
  // What the inputs give to the gates, of all times at once.
  const input = m.parameter('input', [widthOf(rows), 4 * hidden], spread)
  const fromInput = g.op('Gemm', [rows, input, m.parameter('bias', [4 * hidden], forgetLate(hidden))])
  // A row for each gate: the runtime reads rows of `hidden` twice as fast as rows of four times that.
  const recurrent = m.parameter('recurrent', [4 * hidden, hidden], spread)
  let state: { readonly cell: Value; readonly shown: Value } | undefined
  const shown = g.ops('Split', [fromInput], { axis: 0, num_outputs: length }, length).map((now) => {
    state = lstmCell(m, now, recurrent, state)
    return state.shown
  })
  return g.op('Concat', shown, { axis: 0 })
}

/** One step; without a state, the first, whose state would be zeros. Gates are in the order input, forget, output, new:
 * those with a sigmoid side by side. */
function lstmCell(
  { g }: ModelBuilder,
  given: Value,
  recurrent: Value,
  before: { readonly cell: Value; readonly shown: Value } | undefined,
): { readonly cell: Value; readonly shown: Value } {
  const hidden = Number(recurrent.shape[1])
  const gates = before === undefined ? given : g.op('Gemm', [before.shown, recurrent, given], { transB: 1 })
  const [open, fresh] = g.ops('Split', [gates, g.integers([3 * hidden, hidden])], { axis: 1 }, 2) as [Value, Value]
  const opened = g.ops('Split', [g.op('Sigmoid', [open]), g.integers([hidden, hidden, hidden])], { axis: 1 }, 3)
  const [take, keep, show] = opened as [Value, Value, Value]
  const taken = g.op('Mul', [take, g.op('Tanh', [fresh])])
  const cell = before === undefined ? taken : g.op('Add', [g.op('Mul', [keep, before.cell]), taken])
  return { cell, shown: g.op('Mul', [show, g.op('Tanh', [cell])]) }
}

/** Zero, and 1 for the forget gate, so that a cell remembers from the start (Jozefowicz et al. 2015). */
const forgetLate =
  (hidden: number): Initialiser =>
  (values) => {
    values.fill(1, hidden, 2 * hidden)
  }
