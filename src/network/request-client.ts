import type { PeerId } from '@libp2p/interface'
import type { Libp2p } from 'libp2p'
import { z } from 'zod'
import { decode, encode, errorCode, errorMessage, OwmError, RejectedError, withTimeout } from '../lib/index.ts'
import { receiveFrame, sendFrame } from './frames.ts'
import type { ProtocolSpec } from './index.ts'
import { dialPatiently, reachError } from './reach.ts'
import { errorCodePattern, maxErrorMessageLength } from './request-errors.ts'

/** What stands around a response: `{ ok: ... }`, or `{ error: { code, message } }` of at most so many bytes. */
export const envelopeBytes = 2048
/** A stream whose answer is in should be closed at once by both. */
const closeTimeoutMs = 5_000

const envelopeSchema = z.union([
  z.strictObject({
    error: z.strictObject({ code: z.string().regex(errorCodePattern), message: z.string().max(maxErrorMessageLength) }),
  }),
  z.custom<{ readonly ok: unknown }>(
    (value) => typeof value === 'object' && value !== null && 'ok' in value && Object.keys(value).length === 1,
    'neither { ok } nor { error }',
  ),
])

/** The bytes of a request. @throws OwmError `oversized`, `bad_request` */
export function encodeRequest<Request>(spec: ProtocolSpec<Request, unknown>, request: Request): Uint8Array {
  let body: Uint8Array
  try {
    body = encode(request)
  } catch (cause) {
    throw new OwmError('bad_request', `A ${spec.name} request cannot be encoded: ${errorMessage(cause)}`, {}, cause)
  }
  if (body.byteLength > spec.maxRequestBytes) {
    throw new OwmError('oversized', `A ${spec.name} request has ${body.byteLength} bytes; ${spec.maxRequestBytes} fit.`)
  }
  return body
}

/** The response within an envelope. @throws OwmError the remote's code, or `malformed`, `oversized`, `schema_mismatch` */
export function openEnvelope<Response>(
  spec: Pick<ProtocolSpec<unknown, Response>, 'name' | 'response' | 'maxResponseBytes'>,
  bytes: Uint8Array,
  peer: string,
): Response {
  const envelope = decode(bytes, envelopeSchema, spec.maxResponseBytes + envelopeBytes)
  if ('error' in envelope) {
    const { code, message } = envelope.error
    throw new OwmError(code, message, { peer, remote: true })
  }
  const parsed = spec.response.safeParse(envelope.ok)
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]
  throw new RejectedError(
    'reject',
    'schema_mismatch',
    `The answer to ${spec.name} does not fit: ${issue?.path.join('.') || 'response'}: ${issue?.message}`,
    { peer },
  )
}

/** One request over one stream. */
export async function requestOver<Request, Response>(
  libp2p: Libp2p,
  protocol: string,
  peer: PeerId,
  spec: ProtocolSpec<Request, Response>,
  request: Request,
  signals: { readonly caller: AbortSignal | undefined; readonly stop: AbortSignal },
): Promise<Response> {
  const name = peer.toString()
  const body = encodeRequest(spec, request)
  const signal = withTimeout(spec.timeoutMs, signals.caller, signals.stop)
  signal.throwIfAborted()
  let bytes: Uint8Array
  try {
    await dialPatiently(libp2p, peer, signal)
    const stream = await libp2p.dialProtocol(peer, protocol, { signal, runOnLimitedConnection: true })
    const onAbort = (): void => stream.abort(asError(signal.reason))
    signal.addEventListener('abort', onAbort, { once: true })
    try {
      signal.throwIfAborted()
      const answer = receiveFrame(stream, {
        maxBytes: spec.maxResponseBytes + envelopeBytes,
        onTrailing: () => stream.abort(new RejectedError('reject', 'malformed', 'Bytes behind the answer.')),
      })
      // A send that fails ends the stream, and with it the wait for the answer; a refusal can come while it goes on.
      sendFrame(stream, body, signal).catch(() => undefined)
      bytes = await answer
      stream
        .close({ signal: AbortSignal.timeout(closeTimeoutMs) })
        .catch((error: unknown) => stream.abort(asError(error)))
    } catch (error) {
      stream.abort(asError(error))
      throw signal.aborted ? signal.reason : error
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  } catch (error) {
    const stopped = signals.stop.aborted ? signals.stop : undefined
    throw reachError(error, name, signals.caller?.aborted ? signals.caller : stopped)
  }
  return openEnvelope(spec, bytes, name)
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new OwmError(errorCode(reason), errorMessage(reason))
}
