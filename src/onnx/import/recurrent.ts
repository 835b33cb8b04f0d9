/**
 * LSTM, GRU and RNN step by step, for a sequence of known length: a graph of products and gates, whose gradients are
 * backpropagation through time (Werbos 1990). ONNX orders gates input, output, forget, new (LSTM) and update, reset,
 * new (GRU).
 */
import { OwmError } from '../../lib/index.ts'
import type { Value } from '../graph.ts'
import { type Conversion, type ForeignNode, inputOf, intOf, op, parts, sizeOf, stringOf, transposed } from './node.ts'

/** What a cell goes by: the share of the input for this step, h, and what else it carries. */
interface CellInput {
  readonly c: ForeignNode
  /** [batch, gates hidden] */
  readonly given: Value
  readonly hidden: Value
  readonly cell: Value | undefined
  /** [hidden, gates hidden] and [gates hidden] */
  readonly recurrent: Value
  readonly bias: Value | undefined
  readonly size: number
}
interface CellState {
  readonly hidden: Value
  readonly cell?: Value
}
interface Cell {
  readonly gates: number
  readonly activations: readonly string[]
  readonly step: (input: CellInput) => CellState
}

/** Each step is a dozen nodes; more than this no runtime opens in reasonable time. */
const maxSteps = 2048

const add = (c: ForeignNode, a: Value, b: Value): Value => op(c, 'Add', [a, b])
const mul = (c: ForeignNode, a: Value, b: Value): Value => op(c, 'Mul', [a, b])
const sigmoid = (c: ForeignNode, x: Value): Value => op(c, 'Sigmoid', [x])
const tanh = (c: ForeignNode, x: Value): Value => op(c, 'Tanh', [x])
/** h R + b, for all gates. */
const ofHidden = ({ c, hidden, recurrent, bias }: CellInput): Value => {
  const product = op(c, 'MatMul', [hidden, recurrent])
  return bias === undefined ? product : add(c, product, bias)
}
const gatesOf = ({ c, size }: CellInput, value: Value, count: number): Value[] =>
  parts(
    c,
    value,
    1,
    Array.from({ length: count }, () => size),
  )

/** Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000. */
const lstmCell: Cell = {
  gates: 4,
  activations: ['Sigmoid', 'Tanh', 'Tanh'],
  step: (cell) => {
    const { c } = cell
    const [input, output, forget, fresh] = gatesOf(cell, add(c, cell.given, ofHidden(cell)), 4) as [
      Value,
      Value,
      Value,
      Value,
    ]
    const kept = mul(c, sigmoid(c, forget), cell.cell!)
    const next = add(c, kept, mul(c, sigmoid(c, input), tanh(c, fresh)))
    return { hidden: mul(c, sigmoid(c, output), tanh(c, next)), cell: next }
  },
}

/** Cho et al. 2014; with `linear_before_reset` as cuDNN and PyTorch have it. */
const gruCell = (resetAfter: boolean): Cell => ({
  gates: 3,
  activations: ['Sigmoid', 'Tanh'],
  step: (cell) => {
    const { c, hidden, recurrent, bias, size } = cell
    const [update, reset, fresh] = gatesOf(cell, cell.given, 3) as [Value, Value, Value]
    const [, , recurrentFresh] = parts(c, recurrent, 1, [size, size, size])
    const biases = bias === undefined ? undefined : parts(c, bias, 0, [size, size, size])
    const biased = (value: Value, at: number): Value => (biases === undefined ? value : add(c, value, biases[at]!))
    const [ofUpdate, ofReset, ofFresh] = gatesOf(cell, op(c, 'MatMul', [hidden, recurrent]), 3) as [Value, Value, Value]
    const z = sigmoid(c, add(c, update, biased(ofUpdate, 0)))
    const r = sigmoid(c, add(c, reset, biased(ofReset, 1)))
    const before = resetAfter
      ? mul(c, r, biased(ofFresh, 2))
      : biased(op(c, 'MatMul', [mul(c, r, hidden), recurrentFresh!]), 2)
    const n = tanh(c, add(c, fresh, before))
    // (1 - z) n + z h
    return { hidden: add(c, n, mul(c, z, op(c, 'Sub', [hidden, n]))) }
  },
})

/** Elman 1990. */
const simpleCell: Cell = {
  gates: 1,
  activations: ['Tanh'],
  step: (cell) => ({ hidden: tanh(cell.c, add(cell.c, cell.given, ofHidden(cell))) }),
}

export const lstm: Conversion = (c) => unrolled(c, lstmCell)
export const gru: Conversion = (c) => unrolled(c, gruCell(intOf(c, 'linear_before_reset', 0) === 1))
export const recurrent: Conversion = (c) => unrolled(c, simpleCell)

function unrolled(c: ForeignNode, cell: Cell): (Value | undefined)[] {
  refuseOptions(c, cell)
  const batchFirst = intOf(c, 'layout', 0) === 1
  const swap = (value: Value): Value => (batchFirst ? transposed(c, value, [1, 0, 2]) : value)
  const x = swap(inputOf(c, 0))
  const length = sizeOf(x, 0)
  if (length < 1 || length > maxSteps) {
    throw new OwmError('oversized', `A sequence of ${length} steps, not 1 to ${maxSteps}, is not unrolled.`, { length })
  }
  const size = sizeOf(inputOf(c, 2), 2)
  const directions = stringOf(c, 'direction', 'forward') === 'bidirectional' ? 2 : 1
  const ends: Value[][] = [[], []]
  const sequences: Value[] = []
  for (let direction = 0; direction < directions; direction++) {
    const own = (value: Value): Value =>
      directions === 1
        ? op(c, 'Squeeze', [value, c.g.integers([0])])
        : op(c, 'Gather', [value, c.g.scalar('int64', direction)])
    const backwards = stringOf(c, 'direction', 'forward') === 'reverse' || direction === 1
    const weights = transposed(c, own(inputOf(c, 1)), [1, 0])
    const recurrentWeights = transposed(c, own(inputOf(c, 2)), [1, 0])
    const biases =
      c.inputs[3] === undefined ? undefined : parts(c, own(c.inputs[3]), 0, [cell.gates * size, cell.gates * size])
    // The input's share of all steps is one product.
    const product = op(c, 'MatMul', [x, weights])
    const shares = biases === undefined ? product : add(c, product, biases[0]!)
    const steps = parts(
      c,
      shares,
      0,
      Array.from({ length }, () => 1),
    )
    const start = (at: number): Value => {
      const given = c.inputs[at]
      if (given !== undefined) return own(swap(given))
      return zerosLike(c, steps[0]!, size)
    }
    let state: CellState = { hidden: start(5), cell: cell === lstmCell ? start(6) : undefined } as CellState
    const outputs: Value[] = []
    for (let at = 0; at < length; at++) {
      const now = backwards ? length - 1 - at : at
      const given = op(c, 'Squeeze', [steps[now]!, c.g.integers([0])])
      const { hidden, cell: carried } = state
      state = cell.step({ c, given, hidden, cell: carried, recurrent: recurrentWeights, bias: biases?.[1], size })
      outputs[now] = op(c, 'Unsqueeze', [state.hidden, c.g.integers([0, 1])])
    }
    sequences.push(outputs.length === 1 ? outputs[0]! : op(c, 'Concat', outputs, { axis: 0 }))
    ends[0]!.push(op(c, 'Unsqueeze', [state.hidden, c.g.integers([0])]))
    if (state.cell !== undefined) ends[1]!.push(op(c, 'Unsqueeze', [state.cell, c.g.integers([0])]))
  }
  const joined = (values: readonly Value[], axis: number): Value | undefined =>
    values.length < 2 ? values[0] : op(c, 'Concat', values, { axis })
  // [length, directions, batch, hidden], and the ends [directions, batch, hidden]; batch first: [batch, length, ...].
  const sequence = joined(sequences, 1)!
  const last = ends.map((values) => joined(values, 0)).map((value) => (value === undefined ? undefined : swap(value)))
  return [batchFirst ? transposed(c, sequence, [2, 0, 1, 3]) : sequence, ...last]
}

/** [1, batch, gates hidden] -> zeros [batch, hidden]. */
function zerosLike(c: ForeignNode, step: Value, size: number): Value {
  const batch = op(c, 'Shape', [step], { start: 1, end: 2 })
  const zeros = op(c, 'ConstantOfShape', [op(c, 'Concat', [batch, c.g.integers([size])], { axis: 0 })])
  return c.g.cast(zeros, step.type)
}

function refuseOptions(c: ForeignNode, cell: Cell): void {
  const given = c.node.attributes['activations']
  const { clip, input_forget: coupled } = c.node.attributes
  const usual = given === undefined || (given.kind === 'strings' && usualActivations(given.value, cell))
  const peepholes = c.inputs[7] !== undefined
  if (!usual || clip !== undefined || (coupled?.kind === 'int' && coupled.value === 1) || peepholes) {
    throw new OwmError(
      'unsupported_model',
      `${c.node.op} of a kind (activations, clip, peepholes) that is not supported.`,
    )
  }
  if (c.inputs[4] !== undefined) {
    throw new OwmError('unsupported_model', `${c.node.op} of sequences of several lengths is not supported.`)
  }
}
function usualActivations(given: readonly string[], { activations }: Cell): boolean {
  return given.every((name, at) => name === activations[at % activations.length])
}
