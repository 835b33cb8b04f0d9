import type { ContentStore } from '../content/index.ts'
import { OwmError } from '../lib/index.ts'
import { maxWeightsBytes } from './checkpoint.ts'
import { createCodec } from './codecs/codec.ts'
import type { RunSpecification } from './index.ts'
import { maxUpdateBytes, updateBytesOf } from './update-block.ts'

/** Whether the owner holds all that a new run names, and its updates can be sent. @throws OwmError `bad_run` naming the field */
export async function checkRunContent(
  specification: RunSpecification,
  content: Pick<ContentStore, 'has' | 'get'>,
): Promise<void> {
  for (const field of ['graph', 'initial', 'heldOut'] as const) {
    if (!(await content.has(specification[field]))) {
      throw badRun(field, `${specification[field]} is not in this peer's content store; put it there first`)
    }
  }
  const initial = await content.get(specification.initial, { maxBytes: maxWeightsBytes })
  if (initial.byteLength === 0 || initial.byteLength % 4 !== 0) throw badRun('initial', 'it is no float32 vector')
  const codec = createCodec(specification.compression.updates)
  if (updateBytesOf({ codec, length: initial.byteLength / 4 }) > maxUpdateBytes) {
    throw badRun('initial', `an update of so many weights would be over ${maxUpdateBytes} bytes`)
  }
}

function badRun(field: string, why: string): OwmError {
  return new OwmError('bad_run', `The run's ${field}: ${why}.`, { field })
}
