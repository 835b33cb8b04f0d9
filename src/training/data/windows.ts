import { blake3Of, toHex } from '../../lib/index.ts'
import type { Dataset } from './dataset.ts'

/** Text in memory as examples of a language model: a window of `context + 1` tokens from each place. */
export function windowsOf(tokens: Uint8Array, context: number, about: string): Dataset {
  return {
    about,
    fields: [{ name: 'windows', type: 'int32', shape: [context + 1], values: 256 }],
    length: tokens.length - context,
    fingerprint: toHex(blake3Of(tokens)),
    read: (index, [into], row) => into!.set(tokens.subarray(index, index + context + 1), row * (context + 1)),
    close: () => undefined,
  }
}
