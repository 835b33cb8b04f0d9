import { type Kernels, oneWhole } from './kernels.ts'
import type { ValueReader } from './values.ts'

/** An update that still counts, with what clipping makes of it, in parts of `oneWhole`. */
export interface Row {
  readonly at: number
  readonly reader: ValueReader
  readonly factor: number
}

/** Calls `work` for each block of all rows, loaded and clipped. Yields where a pause may be made: it changes nothing. */
export function* eachBlock(
  kernels: Kernels,
  rows: readonly Row[],
  length: number,
  work: (from: number, to: number) => void,
): Generator<void> {
  for (let from = 0; from < length; from += kernels.width) {
    const to = Math.min(length, from + kernels.width)
    for (const [i, { reader, factor }] of rows.entries()) {
      const row = kernels.rows[i]!
      reader.read(from, row.subarray(0, to - from))
      row.fill(0, to - from)
      if (factor < oneWhole) kernels.scale(i, factor)
    }
    work(from, to)
    yield
  }
}
