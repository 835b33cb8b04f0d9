import { formatBytes } from '../lib/index.ts'
import { type Inspection, inspectData, type PartInspection } from '../training/index.ts'
import type { InspectOptions } from './data.ts'
import { withProgress } from './data-progress.ts'
import { drawImages, printable } from './data-sample.ts'
import { createTerminal, type Style, type Terminal } from './terminal.ts'

const maxClassesShown = 30
const maxLinesShown = 12

/** Looks into data, and tells what it found. */
export async function runInspect(paths: readonly string[], options: InspectOptions): Promise<void> {
  const terminal = createTerminal(options)
  const wishes = {
    ...(options.target === undefined ? {} : { target: options.target }),
    ...(options.tail === undefined ? {} : { heldOutTail: options.tail }),
    ...(options.classes ? { kind: 'folder' as const } : {}),
  }
  const found = await withProgress(terminal, (onProgress) => inspectData({ paths, wishes }, onProgress))
  const { sample: _, ...figures } = found
  terminal.result(figures, () => describe(found, paths, terminal))
}

const kinds: Readonly<Record<Inspection['source']['kind'], string>> = {
  idx: 'images and labels in IDX files',
  text: 'text',
  csv: 'a table (CSV)',
  jsonl: 'JSON lines',
  folder: 'a folder for each class',
}

function describe(found: Inspection, paths: readonly string[], terminal: Terminal): string {
  const { source, training, heldOut, fields } = found
  const { style } = terminal
  const rows: (readonly [string, string])[] = [
    ['kind', `${kinds[source.kind]}, ${formatBytes(found.sizeBytes)}`],
    ...('target' in source ? [['target', printable(source.target)] as const] : []),
    ['learn from', printable(training.about)],
    ['held out', printable(typeof heldOut === 'string' ? heldOut : heldOut.about)],
    ...fields.map((field) => {
      const values = field.type === 'int32' ? ` below ${field.values}` : ''
      const shape = field.shape.length === 0 ? '' : ` [${field.shape.join(', ')}]`
      return [field.name, `${field.type}${shape}${values}`] as const
    }),
    ...classRows(training, heldOut),
    ...(found.duplicates === null ? [] : [['duplicates', duplicatesIn(found, style)] as const]),
    ...skippedRows(training),
    ...baselineRows(found),
  ]
  const width = Math.max(...rows.map(([name]) => name.length))
  const lines = rows.map(([name, value]) => `${style.dim(name.padEnd(width))}  ${value}`)
  const command = ['owm train local', ...modelFor(fields), '--data', ...paths.map(quoted), ...tailOf(source)].join(' ')
  return [...lines, '', ...sampleLines(found, terminal), '', `${style.dim('next')}  ${command}`].join('\n')
}

function classRows(training: PartInspection, heldOut: PartInspection | string): (readonly [string, string])[] {
  if (training.classes === undefined) return []
  const counts = training.classes.map(({ name, count }, at) => {
    const other = typeof heldOut === 'string' ? 0 : (heldOut.classes?.[at]?.count ?? 0)
    return `${printable(name)}: ${count + other}`
  })
  const more = counts.length > maxClassesShown ? ` and ${counts.length - maxClassesShown} more` : ''
  return [['classes', counts.slice(0, maxClassesShown).join('  ') + more]]
}

function duplicatesIn({ duplicates, leaked, training }: Inspection, style: Style): string {
  const among = training.looked < training.examples ? ` among the first ${training.looked}` : ''
  const flattering = style.yellow(`${leaked} of what is held out is also learned from: measures flatter`)
  return `${duplicates === 0 ? 'none' : duplicates}${among}${leaked === 0 ? '' : `; ${flattering}`}`
}

function skippedRows({ skipped }: PartInspection): (readonly [string, string])[] {
  const reasons = Object.entries(skipped).filter(([, count]) => count > 0)
  return reasons.length === 0 ? [] : [['left out', reasons.map(([why, count]) => `${count} ${why}`).join(', ')]]
}

function baselineRows({ baselines }: Inspection): (readonly [string, string])[] {
  if (baselines === undefined) return []
  const { unigram, bigram, trigram } = baselines
  const all = [`unigram ${unigram.toFixed(3)}`, `bigram ${bigram.toFixed(3)}`, `trigram ${trigram.toFixed(3)}`]
  return [['to beat', `${all.join('  ')}  bits per byte of what is held out, by counting`]]
}

function sampleLines({ sample }: Inspection, terminal: Terminal): string[] {
  switch (sample.kind) {
    case 'text':
      return sample.text
        .split('\n')
        .slice(0, maxLinesShown)
        .map((line) => `  ${printable(line).slice(0, terminal.columns - 4)}`)
    case 'images':
      return drawImages(sample.images, terminal.columns)
    case 'numbers': {
      const numbers = sample.values.map((value) => Number(value.toPrecision(4)))
      return [`  ${numbers.join(' ')} -> ${printable(sample.target)}`]
    }
  }
}

/** Text is for the model that is trained unless another is asked for; images are squares of pixels, or rows of numbers. */
function modelFor(fields: Inspection['fields']): string[] {
  const shape = fields[0]?.shape ?? []
  if (fields[0]?.name === 'windows') return []
  return ['--model', shape.length === 3 && shape[1] === shape[2] && fields[1]?.type === 'int32' ? 'cnn' : 'mlp']
}

function tailOf(source: Inspection['source']): string[] {
  return source.kind === 'text' && source.heldOutTail !== undefined ? ['--tail', `${source.heldOutTail}`] : []
}

/** As a shell reads it. */
function quoted(path: string): string {
  return /^[\w./~+-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`
}
