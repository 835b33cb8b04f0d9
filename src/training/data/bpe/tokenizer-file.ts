/** Tokenizers in files: Hugging Face's `tokenizer.json`, of which byte-level BPE is read and written. */
import { z } from 'zod'
import { readBounded } from '../file.ts'
import { malformed } from '../malformed.ts'
import { bytesOfText, textOfBytes } from './alphabet.ts'
import { createTokenizer, type Tokenizer } from './tokenizer.ts'
import { maxVocabulary, type Vocabulary } from './train.ts'

const maxFileBytes = 64 * 1024 * 1024
const maxTokenLength = 4096

const token = z.string().min(1).max(maxTokenLength)
const id = z
  .int()
  .min(0)
  .max(maxVocabulary - 1)
const byteLevel = z.object({
  type: z.literal('ByteLevel'),
  add_prefix_space: z.literal(false),
  use_regex: z.literal(true).optional(),
})
/** What changes tokens must be as we have it; what only shapes the output of other tools may be anything. */
const fileSchema = z.object({
  normalizer: z.null().optional(),
  added_tokens: z
    .array(z.object({ id, content: token }))
    .max(65_536)
    .default([]),
  pre_tokenizer: byteLevel,
  model: z.object({
    type: z.literal('BPE'),
    dropout: z.null().optional(),
    unk_token: z.null().optional().or(z.string()),
    continuing_subword_prefix: z.literal('').nullish(),
    end_of_word_suffix: z.literal('').nullish(),
    byte_fallback: z.literal(false).optional(),
    ignore_merges: z.literal(false).optional(),
    vocab: z.record(token, id),
    merges: z
      .array(
        z
          .string()
          .max(2 * maxTokenLength + 1)
          .or(z.tuple([token, token])),
      )
      .max(maxVocabulary),
  }),
})

/** @throws OwmError `malformed_data` for what is not a byte-level BPE tokenizer, `unreadable_data` */
export function readTokenizer(path: string): Tokenizer {
  const vocabulary = decodeTokenizer(readBounded(path, maxFileBytes), path)
  try {
    return createTokenizer(vocabulary)
  } catch (error) {
    throw malformed(path, 'model', (error as Error).message)
  }
}

/** `name` is for errors. */
export function decodeTokenizer(bytes: Uint8Array, name = 'tokenizer.json'): Vocabulary {
  let value: unknown
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (error) {
    throw malformed(name, '', `this is no JSON: ${(error as Error).message}.`)
  }
  const parsed = fileSchema.safeParse(value)
  if (!parsed.success) {
    const issue = parsed.error.issues[0]
    const problem = `${issue?.message}; only byte-level BPE is read, as GPT-2 has it and \`owm data tokenizer\` writes it.`
    throw malformed(name, issue?.path.join('.') ?? '', problem)
  }
  const { model, added_tokens: added } = parsed.data
  const tokens: Uint8Array[] = []
  // What was added is text as it stands, and is never found in text: only the vocabulary's own tokens are.
  const special = new Set(added.map(({ content }) => content))
  for (const { id, content } of added) tokens[id] = Buffer.from(content)
  for (const [text, id] of Object.entries(model.vocab)) {
    if (special.has(text) && tokens[id] !== undefined) continue
    const content = bytesOfText(text)
    if (content === undefined)
      throw malformed(name, `model.vocab`, `the token ${JSON.stringify(text)} stands for no bytes.`)
    if (tokens[id] !== undefined) throw malformed(name, `model.vocab`, `two tokens have the number ${id}.`)
    tokens[id] = content
  }
  for (let id = 0; id < tokens.length; id++) {
    if (tokens[id] === undefined) throw malformed(name, 'model.vocab', `no token has the number ${id}.`)
  }
  const idOf = new Map(Object.entries(model.vocab))
  const merges = model.merges.map((pair, rank): readonly [number, number] => {
    const [left, right, more] = typeof pair === 'string' ? pair.split(' ') : pair
    const [a, b] = [idOf.get(left ?? ''), idOf.get(right ?? '')]
    if (a === undefined || b === undefined || more !== undefined) {
      throw malformed(name, `model.merges.${rank}`, `${JSON.stringify(pair)} are not two tokens.`)
    }
    return [a, b]
  })
  return { tokens, merges }
}

/** The same vocabulary gives the same bytes. */
export function encodeTokenizer({ tokens, merges }: Vocabulary): string {
  const names = tokens.map(textOfBytes)
  const shape = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true }
  const file = {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: shape,
    post_processor: null,
    decoder: shape,
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.fromEntries(names.map((name, id) => [name, id])),
      merges: merges.map(([left, right]) => [names[left], names[right]]),
    },
  }
  return `${JSON.stringify(file)}\n`
}
