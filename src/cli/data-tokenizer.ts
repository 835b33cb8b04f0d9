import { resolve } from 'node:path'
import { formatBytes, writeFileAtomic } from '../lib/index.ts'
import { trainTokenizer } from '../training/index.ts'
import type { TokenizerOptions } from './data.ts'
import { withProgress } from './data-progress.ts'
import { createTerminal } from './terminal.ts'

/** Learns a tokenizer and writes its file, whole or not at all. */
export async function runTokenizer(paths: readonly string[], options: TokenizerOptions): Promise<void> {
  const terminal = createTerminal(options)
  const { vocabulary, minFrequency } = options
  const started = performance.now()
  const trained = await withProgress(terminal, (onProgress) =>
    trainTokenizer({ paths: paths.map((path) => resolve(path)), wishes: {}, vocabulary, minFrequency }, onProgress),
  )
  const seconds = (performance.now() - started) / 1000
  await writeFileAtomic(options.out, trained.file)
  const { file: _, ...figures } = trained
  terminal.result({ ...figures, out: resolve(options.out), seconds }, () => {
    const fewer =
      trained.vocabulary < vocabulary
        ? ` (of ${vocabulary} asked for: no other pair is seen ${minFrequency} times)`
        : ''
    const of = `${formatBytes(trained.textBytes)} of text, ${trained.words} different words`
    return `${options.out}: ${trained.vocabulary} tokens${fewer}, learned from ${of}, in ${seconds.toFixed(1)} s`
  })
}
