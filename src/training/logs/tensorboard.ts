/**
 * A training's log as TensorBoard reads it: records of TensorFlow (tensorflow/core/lib/io/record_writer.h), each an Event
 * (tensorflow/core/util/event.proto) with a Summary (tensorflow/core/framework/summary.proto) of numbers by their tags.
 */
import { type FileHandle, mkdir, open, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { errorCode, OwmError } from '../../lib/index.ts'
import { bytesField, floatField, type Rope, ropeBytes, stringField, varintField } from '../../onnx/index.ts'
import { createAppender } from './appender.ts'
import { maskedCrc32c } from './crc32c.ts'
import { type LogInit, type LogRow, logFields, type TrainingLog } from './row.ts'

const prefix = 'events.out.tfevents.'
const fieldOf = {
  event: { step: 2, fileVersion: 3, summary: 5, sessionLog: 7 },
  summary: { value: 1 },
  value: { tag: 1, simpleValue: 2 },
  sessionLog: { status: 1 },
} as const
const sessionStart = 1

/**
 * Writes a new file into `folder` at each start, as TensorBoard's own writers do: it shows all files of a folder as one
 * training, and a start within takes away the steps of earlier files from there on.
 *
 * @param init.now the time in milliseconds since 1970, for the axis of wall time
 * @throws OwmError `log_exists`, `log_not_written`
 */
export async function openTensorBoardLog(
  folder: string,
  { resumeAt, now = Date.now }: LogInit & { readonly now?: () => number } = {},
): Promise<TrainingLog> {
  await mkdir(folder, { recursive: true })
  const earlier = (await readdir(folder)).filter((name) => name.startsWith(prefix)).map(secondsOf)
  if (earlier.length > 0 && resumeAt === undefined) {
    throw new OwmError('log_exists', `There is a log in ${folder} already; give another name, or resume its training.`)
  }
  // TensorBoard reads the files in the order of their names.
  const { file, path } = await createFile(
    folder,
    Math.max(Math.floor(now() / 1000), ...earlier.map((each) => each + 1)),
  )
  try {
    const { append, close } = await createAppender(file, path)
    const record = (event: Rope) => append(recordOf(ropeBytes([wallTime(now() / 1000), event])))
    await record(stringField(fieldOf.event.fileVersion, 'brain.Event:2'))
    if (resumeAt !== undefined) await record(startOf(resumeAt + 1))
    return { append: (row) => record(eventOf(row)), close }
  } catch (error) {
    await file.close()
    throw error
  }
}

async function createFile(folder: string, fromSeconds: number): Promise<{ file: FileHandle; path: string }> {
  for (let seconds = fromSeconds; ; seconds++) {
    const path = join(folder, `${prefix}${String(seconds).padStart(10, '0')}.owm`)
    try {
      return { file: await open(path, 'ax'), path }
    } catch (error) {
      if (errorCode(error) !== 'EEXIST') throw error
    }
  }
}
function secondsOf(name: string): number {
  return Number(/^\d{1,12}/.exec(name.slice(prefix.length))?.[0] ?? 0)
}

/** `double wall_time = 1` */
function wallTime(seconds: number): Uint8Array {
  const bytes = new Uint8Array(9)
  bytes[0] = 0x09
  new DataView(bytes.buffer).setFloat64(1, seconds, true)
  return bytes
}
/** What earlier files tell of `step` and later is void. */
function startOf(step: number): Rope {
  const { event, sessionLog } = fieldOf
  return [varintField(event.step, step), bytesField(event.sessionLog, varintField(sessionLog.status, sessionStart))]
}
function eventOf(row: LogRow): Rope {
  const values = logFields.map(({ field, tag }): Rope => {
    const value = row[field]
    if (value === undefined) return []
    const { tag: tagField, simpleValue } = fieldOf.value
    return bytesField(fieldOf.summary.value, [stringField(tagField, tag), floatField(simpleValue, value)])
  })
  return [varintField(fieldOf.event.step, row.step), bytesField(fieldOf.event.summary, values)]
}

/** Length, its checksum, the data, their checksum; all little-endian. */
function recordOf(data: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(16 + data.length)
  const view = new DataView(bytes.buffer)
  view.setBigUint64(0, BigInt(data.length), true)
  view.setUint32(8, maskedCrc32c(bytes.subarray(0, 8)), true)
  bytes.set(data, 12)
  view.setUint32(12 + data.length, maskedCrc32c(data), true)
  return bytes
}
