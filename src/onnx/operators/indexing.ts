/** Operators that read or write at indices. */
import { OwmError } from '../../lib/index.ts'
import { axisOf, need, numbersOf, operator } from './operator.ts'

const place = operator(
  { axis: 'int', keepdims: 'int', select_last_index: 'int' },
  (inputs, { axis = 0, keepdims = 1 }) => {
    const { shape } = need(inputs, 0)
    const at = axisOf(axis, shape.length)
    return [{ type: 'int64', shape: keepdims === 1 ? shape.with(at, 1) : shape.toSpliced(at, 1) }]
  },
)

export const indexing = {
  Gather: operator({ axis: 'int' }, (inputs, { axis = 0 }) => {
    const [data, indices] = [need(inputs, 0), need(inputs, 1)]
    const at = axisOf(axis, data.shape.length)
    const shape = [...data.shape.slice(0, at), ...indices.shape, ...data.shape.slice(at + 1)]
    // Of a vector: one size of a shape, or some.
    const picked = data.shape.length === 1 ? indices.known?.map((index) => data.known?.at(Number(index))) : undefined
    const known = picked?.every((size) => size !== undefined) ? picked : undefined
    return [{ type: data.type, shape, known }]
  }),
  ArgMax: place,
  ArgMin: place,
  /** Sums of what comes before along an axis, which is a constant. */
  CumSum: operator({ exclusive: 'int', reverse: 'int' }, (inputs) => {
    const { type, shape } = need(inputs, 0)
    axisOf(numbersOf(need(inputs, 1))[0]!, shape.length)
    return [{ type, shape }]
  }),
  /** The last axis of the indices says where in the data; the first `batch_dims` axes are the same in both. */
  GatherND: operator({ batch_dims: 'int' }, (inputs, { batch_dims = 0 }) => {
    const [data, indices] = [need(inputs, 0), need(inputs, 1)]
    const depth = indices.shape.at(-1)
    if (typeof depth !== 'number' || batch_dims < 0 || batch_dims + depth > data.shape.length) {
      throw new OwmError('bad_graph', `Indices of shape [${indices.shape.join(', ')}].`)
    }
    return [{ type: data.type, shape: [...indices.shape.slice(0, -1), ...data.shape.slice(batch_dims + depth)] }]
  }),
  /** Writes over; what is added is left to `ScatterElements`, since here threads lose sums. */
  ScatterND: operator({ reduction: 'string' }, (inputs, { reduction = 'none' }) => {
    const { type, shape } = need(inputs, 0)
    if (reduction !== 'none') throw new OwmError('unsupported_model', `A scatter that reduces by ${reduction}.`)
    return [{ type, shape }]
  }),
  GatherElements: operator({ axis: 'int' }, (inputs, { axis = 0 }) => {
    const [data, indices] = [need(inputs, 0), need(inputs, 1)]
    axisOf(axis, data.shape.length)
    return [{ type: data.type, shape: indices.shape }]
  }),
  ScatterElements: operator({ axis: 'int', reduction: 'string' }, (inputs, { axis = 0 }) => {
    const [data, indices, updates] = [need(inputs, 0), need(inputs, 1), need(inputs, 2)]
    axisOf(axis, data.shape.length)
    if (indices.shape.join() !== updates.shape.join()) {
      throw new OwmError('bad_graph', 'A scatter whose indices and updates differ in shape.')
    }
    return [{ type: data.type, shape: data.shape }]
  }),
} as const
