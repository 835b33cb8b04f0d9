/**
 * Where a run stands, in one file: parameters, the optimizer's state and the number of steps, from which the place in
 * the data follows. A safetensors file, so that other tools read it; replaced whole, so that a crash leaves the last one.
 */
import { readFile, stat } from 'node:fs/promises'
import { blake3Of, errorCode, OwmError, toHex, writeFileAtomic } from '../../lib/index.ts'
import { decodeTensors, encodeTensors } from '../safetensors.ts'
import type { CarriedTensor } from '../stepper.ts'

export interface Checkpoint {
  readonly step: number
  /** Of the last run of steps before it, in nats or squared error. */
  readonly loss: number
  /** Trained so far. */
  readonly seconds: number
  readonly tensors: readonly CarriedTensor[]
}

const format = 'owm-checkpoint-1'
/** What a runtime can hold of one tensor file in one buffer. */
const maxBytes = 2 ** 32

/** @param job what decides every bit of the run: a checkpoint is of use to no other */
export async function saveCheckpoint(
  file: string,
  job: string,
  { step, loss, seconds, tensors }: Checkpoint,
): Promise<number> {
  const numbers = { step: String(step), loss: String(loss), seconds: String(seconds) }
  const metadata = { format, job, ...numbers, blake3: digestOf(tensors) }
  const chunks = encodeTensors({ tensors, metadata })
  await writeFileAtomic(file, chunks)
  return chunks.reduce((sum, { length }) => sum + length, 0)
}

/**
 * @returns undefined where there is none
 * @throws OwmError `checkpoint_damaged`, `checkpoint_of_another_run`
 */
export async function loadCheckpoint(file: string, job: string): Promise<Checkpoint | undefined> {
  let bytes: Uint8Array
  try {
    const { size } = await stat(file)
    if (size > maxBytes) throw damaged(file, `it has ${size} bytes`)
    bytes = await readFile(file)
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined
    throw error
  }
  let read: ReturnType<typeof decodeTensors>
  try {
    read = decodeTensors(bytes)
  } catch (error) {
    throw damaged(file, error instanceof Error ? error.message : String(error))
  }
  const { metadata, tensors } = read
  if (metadata['format'] !== format) throw damaged(file, `its format is ${metadata['format'] ?? 'not given'}`)
  if (metadata['blake3'] !== digestOf(tensors)) throw damaged(file, 'its bytes have changed')
  if (metadata['job'] !== job) {
    const message = `${file} is of a run with another model, data, optimizer, batch or seed; give these again as they were, or another folder.`
    throw new OwmError('checkpoint_of_another_run', message, { file })
  }
  const [step, loss, seconds] = ['step', 'loss', 'seconds'].map((name) => Number(metadata[name]))
  if (!Number.isSafeInteger(step) || step! < 0 || !(seconds! >= 0)) throw damaged(file, 'it does not tell its step')
  return { step: step!, loss: loss!, seconds: seconds!, tensors }
}

function digestOf(tensors: readonly CarriedTensor[]): string {
  const digests = tensors.map(({ data }) => blake3Of(new Uint8Array(data.buffer, data.byteOffset, data.byteLength)))
  return toHex(blake3Of(Buffer.concat(digests)))
}

function damaged(file: string, what: string): OwmError {
  return new OwmError('checkpoint_damaged', `${file} cannot be gone on from (${what}); remove it to begin anew.`, {
    file,
  })
}
