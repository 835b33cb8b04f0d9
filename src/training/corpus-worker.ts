/** The thread that reads text files and counts n-grams, so that neither blocks a peer. */
import { serveWorker } from '../onnx/index.ts'
import type { TextSource } from './index.ts'
import { measureNgram, type NgramOrder } from './ngram.ts'
import { readTextFiles, type TextPart } from './text-files.ts'

export interface ReadJob {
  readonly source: TextSource
  readonly part: TextPart
  readonly maxBytes: number
}
export interface NgramJob {
  readonly train: readonly Uint8Array[]
  readonly heldOut: Uint8Array
  readonly order: NgramOrder
  readonly windowBytes: number
}

serveWorker({
  read: ({ source, part, maxBytes }: ReadJob) => {
    const text = readTextFiles(source, part, maxBytes)
    return { value: text, transfer: [text.bytes.buffer as ArrayBuffer] }
  },
  ngram: ({ train, heldOut, order, windowBytes }: NgramJob) => ({
    value: measureNgram(train, heldOut, order, windowBytes),
  }),
})
