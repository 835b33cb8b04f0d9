/**
 * The cells of one row (RFC 4180): quoted where they have the delimiter, quotes or line ends in them, with each quote
 * doubled.
 *
 * @returns a sentence for people where a quote stands where none may
 */
export function cellsOf(row: string, delimiter: string): string[] | string {
  if (!row.includes('"')) return row.split(delimiter)
  const cells: string[] = []
  for (let at = 0; ; ) {
    if (row[at] !== '"') {
      const end = row.indexOf(delimiter, at)
      const cell = end === -1 ? row.slice(at) : row.slice(at, end)
      if (cell.includes('"')) return `there is a quote within ${shown(cell)}, which does not begin with one.`
      cells.push(cell)
      if (end === -1) return cells
      at = end + 1
      continue
    }
    const end = closingQuote(row, at + 1)
    if (end === -1) return `the quote of ${shown(row.slice(at))} is never closed.`
    cells.push(row.slice(at + 1, end).replaceAll('""', '"'))
    if (end + 1 === row.length) return cells
    if (row[end + 1] !== delimiter) return `after the quotes of ${shown(row.slice(at, end + 1))} no cell ends.`
    at = end + 2
  }
}

/** A quote that is not one of two. */
function closingQuote(row: string, from: number): number {
  for (let at = row.indexOf('"', from); at !== -1; at = row.indexOf('"', at + 2)) {
    if (row[at + 1] !== '"') return at
  }
  return -1
}

function shown(text: string): string {
  return JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text)
}
