/** What a model learns from: examples by number. Blocking; for worker threads. */

/** One tensor of an example. A label has no axes. */
export type Field = {
  readonly name: string
  readonly shape: readonly number[]
} & (
  | { readonly type: 'float32' }
  /** Integers are below `values`: the classes of a label, the vocabulary of tokens. */
  | { readonly type: 'int32'; readonly values: number }
)

export interface Dataset {
  /** In one line, for people: `60,000 images of 28x28 in 10 classes`. */
  readonly about: string
  /** What each example has, in the order of `read`'s buffers. Classifiers have `inputs` and `targets`, language models `windows`. */
  readonly fields: readonly Field[]
  /** Examples. */
  readonly length: number
  /** BLAKE3, in hex, of all that decides what example N is: a run that is resumed must find the same. */
  readonly fingerprint: string
  /** Writes example `index` as row `row` of the buffers, one for each field. @throws OwmError `malformed_data` naming file and place */
  read(index: number, into: readonly (Float32Array | Int32Array)[], row: number): void
  close(): void
}

/** Which part of a source: what is learned from, or what is held out to measure by. */
export type DataPart = 'training' | 'heldOut'
