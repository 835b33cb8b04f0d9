/**
 * Tables as CSV (RFC 4180). One pass finds where rows begin and what is in each column; rows are then read by
 * position, so that the file may be larger than memory. Numbers are standardised by the mean and the deviation of the
 * rows to learn from; a category becomes as many inputs, of which one is 1, or its number.
 */
import { type ColumnSummary, maxCategories, numberOf } from './columns.ts'
import { cellsOf } from './csv-row.ts'
import { listed, scanCsv } from './csv-scan.ts'
import type { DataPart } from './dataset.ts'
import { openBlocks } from './file-blocks.ts'
import type { Watch } from './lines.ts'
import { malformed } from './malformed.ts'
import { remembered } from './remembered.ts'
import type { OpenDataset } from './source.ts'
import type { SourceOf } from './source-schema.ts'
import { emptyPart } from './split.ts'
import { targetsOf } from './targets.ts'
import { plural } from './wording.ts'

/** What a row may become. */
const maxInputs = 65_536

/** `inputs`: float32 [width]; `targets`: int32 of a class, or float32 of a standardised number. */
export function openCsv(source: SourceOf<'csv'>, part: DataPart, watch?: Watch): OpenDataset {
  const { file } = source
  const { columns, target, starts, lengths, withoutTarget, fingerprint } = scanCsv(source, part, watch)
  if (starts.length === 0) throw emptyPart(part, `the rows of ${file}`)
  const targets = targetsOf(file, columns[target]!, source.task)
  const names = columns.map(({ name }) => name)
  const used = (source.columns ?? names.filter((name) => name !== source.target)).map((name) => {
    const found = names.indexOf(name)
    if (found === -1) throw malformed(file, 'its header', `no column ${name} among ${listed(names)}.`)
    return found
  })
  const inputs = used.map((column) => ({ column, ...inputOf(file, columns[column]!, source.categories) }))
  const width = inputs.reduce((sum, input) => sum + input.width, 0)
  if (width < 1 || width > maxInputs) {
    throw malformed(file, '', `its rows become ${width} inputs, where there may be 1 to ${maxInputs}; choose columns.`)
  }
  fingerprint.add(part)
  fingerprint.add(JSON.stringify([source.heldOutShare, target, used, source.categories, targets.about]))
  const blocks = openBlocks(file)
  return remembered({
    about: `${plural(starts.length, 'row')} of ${plural(width, 'input')} for ${targets.about}`,
    fields: [{ name: 'inputs', type: 'float32', shape: [width] }, targets.field],
    ...(targets.classes === undefined ? {} : { classes: targets.classes }),
    length: starts.length,
    fingerprint: fingerprint.hex(),
    skipped: { 'without target': withoutTarget },
    read: (index, [values, labels], row) => {
      const place = (): string => `the row at byte ${starts.at(index)}`
      const text = Buffer.from(blocks.read(starts.at(index), lengths.at(index)).buffer).toString()
      const cells = cellsOf(text, source.delimiter)
      const label = typeof cells === 'string' ? undefined : targets.valueOf(cells[target] ?? '')
      if (typeof cells === 'string' || cells.length !== columns.length || label === undefined) {
        throw malformed(file, place(), 'it is not what it was when the file was opened.')
      }
      let at = row * width
      values!.fill(0, at, at + width)
      for (const input of inputs) {
        input.write(cells[input.column]!, values!, at)
        at += input.width
      }
      labels![row] = label
    },
    close: blocks.close,
  })
}

interface Input {
  readonly width: number
  write(cell: string, into: Float32Array | Int32Array, at: number): void
}

/** A number that is missing is the mean, which is 0; a category that is missing is one of its own. */
function inputOf(file: string, column: ColumnSummary, categories: 'oneHot' | 'index'): Input {
  const { mean, deviation } = column
  if (column.kind === 'words') {
    const problem = `more than ${maxCategories} different words; leave it out of the columns, or make it a number.`
    throw malformed(file, `column ${column.name}`, problem)
  }
  if (column.kind === 'number') {
    return {
      width: 1,
      write: (cell, into, at) => {
        into[at] = ((numberOf(cell) ?? mean) - mean) / deviation
      },
    }
  }
  const places = new Map(column.values.map((value, place) => [value, place]))
  if (categories === 'index') {
    return {
      width: 1,
      write: (cell, into, at) => {
        into[at] = places.get(cell) ?? 0
      },
    }
  }
  return {
    width: places.size,
    write: (cell, into, at) => {
      const place = places.get(cell)
      if (place !== undefined) into[at + place] = 1
    },
  }
}
