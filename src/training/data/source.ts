import { openCsv } from './csv.ts'
import type { DataPart, Dataset } from './dataset.ts'
import { openFolder } from './folder.ts'
import { openIdx } from './idx.ts'
import { openJsonl } from './jsonl.ts'
import type { Watch } from './lines.ts'
import { type DataSource, parseSource } from './source-schema.ts'
import { openText } from './text.ts'

export type { DataSource }

/** What is known of a source beyond its examples. */
export interface OpenDataset extends Dataset {
  /** What the numbers of `targets` stand for. */
  readonly classes?: readonly string[]
  /** Of text: how many bytes and tokens it has, by which a loss per token becomes bits per byte. */
  readonly text?: {
    readonly bytes: number
    readonly tokens: number
    /** The text itself, where tokens are bytes. */
    readonly content?: Uint8Array
  }
  /** What was left out, and why. */
  readonly skipped?: Readonly<Record<string, number>>
}

/**
 * Opens one part of a source. Blocking, and it may read all of it: for worker threads. `watch` is told how far it is.
 *
 * @throws OwmError `bad_data_source`, `malformed_data` naming file and place, `unreadable_data`, `no_training_data`
 */
export function openDataset(source: DataSource, part: DataPart, watch?: Watch): OpenDataset {
  const parsed = parseSource(source)
  switch (parsed.kind) {
    case 'idx':
      return openIdx(parsed, part)
    case 'text':
      return openText(parsed, part)
    case 'csv':
      return openCsv(parsed, part, watch)
    case 'jsonl':
      return openJsonl(parsed, part, watch)
    case 'folder':
      return openFolder(parsed, part, watch)
  }
}
