/** Where examples come from, as data: what `openDataset` opens, the command line detects and a job's file keeps. */
import { z } from 'zod'
import { OwmError } from '../../lib/index.ts'
import { defaultHeldOutShare } from './split.ts'

/** A window longer than this is no model of ours. */
const maxContext = 1 << 20
/** Text and its tokens are held in memory. */
const maxTextBytes = 1024 ** 3

const path = z.string().min(1).max(4096)
const name = z.string().min(1).max(1024)
/** Out of 256: an example is held out when the first byte of its BLAKE3 is below this. */
const heldOutShare = z.int().min(0).max(255).default(defaultHeldOutShare)
const context = z.int().min(1).max(maxContext).default(64)
/** A `tokenizer.json`; without one, tokens are bytes. */
const tokenizer = path.optional()
/** Whether inputs are rows of numbers, or keep their axes: 784 or 1x28x28. */
const flat = z.boolean().default(false)

export const dataSourceSchema = z.discriminatedUnion('kind', [
  /** Images and labels as MNIST has them: a pair of files, and perhaps another that is held out. */
  z.strictObject({
    kind: z.literal('idx'),
    images: path,
    labels: path,
    heldOut: z.strictObject({ images: path, labels: path }).optional(),
    heldOutShare,
    flat,
  }),
  /** Text below folders, by extension, or in files that are named. */
  z.strictObject({
    kind: z.literal('text'),
    roots: z.array(path).min(1).max(1024).readonly(),
    extensions: z.array(z.string().max(64)).max(256).readonly().default([]),
    maxBytes: z.int().min(1).max(maxTextBytes).default(maxTextBytes),
    heldOutShare,
    /** In place of the share: the last part of the text, 0 to 1, as published figures on Tiny Shakespeare hold out 0.1. */
    heldOutTail: z.number().gt(0).lt(1).optional(),
    context,
    tokenizer,
  }),
  /** A table: numbers and categories, one of which is to be told from the others. */
  z.strictObject({
    kind: z.literal('csv'),
    file: path,
    /** A column's name, or its number from 0 where there is no header. */
    target: name,
    /** Those to learn from; all but the target when absent. */
    columns: z.array(name).min(1).max(4096).readonly().optional(),
    delimiter: z.enum([',', ';', '\t', '|']).default(','),
    header: z.boolean().default(true),
    /** As many inputs as a column has categories, or one, their number in order. */
    categories: z.enum(['oneHot', 'index']).default('oneHot'),
    /** When absent: classes where the target has words or few whole numbers. */
    task: z.enum(['classification', 'regression']).optional(),
    heldOutShare,
  }),
  /** A JSON object a line: documents for a language model, or numbers with a label. */
  z.strictObject({
    kind: z.literal('jsonl'),
    file: path,
    content: z.discriminatedUnion('kind', [
      z.strictObject({
        kind: z.literal('text'),
        field: name,
        /** What stands between documents. */
        separator: z.string().max(1024).default('\n\n'),
        context,
        tokenizer,
      }),
      z.strictObject({
        kind: z.literal('examples'),
        /** An array of numbers, or arrays of them, alike on every line. */
        inputs: name,
        target: name,
        task: z.enum(['classification', 'regression']).optional(),
        flat,
      }),
    ]),
    heldOutShare,
  }),
  /** A folder for each class, in which each file is an example. */
  z.strictObject({
    kind: z.literal('folder'),
    root: path,
    /** Images (PNG, PGM, PPM), all of one size; or the first bytes of any files. */
    content: z.discriminatedUnion('kind', [
      z.strictObject({ kind: z.literal('images'), flat }),
      z.strictObject({ kind: z.literal('bytes'), length: z.int().min(1).max(maxContext).default(256) }),
    ]),
    heldOutShare,
  }),
])

/** As it is written down; what has a default may be left out. */
export type DataSource = z.input<typeof dataSourceSchema>
export type SourceOf<Kind extends DataSource['kind']> = Extract<z.output<typeof dataSourceSchema>, { kind: Kind }>

/** @throws OwmError `bad_data_source` naming the field */
export function parseSource(source: DataSource): z.output<typeof dataSourceSchema> {
  const parsed = dataSourceSchema.safeParse(source)
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]
  throw new OwmError('bad_data_source', `A source of data: ${issue?.path.join('.') || 'kind'}: ${issue?.message}.`)
}
