/** Dots in the cells of a terminal: braille's eight (Unicode block 2800), or one mark where that is not shown. */
export interface Glyphs {
  readonly dotsAcross: number
  readonly dotsDown: number
  /** A cell with some of its dots set by the series `owner`; bit `y * dotsAcross + x`. */
  cell(dots: number, owner: number): string
  /** Of a series, for the legend. */
  sample(owner: number, dashed: boolean): string
  readonly vertical: string
  readonly yTick: string
  readonly horizontal: string
  readonly xTick: string
  readonly corner: string
}

/** Braille counts its dots down the left column, down the right one, and then the lowest row, which came later. */
const brailleBits = [0x01, 0x08, 0x02, 0x10, 0x04, 0x20, 0x40, 0x80]
export const braille: Glyphs = {
  dotsAcross: 2,
  dotsDown: 4,
  cell: (dots) =>
    String.fromCodePoint(0x2800 + brailleBits.reduce((sum, bit, i) => sum + ((dots >> i) & 1 ? bit : 0), 0)),
  sample: (_, dashed) => (dashed ? '╌╌' : '──'),
  vertical: '│',
  yTick: '┤',
  horizontal: '─',
  xTick: '┬',
  corner: '└',
}

const marks = ['*', 'o', '+', 'x']
export const ascii: Glyphs = {
  dotsAcross: 1,
  dotsDown: 1,
  cell: (_, owner) => marks[owner % marks.length]!,
  sample: (owner) => marks[owner % marks.length]!,
  vertical: '|',
  yTick: '+',
  horizontal: '-',
  xTick: '+',
  corner: '+',
}

/** A dashed line has so many dots, and leaves out as many. */
const dashLength = 3

export class Canvas {
  /** In dots. */
  readonly width: number
  readonly height: number
  readonly #columns: number
  readonly #glyphs: Glyphs
  readonly #dots: Uint8Array
  readonly #owners: Uint8Array

  constructor(columns: number, rows: number, glyphs: Glyphs) {
    this.#columns = columns
    this.#glyphs = glyphs
    this.width = columns * glyphs.dotsAcross
    this.height = rows * glyphs.dotsDown
    this.#dots = new Uint8Array(columns * rows)
    this.#owners = new Uint8Array(columns * rows)
  }

  /** A line from dot to dot; null breaks it. A cell belongs to who drew in it last. */
  trace(path: readonly (readonly [x: number, y: number] | null)[], owner: number, dashed: boolean): void {
    let before: readonly [number, number] | null = null
    let drawn = 0
    for (const point of path) {
      if (point !== null) {
        const [fromX, fromY] = before ?? point
        const length = Math.max(Math.abs(point[0] - fromX), Math.abs(point[1] - fromY))
        for (let i = before === null ? 0 : Math.min(1, length); i <= length; i++, drawn++) {
          if (dashed && Math.floor(drawn / dashLength) % 2 === 1) continue
          const share = length === 0 ? 0 : i / length
          this.#set(
            Math.round(fromX + (point[0] - fromX) * share),
            Math.round(fromY + (point[1] - fromY) * share),
            owner,
          )
        }
      }
      before = point
    }
  }

  #set(x: number, y: number, owner: number): void {
    const { dotsAcross, dotsDown } = this.#glyphs
    const cell = Math.floor(y / dotsDown) * this.#columns + Math.floor(x / dotsAcross)
    this.#dots[cell] = this.#dots[cell]! | (1 << ((y % dotsDown) * dotsAcross + (x % dotsAcross)))
    this.#owners[cell] = owner
  }

  lines(paint: (text: string, owner: number) => string): string[] {
    const rows = this.#dots.length / this.#columns
    return Array.from({ length: rows }, (_, row) => {
      let line = ''
      let run = ''
      let runOwner = -1
      const end = (): void => {
        line += runOwner < 0 ? run : paint(run, runOwner)
        run = ''
      }
      for (let cell = row * this.#columns; cell < (row + 1) * this.#columns; cell++) {
        const dots = this.#dots[cell]!
        const owner = dots === 0 ? -1 : this.#owners[cell]!
        if (owner !== runOwner) end()
        runOwner = owner
        run += dots === 0 ? ' ' : this.#glyphs.cell(dots, owner)
      }
      if (runOwner >= 0) end()
      return line
    })
  }
}
