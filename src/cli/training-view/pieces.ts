import type { Style } from '../terminal.ts'
import { whole } from './words.ts'

const mostBar = 60
const leastBar = 8

export interface Piece {
  readonly text: string
  readonly paint: (text: string) => string
}

/** How much is done, in at most `columns`. */
export function bar(step: number, steps: number, columns: number, style: Style, unicode: boolean): string {
  const share = steps === 0 ? 1 : Math.min(1, step / steps)
  const percent = ` ${String(Math.floor(share * 100)).padStart(3)} %`
  const counted = `${percent}  step ${whole(step)} of ${whole(steps)}`
  const words = counted.length + leastBar <= columns ? counted : percent
  const width = Math.max(0, Math.min(mostBar, columns - words.length))
  const filled = Math.round(share * width)
  const [full, empty] = unicode ? ['━', '─'] : ['#', '-']
  return `${style.green(full.repeat(filled))}${style.dim(empty.repeat(width - filled))}${words}`
}

/** Pieces in as few rows as their text fits in. */
export function packed(pieces: readonly Piece[], width: number): string[] {
  const rows: string[] = []
  let room = 0
  for (const { text, paint } of pieces) {
    const kept = text.slice(0, width)
    if (rows.length > 0 && kept.length + 3 <= room) {
      rows[rows.length - 1] += `   ${paint(kept)}`
      room -= kept.length + 3
    } else {
      rows.push(paint(kept))
      room = width - kept.length
    }
  }
  return rows
}
