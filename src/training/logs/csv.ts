/** A training's log as comma-separated values (RFC 4180, lines ending in LF): what is absent is empty. */
import { type FileHandle, mkdir, open } from 'node:fs/promises'
import { dirname } from 'node:path'
import { OwmError } from '../../lib/index.ts'
import { createAppender } from './appender.ts'
import { type LogInit, type LogRow, logFields, type TrainingLog } from './row.ts'

const header = ['step', ...logFields.map(({ column }) => column)].join(',')
const rowPattern = new RegExp(`^(\\d{1,16})(,[-+.\\w]{0,32}){${logFields.length}}$`)
const chunkBytes = 64 * 1024
const newline = 0x0a

/** @throws OwmError `log_exists`, `not_a_log`, `log_not_written` */
export async function openCsvLog(path: string, { resumeAt }: LogInit = {}): Promise<TrainingLog> {
  await mkdir(dirname(path), { recursive: true })
  const file = await open(path, 'a+')
  try {
    const { size } = await file.stat()
    if (size > 0 && resumeAt === undefined) {
      throw new OwmError('log_exists', `There is a log in ${path} already; give another name, or resume its training.`)
    }
    const kept = size === 0 ? 0 : await keptBytes(file, path, resumeAt ?? 0)
    if (kept < size) {
      await file.truncate(kept)
      await file.sync()
    }
    const { append, close } = await createAppender(file, path)
    if (kept === 0) await append(Buffer.from(`${header}\n`))
    return { append: (row) => append(Buffer.from(`${lineOf(row)}\n`)), close }
  } catch (error) {
    await file.close()
    throw error
  }
}

function lineOf(row: LogRow): string {
  return [row.step, ...logFields.map(({ field }) => row[field] ?? '')].join(',')
}

/** The length of what is good: the heading, and the whole rows up to the first one after `step`. */
async function keptBytes(file: FileHandle, path: string, step: number): Promise<number> {
  const foreign = (line: number) => new OwmError('not_a_log', `Line ${line} of ${path} is not of a log of a training.`)
  const chunk = Buffer.alloc(chunkBytes)
  let rest: Buffer = Buffer.alloc(0)
  let kept = 0
  let lines = 0
  for (let at = 0; ; ) {
    const { bytesRead } = await file.read(chunk, 0, chunkBytes, at)
    at += bytesRead
    const text = Buffer.concat([rest, chunk.subarray(0, bytesRead)])
    let from = 0
    for (let end = text.indexOf(newline); end >= 0; end = text.indexOf(newline, from)) {
      const line = text.toString('latin1', from, end)
      lines++
      if (lines === 1 ? line !== header : !rowPattern.test(line)) throw foreign(lines)
      if (lines > 1 && Number(line.slice(0, line.indexOf(','))) > step) return kept
      kept += end + 1 - from
      from = end + 1
    }
    rest = text.subarray(from)
    // What is left is a line that a crash tore off, or the file is none of ours.
    if (lines === 0 && !header.startsWith(rest.toString('latin1'))) throw foreign(1)
    if (rest.length > chunkBytes) throw foreign(lines + 1)
    if (bytesRead === 0) return kept
  }
}
