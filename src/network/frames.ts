import type { Stream, StreamMessageEvent } from '@libp2p/interface'
import { OwmError, RejectedError } from '../lib/index.ts'

/** Unsigned varint (multiformats), at most 4 bytes: no frame is longer than 256 MiB. */
const maxHeaderBytes = 4
/** Larger pieces are 10-15 % faster than 64 KiB ones; still larger ones gain nothing. */
const pieceBytes = 256 * 1024
/** What may wait in the stream's own buffer before the next piece is handed over. */
const maxUnsentBytes = 256 * 1024

/**
 * Resolves with the one frame that the other side sends on this stream. Memory is taken as bytes arrive, never for a
 * length that was merely announced. Bytes behind the frame are reported once.
 *
 * @throws RejectedError `oversized`, `malformed`; OwmError `unreachable` when the stream ends before the frame does,
 * `capacity_exceeded` when `reserve` refuses
 */
export function receiveFrame(
  stream: Stream,
  options: {
    readonly maxBytes: number
    readonly onTrailing: () => void
    /** Asked before bytes are kept; false when there is no room for them. */
    readonly reserve?: (bytes: number) => boolean
  },
): Promise<Uint8Array> {
  const { maxBytes, onTrailing, reserve = () => true } = options
  return new Promise((resolve, reject) => {
    const header: FrameLength = { length: 0, bytes: 0, complete: false }
    let pieces: Uint8Array[] = []
    let receivedBytes = 0
    let settled = false

    const settle = (end: () => void): void => {
      if (settled) return
      settled = true
      stream.removeEventListener('end', onEnd)
      stream.removeEventListener('close', onEnd)
      end()
      pieces = []
    }
    const fail = (error: Error): void => settle(() => reject(error))
    const onEnd = (): void => fail(new OwmError('unreachable', 'The peer closed the stream before it had answered.'))

    const take = (piece: Uint8Array): void => {
      let offset = 0
      while (!header.complete && offset < piece.byteLength) {
        const refusal = takeLengthByte(header, piece[offset++] ?? 0, maxBytes)
        if (refusal !== undefined) {
          fail(refusal)
          return
        }
      }
      const wanted = header.complete ? header.length - receivedBytes : 0
      if (wanted > 0 && offset < piece.byteLength) {
        const part = piece.subarray(offset, offset + wanted)
        if (!reserve(part.byteLength)) {
          fail(new OwmError('capacity_exceeded', 'Too much is being sent at once; try again soon.'))
          return
        }
        pieces.push(part)
        receivedBytes += part.byteLength
        offset += part.byteLength
      }
      if (header.complete && receivedBytes === header.length) settle(() => resolve(join(pieces, receivedBytes)))
      if (offset < piece.byteLength) onMore()
    }
    let reported = false
    const onMore = (): void => {
      if (!reported) onTrailing()
      reported = true
    }
    const onMessage = (event: StreamMessageEvent): void => {
      for (const piece of event.data instanceof Uint8Array ? [event.data] : event.data) {
        if (!settled) take(piece)
        else onMore()
      }
      if (stream.readableEnded && stream.readBufferLength === 0) onEnd()
    }
    // The listener stays for the life of the stream: without one, what comes late would fill the read buffer.
    stream.addEventListener('message', onMessage)
    stream.addEventListener('end', onEnd)
    stream.addEventListener('close', onEnd)
    // What came during the negotiation waits in the buffer, even when the other side has closed since.
    const over = stream.readableEnded || stream.status !== 'open'
    if (over && stream.readBufferLength === 0) onEnd()
  })
}

interface FrameLength {
  length: number
  bytes: number
  complete: boolean
}

function takeLengthByte(header: FrameLength, byte: number, maxBytes: number): RejectedError | undefined {
  header.length += (byte & 0x7f) * 2 ** (7 * header.bytes)
  header.bytes++
  header.complete = byte < 0x80
  if (header.complete && byte === 0 && header.bytes > 1) {
    return new RejectedError('reject', 'malformed', 'A frame length is not in its shortest form.')
  }
  if (header.length > maxBytes) {
    return new RejectedError('reject', 'oversized', `A frame is over the limit of ${maxBytes} bytes.`)
  }
  if (!header.complete && header.bytes === maxHeaderBytes) {
    return new RejectedError('reject', 'malformed', `A frame length has more than ${maxHeaderBytes} bytes.`)
  }
  return undefined
}

/** Sends one frame, no faster than the other side takes it. */
export async function sendFrame(stream: Stream, body: Uint8Array, signal: AbortSignal): Promise<void> {
  const header = frameHeader(body.byteLength)
  const first = body.subarray(0, pieceBytes)
  const piece = new Uint8Array(header.byteLength + first.byteLength)
  piece.set(header)
  piece.set(first, header.byteLength)
  stream.send(piece)
  for (let offset = first.byteLength; offset < body.byteLength; offset += pieceBytes) {
    while (stream.writeBufferLength > maxUnsentBytes) await drained(stream, signal)
    signal.throwIfAborted()
    stream.send(body.subarray(offset, offset + pieceBytes))
  }
}

/** The frame of a body: its length as an unsigned varint. */
export function frameHeader(length: number): Uint8Array {
  const bytes: number[] = []
  for (let rest = length; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return new Uint8Array([...bytes, rest])
    bytes.push((rest % 128) + 128)
  }
}

/** The next `drain`. (libp2p's own `onDrain()` waits once in a stream's life and never again.) */
function drained(stream: Stream, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const finish = (end: () => void) => (): void => {
      stream.removeEventListener('drain', onDrain)
      stream.removeEventListener('close', onClose)
      signal.removeEventListener('abort', onAbort)
      end()
    }
    const onDrain = finish(resolve)
    const onClose = finish(() =>
      reject(new OwmError('unreachable', 'The peer closed the stream while it was sent to.')),
    )
    const onAbort = finish(() => reject(signal.reason))
    stream.addEventListener('drain', onDrain)
    stream.addEventListener('close', onClose)
    signal.addEventListener('abort', onAbort)
    if (signal.aborted) onAbort()
    else if (stream.status !== 'open' && stream.status !== 'closing') onClose()
  })
}

function join(pieces: readonly Uint8Array[], length: number): Uint8Array {
  const whole = new Uint8Array(length)
  let offset = 0
  for (const piece of pieces) {
    whole.set(piece, offset)
    offset += piece.byteLength
  }
  return whole
}
