/** The thread that looks into data and trains tokenizers, so that neither blocks whoever asks. */
import { OwmError } from '../../lib/index.ts'
import { serveWorker } from '../../onnx/index.ts'
import { encodeTokenizer } from './bpe/tokenizer-file.ts'
import { createWordCounts, trainBpe } from './bpe/train.ts'
import { detectSource } from './detect.ts'
import { inspect } from './inspect.ts'
import type { InspectJob, TokenizerJob, TrainedTokenizer } from './jobs.ts'
import { openDataset } from './source.ts'

serveWorker({
  inspect: ({ paths, wishes }: InspectJob, { emit }) => ({
    value: inspect(detectSource(paths, wishes), (stage, done, total) => emit({ stage, done, total })),
  }),
  tokenizer: ({ paths, wishes, vocabulary, minFrequency }: TokenizerJob, { emit }) => {
    emit({ stage: 'reading', done: 0, total: 1 })
    const dataset = openDataset(detectSource(paths, { ...wishes, context: 1 }), 'training')
    const text = dataset.text?.content
    if (text === undefined) {
      throw new OwmError('no_training_data', `${paths.join(', ')}: ${dataset.about}; a tokenizer is learned from text.`)
    }
    const words = createWordCounts()
    for (let from = 0; from < text.length; ) {
      const to = endOfPiece(text, from)
      words.add(text.subarray(from, to))
      from = to
      emit({ stage: 'words', done: to, total: text.length })
    }
    const onProgress = ({ done, total }: { done: number; total: number }): void =>
      emit({ stage: 'merges', done, total })
    const trained = trainBpe(words, { vocabulary, minFrequency, onProgress })
    const value: TrainedTokenizer = {
      file: encodeTokenizer(trained),
      vocabulary: trained.tokens.length,
      about: dataset.about,
      words: words.table.size,
      textBytes: text.length,
    }
    return { value }
  },
})

/** Enough to be told about, ending with a line, so that no word is cut. */
const pieceBytes = 4 * 1024 * 1024
const lineFeed = 10

function endOfPiece(text: Uint8Array, from: number): number {
  const end = from + pieceBytes < text.length ? text.indexOf(lineFeed, from + pieceBytes) : -1
  return end === -1 ? text.length : end + 1
}
