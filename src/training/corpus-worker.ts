/** The thread that reads text files and counts n-grams, so that neither blocks a peer. */
import { serveWorker } from '../onnx/index.ts'
import type { DescribedData } from './corpus.ts'
import { encodeExamples } from './data/examples.ts'
import { offeredSource } from './data/offered.ts'
import { openDataset } from './data/source.ts'
import type { OfferedData, TextSource } from './index.ts'
import { measureNgram, type NgramOrder } from './ngram.ts'
import { readTextFiles, type TextPart } from './text-files.ts'

export interface ReadJob {
  readonly source: TextSource
  readonly part: TextPart
  readonly maxBytes: number
}
export interface DescribeJob {
  readonly data: OfferedData
  readonly context: number | undefined
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
  describe: ({ data, context }: DescribeJob) => {
    const roots = data.shards === true ? data.roots.slice(0, 1) : data.roots
    const source = offeredSource({ ...data, roots }, { context })
    const dataset = openDataset(source, 'training')
    const { fields, classes, about } = dataset
    dataset.close()
    const isText = fields.some(({ name }) => name === 'windows')
    const heldOut = isText ? null : openDataset(source, 'heldOut')
    try {
      const value: DescribedData = {
        fields,
        ...(classes === undefined ? {} : { classes }),
        about,
        heldOut: heldOut && encodeExamples(heldOut),
      }
      return { value }
    } finally {
      heldOut?.close()
    }
  },
  ngram: ({ train, heldOut, order, windowBytes }: NgramJob) => ({
    value: measureNgram(train, heldOut, order, windowBytes),
  }),
})
