/** The thread that reads text files and counts n-grams, so that neither blocks a peer. */
import { serveWorker } from '../onnx/index.ts'
import type { DescribedData } from './corpus.ts'
import type { Dataset } from './data/dataset.ts'
import { encodeExamples } from './data/examples.ts'
import { offeredSource } from './data/offered.ts'
import { type DataSource, openDataset } from './data/source.ts'
import type { ExampleShape, OfferedData, TextSource } from './index.ts'
import { measureNgram, type NgramOrder } from './ngram.ts'
import { readTextFiles, type TextPart } from './text-files.ts'

/** Enough for three digits, and measured within a second. */
const measuredExamples = 2048

export interface ReadJob {
  readonly source: TextSource
  readonly part: TextPart
  readonly maxBytes: number
}
export interface DescribeJob {
  readonly data: OfferedData
  readonly context: number | undefined
  /** Data to measure on, in place of what is held out. */
  readonly heldOut: string | undefined
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
  describe: ({ data, context, heldOut: path }: DescribeJob) => {
    const parts = data.shards === true ? data.roots.map((root) => [root]) : [data.roots]
    const sources = parts.map((roots) => offeredSource({ ...data, roots }, { context }))
    const shape = sources.map((source) => shapeOf(source))
    const { about } = shape[0]!
    const fields = shape.map((one) => one.fields).reduce(wider)
    const classes = shape[0]!.classes
    const isText = fields.some(({ name }) => name === 'windows')
    const heldOut = isText
      ? []
      : path === undefined
        ? sources.map((source) => openDataset(source, 'heldOut'))
        : [openDataset(offeredSource({ ...data, roots: [path], heldOutShare: 0 }, { context }), 'training')]
    try {
      const value: DescribedData = {
        fields,
        ...(classes === undefined ? {} : { classes }),
        about,
        heldOut: isText
          ? null
          : encodeExamples(joined(heldOut, fields), path === undefined ? measuredExamples : undefined),
      }
      return { value }
    } finally {
      for (const dataset of heldOut) dataset.close()
    }
  },
  ngram: ({ train, heldOut, order, windowBytes }: NgramJob) => ({
    value: measureNgram(train, heldOut, order, windowBytes),
  }),
})

function shapeOf(source: DataSource): ExampleShape & { readonly about: string } {
  const dataset = openDataset(source, 'training')
  const { fields, classes, about } = dataset
  dataset.close()
  return { fields, classes, about }
}

/** Of two clients the one that has seen more classes knows more of them. */
function wider(fields: ExampleShape['fields'], other: ExampleShape['fields']): ExampleShape['fields'] {
  const values = (of: ExampleShape['fields']): number => Math.max(...of.map((f) => (f.type === 'int32' ? f.values : 0)))
  return values(other) > values(fields) ? other : fields
}

/** One after the other. */
function joined(datasets: readonly Dataset[], fields: ExampleShape['fields']): Dataset {
  const starts = datasets.map((_, at) => datasets.slice(0, at).reduce((sum, { length }) => sum + length, 0))
  return {
    about: datasets[0]?.about ?? '',
    fields,
    length: datasets.reduce((sum, { length }) => sum + length, 0),
    fingerprint: '',
    read: (index, into, row) => {
      const at = starts.findLastIndex((start) => start <= index)
      datasets[at]!.read(index - starts[at]!, into, row)
    },
    close: () => undefined,
  }
}
