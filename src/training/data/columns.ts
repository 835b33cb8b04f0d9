/** What is known of a table's columns once all rows have been seen. */
import { compareBytes } from '../../lib/index.ts'

export interface ColumnSummary {
  readonly name: string
  /** `words`: more different ones than are kept; nothing is learned from them. */
  readonly kind: 'number' | 'category' | 'words'
  /** Of the numbers to learn from. */
  readonly mean: number
  readonly deviation: number
  /** Whether all are whole. */
  readonly whole: boolean
  /** The different cells, numbers in their order, words by their bytes; empty where there are too many. */
  readonly values: readonly string[]
  readonly missing: number
}

export interface Column {
  /** @param counts whether the row is one to learn from, and its number is part of the mean */
  add(cell: string, counts: boolean): void
  summary(): ColumnSummary
}

/** More categories than this are words, or names. */
export const maxCategories = 1024
/** In characters; a longer cell is a text. */
const maxCategoryLength = 1024

const numeric = /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/
/** How tables write that a number is not known. */
const absent: ReadonlySet<string> = new Set(['', 'NA', 'N/A', 'na', 'NaN', 'nan', 'NULL', 'null', '?'])

export function absentCell(cell: string): boolean {
  return absent.has(cell.trim())
}

/** Undefined where none is given; NaN for what is no number. */
export function numberOf(cell: string): number | undefined {
  if (absentCell(cell)) return undefined
  const text = cell.trim()
  const value = numeric.test(text) ? Number(text) : Number.NaN
  return Number.isFinite(value) ? value : Number.NaN
}

export function createColumn(name: string): Column {
  let numbers = true
  let whole = true
  let missing = 0
  let count = 0
  let mean = 0
  let squares = 0
  let many = false
  const values = new Set<string>()
  return {
    add: (cell, counts) => {
      if (!many) {
        values.add(cell)
        many = values.size > maxCategories || cell.length > maxCategoryLength
        if (many) values.clear()
      }
      const value = numberOf(cell)
      if (value === undefined) missing++
      else if (Number.isNaN(value)) numbers = false
      else {
        whole &&= Number.isInteger(value)
        if (!counts) return
        // Welford 1962: one pass, and the same bits each time.
        count++
        const before = value - mean
        mean += before / count
        squares += before * (value - mean)
      }
    },
    summary: () => {
      const kind = numbers ? 'number' : many ? 'words' : 'category'
      return {
        name,
        kind,
        mean,
        deviation: count > 1 && squares > 0 ? Math.sqrt(squares / count) : 1,
        whole,
        values: inOrder([...values], kind === 'number'),
        missing,
      }
    },
  }
}

/** Numbers by size, words by bytes. */
function inOrder(values: readonly string[], numbers: boolean): string[] {
  const present = numbers ? values.filter((value) => !absentCell(value)) : values
  return present.toSorted(
    (a, b) => (numbers ? Number(a) - Number(b) : 0) || compareBytes(Buffer.from(a), Buffer.from(b)),
  )
}
