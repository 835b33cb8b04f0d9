/** What the first lines of tables and JSON lines tell: which is the target, and what is learned from. */
import { absentCell, numberOf } from './columns.ts'
import { cellsOf } from './csv-row.ts'
import { eachLine } from './lines.ts'
import { malformed } from './malformed.ts'
import { shapeOf } from './numbers.ts'
import type { DataSource } from './source-schema.ts'

type Of<Kind extends DataSource['kind']> = Extract<DataSource, { kind: Kind }>

const delimiters = [',', ';', '\t', '|'] as const
const usualTargets: ReadonlySet<string> = new Set(['target', 'targets', 'label', 'labels', 'class', 'y'])
const usualInputs: ReadonlySet<string> = new Set(['inputs', 'input', 'features', 'pixels', 'x', 'data'])
const usualTexts: ReadonlySet<string> = new Set(['text', 'content', 'document', 'body'])

/** The delimiter that is there most; a header unless there is a number; the target by its usual names, else the last column. */
export function csvShape(file: string, target: string | undefined): Pick<Of<'csv'>, 'delimiter' | 'header' | 'target'> {
  const row = firstLine(file, true)
  const counts = delimiters.map((delimiter) => {
    const cells = cellsOf(row, delimiter)
    return typeof cells === 'string' ? [] : cells
  })
  const most = counts.reduce((best, cells, at) => (cells.length > counts[best]!.length ? at : best), 0)
  const cells = counts[most]!
  if (cells.length < 2) throw malformed(file, 'its first line', 'there are no two columns in it.')
  const header = !cells.some((cell) => !absentCell(cell) && !Number.isNaN(numberOf(cell)))
  const names = header ? cells : cells.map((_, at) => `${at}`)
  return { delimiter: delimiters[most]!, header, target: target ?? usual(names, usualTargets) ?? names.at(-1)! }
}

/** Text where a field is one; else the array of numbers, and beside it a number or a word. */
export function jsonlContent(
  file: string,
  { target, context, tokenizer, flat }: { target?: string; context?: number; tokenizer?: string; flat?: boolean },
): Of<'jsonl'>['content'] {
  const line = firstObject(file)
  const fields = Object.keys(line)
  const arrays = fields.filter((name) => shapeOf(line[name]) !== undefined)
  const texts = fields.filter((name) => typeof line[name] === 'string')
  const inputs = usual(arrays, usualInputs) ?? arrays[0]
  if (inputs === undefined) {
    const field = usual(texts, usualTexts) ?? texts[0]
    if (field === undefined) throw malformed(file, 'its first line', `there is neither text nor numbers in ${fields}.`)
    return {
      kind: 'text',
      field,
      ...(context === undefined ? {} : { context }),
      ...(tokenizer === undefined ? {} : { tokenizer }),
    }
  }
  const labels = fields.filter((name) => ['string', 'number', 'boolean'].includes(typeof line[name]))
  const label = target ?? usual(labels, usualTargets) ?? labels[0]
  if (label === undefined)
    throw malformed(file, 'its first line', `there is nothing in ${fields} to be told from ${inputs}.`)
  return { kind: 'examples', inputs, target: label, ...(flat === undefined ? {} : { flat }) }
}

/** Whether the first line is a JSON object from which something can be learned. */
export function isJsonLines(file: string): boolean {
  try {
    jsonlContent(file, {})
    return true
  } catch {
    return false
  }
}

function firstObject(file: string): Readonly<Record<string, unknown>> {
  const line = firstLine(file, false)
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch (error) {
    throw malformed(file, 'its first line', `it is no JSON: ${(error as Error).message}.`)
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw malformed(file, 'its first line', 'it is no object.')
  }
  return value as Readonly<Record<string, unknown>>
}

function firstLine(file: string, quotes: boolean): string {
  let line = ''
  eachLine(file, { quotes }, (bytes) => {
    line = Buffer.from(bytes).toString()
    return false
  })
  return line
}

function usual(names: readonly string[], wanted: ReadonlySet<string>): string | undefined {
  return names.find((name) => wanted.has(name.toLowerCase()))
}
