/**
 * How fast data are opened and read, in the order of training, kind by kind; and how fast byte-level BPE is learned and
 * applied, on 10 MB of the installed packages' types and documents. Beside it Hugging Face's `tokenizers` on the same
 * text, on one thread, where `OWM_PYTHON` names a Python that has it (otherwise `python3` is tried).
 *
 * `npm run bench -- data`
 */
import { spawnSync } from 'node:child_process'
import { globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { crc32, deflateSync, gzipSync } from 'node:zlib'
import { createRandom, elementCount } from '../../src/onnx/index.ts'
import { createOrder } from '../../src/training/data/order.ts'
import {
  createTokenizer,
  createWordCounts,
  type DataSource,
  encodeTokenizer,
  openDataset,
  trainBpe,
} from '../../src/training/index.ts'

const batch = 64
const readMs = 400
/** Decoding each example once takes longer; all of them, if this is enough. */
const firstMs = 4000
const vocabulary = 8192
const corpusBytes = 10_000_000
const repeats = 3

export async function run(): Promise<Readonly<Record<string, unknown>>> {
  const folder = mkdtempSync(join(tmpdir(), 'owm-bench-data-'))
  try {
    const corpus = readCorpus()
    const text = join(folder, 'corpus.txt')
    writeFileSync(text, corpus)
    const figures: Record<string, unknown> = {}
    for (const [kind, make] of Object.entries(sources(folder, text))) Object.assign(figures, measure(kind, make()))
    return { ...figures, ...measureBpe(corpus), ...measurePython(text) }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

interface Made {
  readonly source: DataSource
  readonly bytes: number
}

/** Opening reads all once; reading is random access to examples, decoded first and remembered after. */
function measure(kind: string, { source, bytes }: Made): Readonly<Record<string, number>> {
  const openMs = Math.min(
    ...Array.from({ length: repeats }, () => timed(() => openDataset(source, 'training').close())),
  )
  const dataset = openDataset(source, 'training')
  const buffers = dataset.fields.map(({ type, shape }) =>
    type === 'float32' ? new Float32Array(batch * elementCount(shape)) : new Int32Array(batch * elementCount(shape)),
  )
  const exampleBytes = dataset.fields.reduce((sum, { shape }) => sum + 4 * elementCount(shape), 0)
  const order = createOrder(dataset.length, 1)
  let position = 0
  const pass = (until: (count: number, ms: number) => boolean): number => {
    const started = performance.now()
    let count = 0
    while (!until(count, performance.now() - started)) {
      for (let row = 0; row < batch; row++) dataset.read(order(position++), buffers, row)
      count += batch
    }
    return (count * 1000) / (performance.now() - started)
  }
  const first = pass((count, ms) => count >= dataset.length || ms > firstMs)
  const later = pass((_, ms) => ms > readMs)
  dataset.close()
  return {
    [`${kind}OpenMBps`]: round(bytes / openMs / 1000),
    [`${kind}FirstPerSecond`]: Math.round(first),
    [`${kind}PerSecond`]: Math.round(later),
    [`${kind}ReadMBps`]: round((later * exampleBytes) / 1e6),
  }
}

function measureBpe(corpus: Uint8Array): Readonly<Record<string, number>> {
  const words = createWordCounts()
  const countMs = timed(() => words.add(corpus))
  let tokens = trainBpe(words, { vocabulary: 256 })
  const mergeMs = timed(() => {
    tokens = trainBpe(words, { vocabulary })
  })
  const tokenizer = createTokenizer(tokens)
  let encoded: Int32Array = new Int32Array()
  const coldMs = timed(() => {
    encoded = tokenizer.encode(corpus)
  })
  const warmMs = Math.min(...Array.from({ length: repeats }, () => timed(() => tokenizer.encode(corpus))))
  const decodeMs = Math.min(...Array.from({ length: repeats }, () => timed(() => tokenizer.decode(encoded))))
  return {
    bpeTrainSeconds: round((countMs + mergeMs) / 1000),
    bpeMerges: tokens.merges.length,
    bpeBytesPerToken: round(corpus.length / encoded.length),
    bpeFileBytes: encodeTokenizer(tokens).length,
    bpeEncodeMBps: round(corpus.length / coldMs / 1000),
    bpeEncodeWarmMBps: round(corpus.length / warmMs / 1000),
    bpeDecodeMBps: round(corpus.length / decodeMs / 1000),
  }
}

function measurePython(text: string): Readonly<Record<string, unknown>> {
  const python = process.env['OWM_PYTHON'] ?? 'python3'
  const script = join(import.meta.dirname, '../training/pytorch/tokenizer_bench.py')
  const env = { ...process.env, RAYON_NUM_THREADS: '1', TOKENIZERS_PARALLELISM: 'false' }
  const { status, stdout } = spawnSync(python, [script, text, String(vocabulary)], { encoding: 'utf8', env })
  return status === 0 ? (JSON.parse(stdout) as Record<string, unknown>) : {}
}

function sources(folder: string, text: string): Readonly<Record<string, () => Made>> {
  const random = createRandom(1)
  const put = (name: string, content: Uint8Array | string): { readonly file: string; readonly bytes: number } => {
    const file = join(folder, name)
    writeFileSync(file, content)
    return { file, bytes: Buffer.byteLength(content) }
  }
  return {
    idx: () => {
      const count = 20_000
      const pixels = Uint8Array.from({ length: count * 784 }, () => (random.below(5) === 0 ? random.below(256) : 0))
      const images = put('images.gz', gzipSync(idx([count, 28, 28], pixels)))
      const labels = put(
        'labels',
        idx(
          [count],
          Uint8Array.from({ length: count }, () => random.below(10)),
        ),
      )
      return { source: { kind: 'idx', images: images.file, labels: labels.file, flat: true }, bytes: count * 785 }
    },
    text: () => ({ source: { kind: 'text', roots: [text], context: 128 }, bytes: corpusBytes }),
    csv: () => {
      const lines = ['a,b,c,d,e,f,g,h,colour,label']
      for (let row = 0; row < 100_000; row++) {
        const numbers = Array.from({ length: 8 }, () => (random.below(2_000_000) / 1000 - 1000).toFixed(3))
        lines.push(`${numbers.join(',')},${['red', 'green', 'blue'][random.below(3)]},${random.below(5)}`)
      }
      const { file, bytes } = put('table.csv', lines.join('\n'))
      return { source: { kind: 'csv', file, target: 'label' }, bytes }
    },
    jsonl: () => {
      const line = () => ({ x: Array.from({ length: 16 }, () => random.below(1000) / 8), label: random.below(5) })
      const { file, bytes } = put(
        'lines.jsonl',
        Array.from({ length: 50_000 }, () => JSON.stringify(line())).join('\n'),
      )
      const content = { kind: 'examples', inputs: 'x', target: 'label' } as const
      return { source: { kind: 'jsonl', file, content }, bytes }
    },
    png: () => {
      let total = 0
      for (let at = 0; at < 2000; at++) {
        mkdirSync(join(folder, 'pictures', `${at % 10}`), { recursive: true })
        total += put(
          `pictures/${at % 10}/${at}.png`,
          png(28, 28, () => random.below(256)),
        ).bytes
      }
      return { source: { kind: 'folder', root: join(folder, 'pictures'), content: { kind: 'images' } }, bytes: total }
    },
  }
}

function idx(shape: readonly number[], values: Uint8Array): Uint8Array {
  const header = Buffer.alloc(4 + 4 * shape.length)
  header.set([0, 0, 8, shape.length])
  for (const [axis, size] of shape.entries()) header.writeUInt32BE(size, 4 + 4 * axis)
  return Buffer.concat([header, values])
}

function png(width: number, height: number, pixel: () => number): Uint8Array {
  const chunk = (type: string, content: Uint8Array): Uint8Array => {
    const body = Buffer.concat([Buffer.from(type), content])
    const out = Buffer.alloc(body.length + 8)
    out.writeUInt32BE(content.length)
    out.set(body, 4)
    out.writeUInt32BE(crc32(body), body.length + 4)
    return out
  }
  const header = Buffer.alloc(13)
  header.writeUInt32BE(width)
  header.writeUInt32BE(height, 4)
  header.set([8, 0, 0, 0, 0], 8)
  const rows = Uint8Array.from({ length: height * (width + 1) }, (_, at) => (at % (width + 1) === 0 ? 4 : pixel()))
  const signature = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a)
  return Buffer.concat([
    signature,
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(rows)),
    chunk('IEND', Buffer.alloc(0)),
  ])
}

function readCorpus(): Uint8Array {
  const files = globSync(['node_modules/**/*.d.ts', 'node_modules/**/*.md']).sort()
  const pieces: Uint8Array[] = []
  let length = 0
  for (const file of files) {
    if (length >= corpusBytes) break
    const content = readFileSync(file)
    // Text as every tool reads it: what is no UTF-8 would be told apart differently.
    if (content.includes(0) || Buffer.compare(Buffer.from(content.toString()), content) !== 0) continue
    pieces.push(content)
    length += content.length
  }
  return new Uint8Array(Buffer.from(Buffer.concat(pieces).subarray(0, corpusBytes).toString().replaceAll('\ufffd', '')))
}

function timed(work: () => void): number {
  const started = performance.now()
  work()
  return performance.now() - started
}

function round(value: number): number {
  return Number(value.toPrecision(3))
}
