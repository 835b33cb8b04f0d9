import { blake3Of, toHex } from '../../lib/index.ts'
import type { Dataset } from './dataset.ts'

/** As small as the vocabulary lets them be. */
export type Tokens = Uint8Array | Uint16Array | Int32Array

/** Text in memory as examples of a language model: a window of `context + 1` tokens from each place. */
export function windowsOf(tokens: Tokens, context: number, about: string, vocabulary = 256): Dataset {
  return {
    about,
    fields: [{ name: 'windows', type: 'int32', shape: [context + 1], values: vocabulary }],
    length: tokens.length - context,
    fingerprint: toHex(blake3Of(new Uint8Array(tokens.buffer, tokens.byteOffset, tokens.byteLength))),
    read: (index, [into], row) => {
      // A loop: between arrays of different widths, set is slower.
      const to = row * (context + 1)
      for (let at = 0; at <= context; at++) into![to + at] = tokens[index + at]!
    },
    close: () => undefined,
  }
}
