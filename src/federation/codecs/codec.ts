/**
 * How updates travel in few bytes. A codec is lossy for its sender, who keeps what was lost and adds it to the next
 * update (error feedback: Seide et al. 2014; Karimireddy et al. 2019); for its receiver it is exact: bytes stand for
 * whole numbers, the same on every machine, of which sums are exact too. Encoding is as exact, so that a committee may
 * agree on the bytes of a result.
 *
 * @example
 * const codec = createCodec({ kind: 'topk', share: 1 / 64, values: { kind: 'quantise', bits: 4 } })
 * const { bytes, residual } = codec.encode(delta, null)
 * addWeighted(sums, codec.decode(bytes, delta.length), samples)
 */
import { z } from 'zod'
import { OwmError, RejectedError } from '../../lib/index.ts'
import { createRandom } from '../../onnx/index.ts'
import type { ValueReader } from '../aggregation/index.ts'
import { type FixedVector, maxUnits, squaredNorm, unitExponent, unitsPerOne } from './fixed-vector.ts'
import { quantising } from './quantise.ts'
import type { Scheme } from './scheme.ts'
import { topK } from './top-k.ts'

const quantiseSchema = z.strictObject({
  kind: z.literal('quantise'),
  /** 1 is the sign. */
  bits: z.union([z.literal(1), z.literal(2), z.literal(4), z.literal(8), z.literal(16)]),
})
export const codecPlanSchema = z.discriminatedUnion('kind', [
  quantiseSchema,
  z.strictObject({
    kind: z.literal('topk'),
    /** Of the numbers, that are kept. */
    share: z.number().min(1e-6).max(1),
    values: quantiseSchema,
  }),
])
export type CodecPlan = z.infer<typeof codecPlanSchema>

export interface EncodeOptions {
  /** The longest that the receiver accepts (MODEL-07), as L2 norm. What is clipped for it is not owed later. */
  readonly maxNorm?: number
  /** For rounding at random, right in the mean (Alistarh et al. 2017). Without it, to the nearest. */
  readonly seed?: number
}

export interface Encoded {
  readonly bytes: Uint8Array
  /** What the receiver reads. */
  readonly sent: FixedVector
  /** What was meant and not sent: give it to the next call. */
  readonly residual: Float32Array
}

export interface Codec {
  readonly name: string
  /** The most bytes of a vector; more need not be read. */
  maxBytes(length: number): number
  /** Encodes `delta + residual`. What is not finite counts as 0; values beyond 8 are cut, and not owed. */
  encode(delta: Float32Array, residual: Float32Array | null, options?: EncodeOptions): Encoded
  /**
   * One vector has one form in bytes, and only that is read.
   *
   * @throws RejectedError `oversized`, `wrong_size`, `malformed`, `not_canonical`
   */
  decode(bytes: Uint8Array, length: number): FixedVector
  /** Of bytes that `decode` has read once: their numbers in units, a part at a time. */
  reader(bytes: Uint8Array, length: number): ValueReader
}

/** @throws OwmError `bad_codec` naming the field */
export function createCodec(plan: CodecPlan): Codec {
  const parsed = codecPlanSchema.safeParse(plan)
  if (!parsed.success) {
    const issue = parsed.error.issues[0]
    throw new OwmError('bad_codec', `The codec's ${issue?.path.join('.') || 'kind'}: ${issue?.message}.`)
  }
  const scheme = schemeOf(parsed.data)
  const { name, maxBytes } = scheme
  return {
    name,
    maxBytes,
    encode: (delta, residual, options = {}) => encode(scheme, delta, residual, options),
    decode: (bytes, length) => {
      if (bytes.length > maxBytes(length)) {
        throw new RejectedError('reject', 'oversized', `${bytes.length} bytes are too many for ${length} numbers.`)
      }
      return { units: scheme.unpack(bytes, length), exponent: unitExponent }
    },
    reader: scheme.reader,
  }
}

function schemeOf(plan: CodecPlan): Scheme {
  switch (plan.kind) {
    case 'quantise':
      return quantising(plan.bits, false)
    case 'topk':
      return topK(plan.share, quantising(plan.values.bits, true))
  }
}

/** Shortening goes on a little below the bound, where rounding has made a vector longer. */
const shortening = 0.9999

function encode(
  scheme: Scheme,
  delta: Float32Array,
  residual: Float32Array | null,
  { maxNorm = Number.POSITIVE_INFINITY, seed }: EncodeOptions,
): Encoded {
  const targets = new Float64Array(delta.length)
  let squares = 0
  for (let i = 0; i < delta.length; i++) {
    const value = (residual === null ? delta[i]! : delta[i]! + residual[i]!) * unitsPerOne
    const finite = value - value === 0 ? value : 0
    const units = finite > maxUnits ? maxUnits : finite < -maxUnits ? -maxUnits : finite
    targets[i] = units
    squares += units * units
  }
  const maxSquare = maxNorm * maxNorm
  const norm = Math.sqrt(squares) / unitsPerOne
  if (norm > maxNorm) shorten(targets, maxNorm / norm)
  for (;;) {
    const units = scheme.approximate(targets, seed === undefined ? undefined : createRandom(seed))
    const sent: FixedVector = { units, exponent: unitExponent }
    const square = squaredNorm(sent)
    if (!(square > maxSquare)) {
      const owed = new Float32Array(units.length)
      for (let i = 0; i < owed.length; i++) owed[i] = (targets[i]! - units[i]!) / unitsPerOne
      // No view into a pool of Node's: these bytes go into stores and over the wire.
      return { bytes: new Uint8Array(scheme.pack(units)), sent, residual: owed }
    }
    shorten(targets, Math.min(0.999, (maxNorm / Math.sqrt(square)) * shortening))
  }
}

function shorten(targets: Float64Array, factor: number): void {
  for (let i = 0; i < targets.length; i++) targets[i] = targets[i]! * factor
}
