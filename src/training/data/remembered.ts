import { elementCount } from '../../onnx/index.ts'
import type { OpenDataset } from './source.ts'

/** Examples that were decoded once are kept, up to this in all. */
const maxBytes = 256 * 1024 * 1024

/** The same data set, which decodes each example once, where all of them fit into memory. */
export function remembered(dataset: OpenDataset): OpenDataset {
  const sizes = dataset.fields.map(({ shape }) => elementCount(shape))
  const values = dataset.length * sizes.reduce((sum, size) => sum + size, 0)
  if (4 * values > maxBytes) return dataset
  const kept = dataset.fields.map(({ type }, at) => {
    const length = dataset.length * sizes[at]!
    return type === 'float32' ? new Float32Array(length) : new Int32Array(length)
  })
  const known = new Uint8Array(dataset.length)
  return {
    ...dataset,
    read: (index, into, row) => {
      if (known[index] === 0) {
        dataset.read(index, kept, index)
        known[index] = 1
      }
      for (const [at, size] of sizes.entries()) {
        const from = kept[at]!
        const to = into[at]!
        for (let i = 0; i < size; i++) to[row * size + i] = from[index * size + i]!
      }
    },
  }
}
