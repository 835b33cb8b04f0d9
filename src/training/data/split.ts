/**
 * What is learned from, and what is held out to measure by: decided by content alone. The same example is on the same
 * side on every machine and in every run, whatever lies beside it, and of two that are equal none is learned from
 * while the other measures.
 */
import { blake3Of } from '../../lib/index.ts'
import type { DataPart } from './dataset.ts'
import { noData } from './malformed.ts'

/** Out of 256; 26 is a tenth. */
export const defaultHeldOutShare = 26

/** Whether the first byte of its BLAKE3 is below `share`, as `readTextFiles` decides of files. */
export function isHeldOut(content: Uint8Array, share: number): boolean {
  return share > 0 && blake3Of(content)[0]! < share
}

/** The numbers of the examples of a part, in order. @throws OwmError `no_training_data` when there are none */
export function numbersOf(
  part: DataPart,
  count: number,
  heldOut: (index: number) => boolean,
  about: string,
): Uint32Array {
  const numbers = new Uint32Array(count)
  let found = 0
  for (let index = 0; index < count; index++) {
    if (heldOut(index) === (part === 'heldOut')) numbers[found++] = index
  }
  if (found === 0) throw emptyPart(part, about)
  return numbers.slice(0, found)
}

export function emptyPart(part: DataPart, about: string): ReturnType<typeof noData> {
  return noData(
    part === 'training'
      ? `Nothing of ${about} is left to learn from; make the held-out share smaller.`
      : `Nothing of ${about} is held out to measure by; make the held-out share larger.`,
  )
}
