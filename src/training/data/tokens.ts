import type { Tokenizer } from './bpe/tokenizer.ts'
import { readTokenizer } from './bpe/tokenizer-file.ts'
import { noData } from './malformed.ts'
import type { OpenDataset } from './source.ts'
import { type Tokens, windowsOf } from './windows.ts'
import { plural } from './wording.ts'

/** Text at a time: its tokens take four bytes each while they are found. */
const pieceBytes = 16 * 1024 * 1024
const lineFeed = 10

/**
 * A text's windows: of bytes, or of the tokens of a tokenizer's file. `what` says for people which text it is.
 *
 * @throws OwmError `no_training_data` when it is shorter than a window, `malformed_data` of the tokenizer's file
 */
export function windowsOfText(
  bytes: Uint8Array,
  { context, tokenizer: file }: { readonly context: number; readonly tokenizer?: string | undefined },
  what: string,
): OpenDataset {
  const tokenizer = file === undefined ? undefined : readTokenizer(file)
  const tokens = tokenizer === undefined ? bytes : tokensOf(bytes, tokenizer)
  const about = tokenizer === undefined ? what : `${what}, ${plural(tokens.length, 'token')} of ${tokenizer.vocabulary}`
  if (tokens.length <= context) throw noData(`${about}: too little for a window of ${context + 1}.`)
  return {
    ...windowsOf(tokens, context, about, tokenizer?.vocabulary),
    text: { bytes: bytes.length, tokens: tokens.length, ...(tokenizer === undefined ? { content: bytes } : {}) },
  }
}

/** Piece by piece, each ending with a line: no word is cut, at most a run of empty lines. */
function tokensOf(bytes: Uint8Array, tokenizer: Tokenizer): Tokens {
  const pieces: Int32Array[] = []
  for (let from = 0; from < bytes.length; ) {
    const end = from + pieceBytes < bytes.length ? bytes.indexOf(lineFeed, from + pieceBytes) + 1 : 0
    const to = end === 0 ? bytes.length : end
    pieces.push(tokenizer.encode(bytes.subarray(from, to)))
    from = to
  }
  const length = pieces.reduce((sum, piece) => sum + piece.length, 0)
  const tokens = tokenizer.vocabulary <= 65_536 ? new Uint16Array(length) : new Int32Array(length)
  let at = 0
  for (const piece of pieces) {
    tokens.set(piece, at)
    at += piece.length
  }
  return tokens
}
