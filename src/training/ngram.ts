/**
 * What counting can do: byte n-grams with interpolated Witten-Bell smoothing (Witten and Bell 1991; Chen and Goodman
 * 1999), the baselines that a model must beat. Blocking: for worker threads.
 */

/** Count tables of all orders up to 3 fit 64 MiB of 32-bit counters. */
export type NgramOrder = 1 | 2 | 3

/**
 * Bits per byte of `heldOut`, each byte but the first of each window predicted from the `order - 1` bytes before it:
 * just the bytes on which a model of that window is measured. The counts see across windows, which a model cannot.
 */
export function measureNgram(
  train: readonly Uint8Array[],
  heldOut: Uint8Array,
  order: NgramOrder,
  windowBytes: number,
): number {
  const tables = Array.from({ length: order }, (_, at) => countTable(train, at + 1))
  let bits = 0
  let measured = 0
  for (let at = 0; at < heldOut.length; at++) {
    if (at % windowBytes === 0) continue
    // P_n(b | h) = (c(h b) + types(h) P_{n-1}(b | h')) / (c(h) + types(h)), down to the uniform P_0.
    let probability = 1 / 256
    let context = 0
    for (let length = 0; length < order && length <= at; length++) {
      if (length > 0) context += heldOut[at - length]! << (8 * (length - 1))
      const { counts, totals, types } = tables[length]!
      const kinds = types[context]!
      if (kinds === 0) break
      probability = (counts[context * 256 + heldOut[at]!]! + kinds * probability) / (totals[context]! + kinds)
    }
    bits -= Math.log2(probability)
    measured++
  }
  return measured === 0 ? Number.NaN : bits / measured
}

/** Counts of each byte after each context of `order - 1` bytes; the nearest byte is the context's lowest digit. */
function countTable(train: readonly Uint8Array[], order: number) {
  const contexts = 256 ** (order - 1)
  const counts = new Uint32Array(contexts * 256)
  for (const text of train) {
    for (let at = order - 1; at < text.length; at++) {
      let context = 0
      for (let back = 1; back < order; back++) context += text[at - back]! << (8 * (back - 1))
      counts[context * 256 + text[at]!]!++
    }
  }
  const totals = new Uint32Array(contexts)
  const types = new Uint32Array(contexts)
  for (let i = 0; i < counts.length; i++) {
    if (counts[i] === 0) continue
    totals[i >>> 8]! += counts[i]!
    types[i >>> 8]!++
  }
  return { counts, totals, types }
}
