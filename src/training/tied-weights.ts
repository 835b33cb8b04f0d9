/**
 * A language model's table of tokens and its head are often one matrix (Press and Wolf 2017). Exporters that turn the
 * head's round beforehand write it twice; to stay one while it is trained, the copy is made of the original again.
 */
import type { Graph, Tensor } from '../onnx/index.ts'

/** Names of matrices that are a table turned round, and of that table. */
export function transposedTables({ nodes, initializers }: Graph): ReadonlyMap<string, string> {
  const matrix = (name: string | undefined): Tensor | undefined => {
    const tensor = name === undefined ? undefined : initializers.get(name)
    return tensor?.type === 'float32' && tensor.shape.length === 2 ? tensor : undefined
  }
  const usedBy = (ops: readonly string[], input: number): Set<string> =>
    new Set(nodes.flatMap(({ op, inputs }) => (ops.includes(op) && matrix(inputs[input]) ? [inputs[input]!] : [])))
  const tables = usedBy(['Gather'], 0)
  const ties = new Map<string, string>()
  for (const copy of usedBy(['MatMul', 'Gemm'], 1)) {
    const table = [...tables].find((name) => name !== copy && isTranspose(matrix(name)!, matrix(copy)!))
    if (table !== undefined && !tables.has(copy)) ties.set(copy, table)
  }
  return ties
}

function isTranspose(table: Tensor, copy: Tensor): boolean {
  const [rows, columns] = table.shape as [number, number]
  if (copy.shape[0] !== columns || copy.shape[1] !== rows) return false
  const view = ({ data }: Tensor): DataView => new DataView(data.buffer, data.byteOffset, data.byteLength)
  const [a, b] = [view(table), view(copy)]
  const bits = (row: number, column: number): number => a.getUint32((row * columns + column) * 4, true)
  const first = bits(0, 0)
  // A constant matrix, as of zeros, is no copy of another.
  let varies = false
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      if (bits(row, column) !== b.getUint32((column * rows + row) * 4, true)) return false
      if (bits(row, column) !== first) varies = true
    }
  }
  return varies
}

/** A matrix [rows, columns], turned round. */
export function transposed(values: Float32Array, rows: number, columns: number): Float32Array {
  const result = new Float32Array(values.length)
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) result[column * rows + row] = values[row * columns + column]!
  }
  return result
}
