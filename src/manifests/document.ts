import { z } from 'zod'
import type { Identity } from '../identity/index.ts'
import { encode, OwmError } from '../lib/index.ts'
import type { ManifestBody } from './index.ts'

/** The domain of a manifest's signature. */
export const manifestDomain = 'manifest'
/** Rises when the meaning of a field changes; peers ignore manifests of another version. */
export const manifestContract = 1

/**
 * A real manifest has 400 to 900 bytes. The limit bounds what strangers can make a peer keep: a full view of 16,384
 * manifests holds at most 64 MiB of documents.
 */
export const maxDocumentBytes = 4096
/**
 * Five intervals of the usual 60 s. A longer life would let a dead peer be taken for a live one, and would let invented
 * identities sit in a full view for longer.
 */
export const maxTtlMs = 300_000
/**
 * Machines that keep time by NTP agree to well below a second; 30 s forgives one that was set by hand. A document
 * written further ahead could be kept back and used later.
 */
export const maxClockSkewMs = 30_000

const maxAddresses = 16
const maxCapabilities = 32
const maxModels = 16

/** Visible ASCII alone: names end up on terminals and pages, where control characters and look-alikes do harm. */
const text = (maxLength: number) =>
  z
    .string()
    .max(maxLength)
    .regex(/^[\x21-\x7e]+$/)
const amount = (max: number) => z.int().min(0).max(max)

const bodySchema = z.strictObject({
  tier: z.enum(['t1', 't2', 't3']),
  cpuOnly: z.boolean(),
  cores: z.int().min(1).max(65_536),
  ramBytes: amount(2 ** 50),
  vramBytes: amount(2 ** 50),
  upBitsPerSecond: amount(10 ** 12),
  downBitsPerSecond: amount(10 ** 12),
  capabilities: z
    .array(z.strictObject({ name: text(64), version: text(32), priceMsat: amount(Number.MAX_SAFE_INTEGER) }))
    .max(maxCapabilities),
  loadPermille: amount(1000),
  models: z
    .array(
      z.strictObject({
        name: text(64),
        checkpoint: z.string().regex(/^b[a-z2-7]{10,127}$/),
        round: amount(Number.MAX_SAFE_INTEGER),
      }),
    )
    .max(maxModels),
  addresses: z.array(text(256).regex(/^\//)).max(maxAddresses),
  gateway: text(256)
    .regex(/^https?:\/\//)
    .nullable(),
  agent: text(64),
}) satisfies z.ZodType<ManifestBody>

/** What is read first, so that a manifest of another contract is recognised whatever else it holds. */
export const contractSchema = z.looseObject({ contract: z.int() })

/** The envelope. The body is looked at only when the envelope is good. */
export const headerSchema = z.strictObject({
  contract: z.literal(manifestContract),
  mesh: text(128),
  sequence: z.int().min(1),
  issuedMs: z.int().min(0),
  expiresMs: z.int().min(0),
  body: z.unknown(),
})

/** Null is the body of a farewell. */
export const nullableBodySchema = bodySchema.nullable()

export interface ManifestPayload {
  readonly mesh: string
  readonly sequence: number
  readonly issuedMs: number
  /** Equal to `issuedMs` in a farewell. */
  readonly expiresMs: number
  readonly body: ManifestBody | null
}

/** The signed document, ready to be published. @throws OwmError `invalid_manifest` when the body breaks its own schema */
export function signManifest(identity: Identity, payload: ManifestPayload): Uint8Array {
  const parsed = nullableBodySchema.safeParse(payload.body)
  if (!parsed.success) {
    const issue = parsed.error.issues[0]
    throw new OwmError(
      'invalid_manifest',
      `This peer's manifest is wrong: ${issue?.path.join('.')}: ${issue?.message}.`,
    )
  }
  const document = identity.sign(
    manifestDomain,
    encode({
      contract: manifestContract,
      mesh: payload.mesh,
      sequence: payload.sequence,
      issuedMs: payload.issuedMs,
      expiresMs: payload.expiresMs,
      body: parsed.data,
    }),
  )
  if (document.byteLength > maxDocumentBytes) {
    throw new OwmError(
      'invalid_manifest',
      `This peer's manifest has ${document.byteLength} of ${maxDocumentBytes} bytes.`,
    )
  }
  return document
}

/** Room for the envelope, key and signature around a body. */
const maxBodyBytes = maxDocumentBytes - 512

/**
 * Cuts the lists to what a manifest may hold: the first of each stay, so a caller puts what matters first. Many network
 * interfaces or many models must not keep a peer out of the mesh.
 */
export function fitBody(body: ManifestBody): ManifestBody {
  const addresses = body.addresses.slice(0, maxAddresses)
  const models = body.models.slice(0, maxModels)
  const fitted = { ...body, capabilities: body.capabilities.slice(0, maxCapabilities), addresses, models }
  while (encode(fitted).byteLength > maxBodyBytes && addresses.length + models.length > 2) {
    if (addresses.length >= models.length) addresses.pop()
    else models.pop()
  }
  return fitted
}
