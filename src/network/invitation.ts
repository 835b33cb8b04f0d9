import { multiaddr } from '@multiformats/multiaddr'
import { base32, base32upper } from 'multiformats/bases/base32'
import { renderUnicodeCompact } from 'uqr'
import { z } from 'zod'
import { blake3Of, decode, encode, equalBytes, errorMessage, OwmError } from '../lib/index.ts'
import { type Mesh, maxMeshAddresses, meshOf, meshParametersSchema } from './mesh.ts'

/** protocols/mesh, "Invitations": version || length (2 bytes, big-endian) || dag-cbor || checksum (4 bytes). */
const version = 1
const headerBytes = 3
const checksumBytes = 4
/** A QR code of 177 modules holds 4,296 characters; a body of 2 KiB is about 3,300. */
const maxBodyBytes = 2048
const prefix = 'owm:'

const bodySchema = z.strictObject({
  mesh: meshParametersSchema,
  key: z.instanceof(Uint8Array).nullable(),
  addresses: z.array(z.instanceof(Uint8Array)).max(maxMeshAddresses),
})

/** All that a newcomer needs, in one string. For a private mesh it holds the swarm key: who has it, is in. */
export function encodeInvitation(mesh: Mesh): string {
  const body = encode({
    mesh: mesh.parameters,
    key: mesh.swarmKey,
    addresses: mesh.addresses.map((address) => multiaddr(address).bytes),
  })
  if (body.byteLength > maxBodyBytes) {
    throw new OwmError('oversized', 'Too many or too long addresses for one invitation.', { bytes: body.byteLength })
  }
  const bytes = new Uint8Array(headerBytes + body.byteLength + checksumBytes)
  bytes.set([version, body.byteLength >> 8, body.byteLength & 0xff])
  bytes.set(body, headerBytes)
  bytes.set(checksum(bytes.subarray(0, headerBytes + body.byteLength)), headerBytes + body.byteLength)
  return prefix + base32.encode(bytes)
}

/**
 * Case does not matter, nor does white space around it or within it, as of a line broken by a mail program.
 *
 * @throws OwmError `invitation_foreign` (no invitation at all), `invitation_truncated`, `invitation_damaged`,
 *   `invitation_version` (made by a newer owm)
 */
export function decodeInvitation(text: string): Mesh {
  const compact = text.slice(0, 2 * maxBodyBytes + prefix.length).replace(/\s+/g, '')
  if (compact.slice(0, prefix.length).toLowerCase() !== prefix) {
    throw new OwmError('invitation_foreign', `An invitation begins with "${prefix}"; this text does not.`)
  }
  const bytes = fromBase32(compact.slice(prefix.length))
  if (bytes[0] !== undefined && bytes[0] !== version) {
    throw new OwmError(
      'invitation_version',
      `This invitation has version ${bytes[0]}; this owm reads version ${version}. A newer owm may read it, or it is damaged.`,
      { version: bytes[0] },
    )
  }
  const bodyBytes = ((bytes[1] ?? 0) << 8) | (bytes[2] ?? 0)
  const expectedBytes = headerBytes + bodyBytes + checksumBytes
  if (bytes.byteLength < expectedBytes || bytes.byteLength < headerBytes) {
    throw new OwmError(
      'invitation_truncated',
      `The invitation is cut off: ${bytes.byteLength} of ${expectedBytes} bytes are here. Copy it whole.`,
    )
  }
  const end = headerBytes + bodyBytes
  if (bytes.byteLength > expectedBytes || !equalBytes(checksum(bytes.subarray(0, end)), bytes.subarray(end))) {
    throw new OwmError('invitation_damaged', 'The invitation is damaged: its checksum does not fit. Copy it again.')
  }
  try {
    const body = decode(bytes.subarray(headerBytes, end), bodySchema, maxBodyBytes)
    return meshOf(
      body.mesh,
      body.key,
      body.addresses.map((address) => multiaddr(address).toString()),
    )
  } catch (cause) {
    throw new OwmError('invitation_damaged', `The invitation's content is wrong: ${errorMessage(cause)}`, {}, cause)
  }
}

/** Terminal text. In upper case, as QR codes pack letters of one case and digits into 5.5 bits each. */
export function invitationQr(invitation: string): string {
  const [, body = ''] = invitation.split(':')
  return renderUnicodeCompact(`${prefix.toUpperCase()}${body.toUpperCase()}`, { ecc: 'L', border: 2 })
}

function fromBase32(text: string): Uint8Array {
  try {
    if (text.startsWith(base32.prefix)) return base32.decode(base32.prefix + text.slice(1).toLowerCase())
    if (text.startsWith(base32upper.prefix)) return base32upper.decode(base32upper.prefix + text.slice(1).toUpperCase())
  } catch {
    // A cut can fall within a byte: what is whole before it tells cut off from garbled.
    const whole = text.slice(1).toLowerCase()
    if (/^[a-z2-7]*$/.test(whole)) return wholeBytes(whole)
  }
  throw new OwmError('invitation_damaged', 'The invitation holds characters that none has. Copy it again.')
}

function wholeBytes(text: string): Uint8Array {
  // RFC 4648: 8 characters are 5 bytes; of a shorter last group only these lengths are whole bytes.
  const lengths = [0, 0, 2, 2, 4, 5, 5, 7]
  const kept = text.length - (text.length % 8) + (lengths[text.length % 8] ?? 0)
  for (let length = kept; length >= 0; length--) {
    try {
      return base32.baseDecode(text.slice(0, length))
    } catch {
      // The padding bits of the last character are not zero: drop it as well.
    }
  }
  return new Uint8Array()
}

function checksum(bytes: Uint8Array): Uint8Array {
  return blake3Of(bytes).subarray(0, checksumBytes)
}
