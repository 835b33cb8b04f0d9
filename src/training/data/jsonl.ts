/**
 * A JSON object a line (JSON Lines): documents, whose text is joined for a language model; or arrays of numbers, each
 * with a label. A line's side of the split is decided by its document, or its inputs: content, not how it is written.
 */
import { blake3Of } from '../../lib/index.ts'
import { absentCell, createColumn } from './columns.ts'
import type { DataPart } from './dataset.ts'
import { openBlocks } from './file-blocks.ts'
import { createFingerprint } from './fingerprint.ts'
import { eachLine, type Watch } from './lines.ts'
import { malformed } from './malformed.ts'
import { createNumberList } from './number-list.ts'
import { flattened, shapeOf } from './numbers.ts'
import { remembered } from './remembered.ts'
import type { OpenDataset } from './source.ts'
import type { SourceOf } from './source-schema.ts'
import { emptyPart, isHeldOut } from './split.ts'
import { targetsOf } from './targets.ts'
import { windowsOfText } from './tokens.ts'
import { counted, plural } from './wording.ts'

type JsonlSource = SourceOf<'jsonl'>
type Line = Readonly<Record<string, unknown>>

/** Text is held in memory. */
const maxTextBytes = 1024 ** 3
const maxRows = 100_000_000

export function openJsonl(source: JsonlSource, part: DataPart, watch?: Watch): OpenDataset {
  const { content } = source
  return content.kind === 'text'
    ? openDocuments(source, content, part, watch)
    : openExamples(source, content, part, watch)
}

/** `windows`: int32 [context + 1]. */
function openDocuments(
  { file, heldOutShare }: JsonlSource,
  content: Extract<JsonlSource['content'], { kind: 'text' }>,
  part: DataPart,
  watch: Watch | undefined,
): OpenDataset {
  const separator = Buffer.from(content.separator)
  const pieces: Uint8Array[] = []
  let length = 0
  let empty = 0
  eachObject(file, watch, (line, place) => {
    const value = line[content.field]
    if (typeof value !== 'string') throw malformed(file, place, `there is no text in its field ${content.field}.`)
    const text = Buffer.from(value)
    if (text.length === 0) empty++
    else if (isHeldOut(text, heldOutShare) === (part === 'heldOut')) {
      length += text.length + separator.length
      if (length > maxTextBytes) throw malformed(file, place, `there are more than ${maxTextBytes} bytes of text.`)
      pieces.push(text, separator)
    }
  })
  if (pieces.length === 0) throw emptyPart(part, `the documents of ${file}`)
  const documents = plural(pieces.length / 2, 'document')
  const what = `${plural(length, 'byte')} of text in ${documents}`
  return { ...windowsOfText(new Uint8Array(Buffer.concat(pieces)), content, what), skipped: { empty } }
}

/** `inputs`: float32, shaped as the arrays are; `targets`: int32 of a class, or float32 of a standardised number. */
function openExamples(
  { file, heldOutShare }: JsonlSource,
  content: Extract<JsonlSource['content'], { kind: 'examples' }>,
  part: DataPart,
  watch: Watch | undefined,
): OpenDataset {
  const fingerprint = createFingerprint('jsonl')
  const labels = createColumn(content.target)
  const starts = createNumberList()
  const lengths = createNumberList()
  let shape: readonly number[] | undefined
  let rows = 0
  eachObject(file, watch, (line, place, offset, length) => {
    const inputs = line[content.inputs]
    const found = shapeOf(inputs)
    shape ??= found
    if (found === undefined || `${found}` !== `${shape}`) {
      const problem = shape === undefined ? 'no array of numbers' : `no numbers of the shape ${shape.join('x')}`
      throw malformed(file, place, `its field ${content.inputs} has ${problem}.`)
    }
    if (++rows > maxRows) throw malformed(file, place, `there are more than ${maxRows} lines.`)
    const hash = blake3Of(Buffer.from(JSON.stringify(inputs)))
    const heldOut = hash[0]! < heldOutShare
    const label = labelOf(line, content.target)
    if (label === undefined || absentCell(label))
      throw malformed(file, place, `its field ${content.target} has no number and no word.`)
    labels.add(label, !heldOut)
    fingerprint.add(hash)
    fingerprint.add(label)
    if (heldOut !== (part === 'heldOut')) return
    starts.push(offset)
    lengths.push(length)
  })
  if (shape === undefined || starts.length === 0) throw emptyPart(part, `the lines of ${file}`)
  const axes = shape
  const size = axes.reduce((product, one) => product * one, 1)
  const targets = targetsOf(file, labels.summary(), content.task)
  fingerprint.add(JSON.stringify([part, heldOutShare, content.inputs, axes, targets.about]))
  const blocks = openBlocks(file)
  return remembered({
    about: `${counted(starts.length)} examples of ${axes.join('x')} for ${targets.about}`,
    fields: [{ name: 'inputs', type: 'float32', shape: content.flat ? [size] : axes }, targets.field],
    ...(targets.classes === undefined ? {} : { classes: targets.classes }),
    length: starts.length,
    fingerprint: fingerprint.hex(),
    read: (index, [values, into], row) => {
      const place = `the line at byte ${starts.at(index)}`
      const line = parse(file, place, blocks.read(starts.at(index), lengths.at(index)))
      const inputs = line[content.inputs]
      const label = targets.valueOf(labelOf(line, content.target) ?? '')
      if (`${shapeOf(inputs)}` !== `${axes}` || label === undefined) {
        throw malformed(file, place, 'it is not what it was when the file was opened.')
      }
      flattened(inputs, values!, row * size)
      into![row] = label
    },
    close: blocks.close,
  })
}

function labelOf(line: Line, field: string): string | undefined {
  const value = line[field]
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? `${value}` : undefined
}

function eachObject(
  file: string,
  watch: Watch | undefined,
  onObject: (line: Line, place: string, offset: number, length: number) => void,
): void {
  let number = 0
  eachLine(file, { quotes: false, watch }, (bytes, offset) => {
    const place = `object ${++number} at byte ${offset}`
    onObject(parse(file, place, bytes), place, offset, bytes.length)
  })
}

function parse(file: string, place: string, bytes: Uint8Array): Line {
  let value: unknown
  try {
    value = JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString())
  } catch (error) {
    throw malformed(file, place, `it is no JSON: ${(error as Error).message}.`)
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw malformed(file, place, 'it is no object; each line is one, in braces.')
  }
  return value as Line
}
