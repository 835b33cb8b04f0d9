/** The one pass over a table: where the rows of a part begin, and what is in each column. */
import { blake3Of } from '../../lib/index.ts'
import { absentCell, type Column, type ColumnSummary, createColumn } from './columns.ts'
import { cellsOf } from './csv-row.ts'
import type { DataPart } from './dataset.ts'
import { createFingerprint, type Fingerprint } from './fingerprint.ts'
import { eachLine, type Watch } from './lines.ts'
import { malformed } from './malformed.ts'
import { createNumberList, type NumberList } from './number-list.ts'
import type { SourceOf } from './source-schema.ts'

export interface CsvScan {
  readonly columns: readonly ColumnSummary[]
  /** The target's place among them. */
  readonly target: number
  /** In bytes, of the rows of the part. */
  readonly starts: NumberList
  readonly lengths: NumberList
  /** Rows that do not name what is to be told from them. */
  readonly withoutTarget: number
  /** Of all rows. */
  readonly fingerprint: Fingerprint
}

const maxColumns = 4096
const maxRows = 100_000_000

/** @throws OwmError `malformed_data` naming row and byte */
export function scanCsv(source: SourceOf<'csv'>, part: DataPart, watch?: Watch): CsvScan {
  const { file, delimiter } = source
  const starts = createNumberList()
  const lengths = createNumberList()
  const fingerprint = createFingerprint('csv')
  let columns: Column[] = []
  let target = -1
  let rows = 0
  let withoutTarget = 0
  const begin = (names: readonly string[]): void => {
    if (names.length > maxColumns) throw malformed(file, 'its header', `${names.length} columns; ${maxColumns} may be.`)
    target = names.indexOf(source.target)
    if (target === -1) throw malformed(file, 'its header', `no column ${source.target} among ${listed(names)}.`)
    const twice = names.find((name, at) => names.indexOf(name) !== at)
    if (twice !== undefined) throw malformed(file, 'its header', `two columns have the name ${twice}.`)
    columns = names.map(createColumn)
  }
  eachLine(file, { quotes: true, watch }, (line, offset) => {
    const cells = cellsOf(Buffer.from(line.buffer, line.byteOffset, line.byteLength).toString(), delimiter)
    if (typeof cells === 'string') throw malformed(file, placeOf(rows, offset), cells)
    if (columns.length === 0) {
      begin(source.header ? cells : cells.map((_, at) => `${at}`))
      if (source.header) return
    }
    rows++
    if (cells.length !== columns.length) {
      const problem = `${cells.length} cells, where there are ${columns.length} columns; is the delimiter ${JSON.stringify(delimiter)}?`
      throw malformed(file, placeOf(rows, offset), problem)
    }
    if (rows > maxRows) throw malformed(file, '', `more than ${maxRows} rows.`)
    if (absentCell(cells[target]!)) {
      withoutTarget++
      return
    }
    // The whole row, however it is quoted and whichever columns are asked for: then its side never changes.
    const hash = blake3Of(Buffer.from(JSON.stringify(cells)))
    const heldOut = hash[0]! < source.heldOutShare
    for (const [at, column] of columns.entries()) column.add(cells[at]!, !heldOut)
    fingerprint.add(hash)
    if (heldOut !== (part === 'heldOut')) return
    starts.push(offset)
    lengths.push(line.length)
  })
  if (columns.length === 0) throw malformed(file, '', 'it is empty.')
  return { columns: columns.map((column) => column.summary()), target, starts, lengths, withoutTarget, fingerprint }
}

function placeOf(row: number, offset: number): string {
  return `row ${row} at byte ${offset}`
}

export function listed(names: readonly string[]): string {
  return names.length > 20 ? `${names.slice(0, 20).join(', ')} and ${names.length - 20} more` : names.join(', ')
}
