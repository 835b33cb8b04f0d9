/**
 * The codes of a number of bits: a value is a code times its block's step. Dense vectors need a code for 0, or at least
 * small ones, and their coarsest are spread as suits a bell curve (Max 1960); of the numbers that top-k keeps none is 0,
 * and all patterns stand for others.
 */
export type Bits = 1 | 2 | 4 | 8 | 16

export interface Levels {
  readonly bits: Bits
  /** Code of each bit pattern; `unused` where there is none. */
  readonly codes: Int32Array
  /** Bit pattern of code + `most`. */
  readonly patterns: Uint16Array
  /** The largest code; the smallest is its opposite. */
  readonly most: number
  readonly kind: 'dense' | 'odd' | 'sparse'
}

export const unused = 0x8000_0000 | 0

export function levelsOf(bits: Bits, sparse: boolean): Levels {
  const half = 1 << (bits - 1)
  const kind = sparse ? 'sparse' : bits <= 2 ? 'odd' : 'dense'
  const codes = Int32Array.from({ length: 1 << bits }, (_, pattern) => {
    const signed = pattern < half ? pattern : pattern - 2 * half
    if (kind === 'odd') return 2 * signed + 1
    if (sparse) return signed < 0 ? signed : signed + 1
    return signed === -half ? unused : signed
  })
  const most = kind === 'odd' ? 2 * half - 1 : sparse ? half : half - 1
  const patterns = new Uint16Array(2 * most + 1)
  for (const [pattern, code] of codes.entries()) if (code !== unused) patterns[code + most] = pattern
  return { bits, codes, patterns, most, kind }
}

/** The code nearest to a ratio; with `random` (0 to 1, 1 excluded) the one below or above it, right in the mean. */
export function codeOf(ratio: number, { most, kind }: Levels, random = 0.5): number {
  if (kind === 'sparse') {
    const size = Math.floor(Math.abs(ratio) + random)
    const within = size < 1 ? 1 : size > most ? most : size
    return ratio < 0 ? -within : within
  }
  const code = kind === 'odd' ? 2 * Math.floor((ratio - 1) / 2 + random) + 1 : Math.floor(ratio + random)
  return code > most ? most : code < -most ? -most : code
}
