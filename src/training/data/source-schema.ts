/** Where examples come from, as data: what `openDataset` opens, the command line detects and a job's file keeps. */
import { z } from 'zod'
import { OwmError } from '../../lib/index.ts'
import { defaultHeldOutShare } from './split.ts'

/** A window longer than this is no model of ours. */
const maxContext = 1 << 20
/** Text and its tokens are held in memory. */
const maxTextBytes = 1024 ** 3

const path = z.string().min(1).max(4096)
/** Out of 256: an example is held out when the first byte of its BLAKE3 is below this. */
const heldOutShare = z.int().min(0).max(255).default(defaultHeldOutShare)
const context = z.int().min(1).max(maxContext).default(64)
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
    roots: z.array(path).min(1).max(1024),
    extensions: z.array(z.string().max(64)).max(256).default([]),
    maxBytes: z.int().min(1).max(maxTextBytes).default(maxTextBytes),
    heldOutShare,
    /** In place of the share: the last part of the text, 0 to 1, as published figures on Tiny Shakespeare hold out 0.1. */
    heldOutTail: z.number().gt(0).lt(1).optional(),
    context,
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
