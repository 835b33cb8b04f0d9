import { RejectedError } from '../lib/index.ts'
import type { ValueReader } from './aggregation/index.ts'
import type { Codec } from './codecs/codec.ts'
import { squaredNorm } from './codecs/fixed-vector.ts'

/** What an update may have on the wire: a push carries it whole. */
export const maxUpdateBytes = 15 * 1024 * 1024

/** What a run asks of every update: the bytes of its codec, which stand for `length` numbers. */
export interface UpdateShape {
  readonly codec: Codec
  readonly length: number
  /** L2 norm, in units of the weights. */
  readonly clipNorm: number
}

export function updateBytesOf({ codec, length }: Pick<UpdateShape, 'codec' | 'length'>): number {
  return codec.maxBytes(length)
}

/**
 * Checks an update, and gives what reads it in parts: held as it came, a hundred of them fit in memory.
 *
 * @throws RejectedError `oversized`, `wrong_size`, `malformed`, `not_canonical`, `over_bound`
 */
export function decodeUpdate(bytes: Uint8Array, { codec, length, clipNorm }: UpdateShape): ValueReader {
  if (bytes.byteLength > maxUpdateBytes) {
    throw new RejectedError('reject', 'oversized', `An update has at most ${maxUpdateBytes} bytes.`)
  }
  const vector = codec.decode(bytes, length)
  // MODEL-07. A double in index order: every member comes to the same verdict.
  if (!(squaredNorm(vector) <= clipNorm * clipNorm)) {
    throw new RejectedError('reject', 'over_bound', `The update is longer than the run's bound of ${clipNorm}.`)
  }
  return codec.reader(bytes, length)
}
