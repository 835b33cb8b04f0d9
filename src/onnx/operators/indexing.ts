/** Operators that read or write at indices. */
import { OwmError } from '../../lib/index.ts'
import { axisOf, need, operator } from './operator.ts'

export const indexing = {
  Gather: operator({ axis: 'int' }, (inputs, { axis = 0 }) => {
    const [data, indices] = [need(inputs, 0), need(inputs, 1)]
    const at = axisOf(axis, data.shape.length)
    return [{ type: data.type, shape: [...data.shape.slice(0, at), ...indices.shape, ...data.shape.slice(at + 1)] }]
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
