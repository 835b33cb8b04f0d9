/**
 * Cuts bytes into words, in which tokens are looked for, by GPT-2's pattern (Radford et al. 2019):
 *
 *   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 *
 * Written out over bytes: several times as fast as the pattern, and bytes that are no UTF-8 are signs like any other,
 * one by one. `\s` is Unicode's White_Space, as in other tokenizers, which is not quite that of JavaScript.
 */
const sign = 0
const blank = 3
/** Of the classes from 1 on: letters, digits, blanks. */
const patterns = [/^\p{L}$/u, /^\p{N}$/u, /^\p{White_Space}$/u]
const unknown = 255

/** Of every character, found out when first met. */
const classes = new Uint8Array(0x110000).fill(unknown)

function classOf(point: number): number {
  const known = classes[point]!
  if (known !== unknown) return known
  const text = String.fromCodePoint(point)
  const found = patterns.findIndex((pattern) => pattern.test(text)) + 1
  classes[point] = found
  return found
}

const space = 0x20
const apostrophe = 0x27

/** Calls `onWord` with the place of each word of `bytes`; together they are all of it. */
export function eachWord(bytes: Uint8Array, onWord: (from: number, to: number) => void): void {
  const end = bytes.length
  /** Of the character that was looked at last. */
  let length = 1
  const look = (at: number): number => {
    const first = bytes[at]!
    if (first < 0x80) {
      length = 1
      return classOf(first)
    }
    const point = decode(bytes, at)
    if (point < 0) {
      length = 1
      return sign
    }
    length = point < 0x800 ? 2 : point < 0x10000 ? 3 : 4
    return classOf(point)
  }
  /** The end of the characters of one class that begin at `at`. */
  const endOfRun = (at: number, kind: number): number => {
    while (at < end && look(at) === kind) at += length
    return at
  }
  for (let at = 0; at < end; ) {
    const from = at
    const short = bytes[at] === apostrophe ? contraction(bytes, at) : 0
    if (short > 0) at += short
    else {
      const kind = look(at)
      if (kind !== blank) at = endOfRun(at + length, kind)
      else {
        const next = bytes[at] === space && at + 1 < end ? look(at + 1) : blank
        if (next !== blank) at = endOfRun(at + 1, next)
        else {
          // The last blank before a word goes with the word, or stands alone.
          let last = at
          while (at < end && look(at) === blank) {
            last = at
            at += length
          }
          if (at < end && last > from) at = last
        }
      }
    }
    onWord(from, at)
  }
}

/** The length of `'s`, `'t`, `'re`, `'ve`, `'m`, `'ll` or `'d` there, or 0. */
function contraction(bytes: Uint8Array, at: number): number {
  switch (bytes[at + 1]) {
    case 0x73:
    case 0x74:
    case 0x6d:
    case 0x64:
      return 2
    case 0x72:
    case 0x76:
      return bytes[at + 2] === 0x65 ? 3 : 0
    case 0x6c:
      return bytes[at + 2] === 0x6c ? 3 : 0
    default:
      return 0
  }
}

/** The character of UTF-8 that begins there (RFC 3629), or -1: no overlong forms, no surrogates, nothing cut off. */
function decode(bytes: Uint8Array, at: number): number {
  const first = bytes[at]!
  const more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : 1
  if (first < 0xc2 || first > 0xf4 || at + more >= bytes.length) return -1
  let point = first & (0x3f >> more)
  for (let k = 1; k <= more; k++) {
    const next = bytes[at + k]!
    if ((next & 0xc0) !== 0x80) return -1
    point = (point << 6) | (next & 0x3f)
  }
  const overlong = more === 2 ? point < 0x800 : more === 3 && point < 0x10000
  return overlong || point > 0x10ffff || (point >= 0xd800 && point < 0xe000) ? -1 : point
}
