/** Products of matrices. */
import { OwmError } from '../../lib/index.ts'
import { broadcast } from '../dimensions.ts'
import { need, operator, sameTypes } from './operator.ts'

export const matrices = {
  MatMul: operator({}, (inputs) => {
    const [a, b] = [need(inputs, 0), need(inputs, 1)]
    if (a.shape.length < 2 || b.shape.length < 2 || a.shape.at(-1) !== b.shape.at(-2)) {
      throw new OwmError('bad_graph', `[${a.shape.join(', ')}] cannot be multiplied with [${b.shape.join(', ')}].`)
    }
    const batch = broadcast(a.shape.slice(0, -2), b.shape.slice(0, -2))
    return [{ type: sameTypes([a, b]), shape: [...batch, a.shape.at(-2)!, b.shape.at(-1)!] }]
  }),
  Gemm: operator(
    { alpha: 'float', beta: 'float', transA: 'int', transB: 'int' },
    (inputs, { transA = 0, transB = 0 }) => {
      const [a, b] = [need(inputs, 0), need(inputs, 1)]
      if (a.shape.length !== 2 || b.shape.length !== 2) throw new OwmError('bad_graph', 'Gemm takes matrices.')
      const [rows, inner] = transA === 0 ? [a.shape[0]!, a.shape[1]!] : [a.shape[1]!, a.shape[0]!]
      const [height, columns] = transB === 0 ? [b.shape[0]!, b.shape[1]!] : [b.shape[1]!, b.shape[0]!]
      if (inner !== height) throw new OwmError('bad_graph', `Sums over ${inner} and ${height} elements.`)
      const shape = [rows, columns]
      const [added] = inputs.slice(2, 3)
      if (added !== undefined && broadcast(added.shape, shape).join() !== shape.join()) {
        throw new OwmError('bad_graph', `[${added.shape.join(', ')}] does not fit [${shape.join(', ')}].`)
      }
      return [{ type: sameTypes([a, b, ...(added === undefined ? [] : [added])]), shape }]
    },
  ),
} as const
