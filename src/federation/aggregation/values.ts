/** An update's weights in units of 2^-24, read a block at a time: many updates need not be decoded all at once. */
export interface ValueReader {
  readonly length: number
  /** Fills `into` with the values from `from` on. */
  read(from: number, into: Int32Array): void
}

export function readerOf(values: Int32Array | ValueReader): ValueReader {
  if (!(values instanceof Int32Array)) return values
  return { length: values.length, read: (from, into) => into.set(values.subarray(from, from + into.length)) }
}
