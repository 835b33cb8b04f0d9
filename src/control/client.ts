import { type IncomingMessage, request } from 'node:http'
import { createInterface } from 'node:readline'
import { OwmError } from '../lib/index.ts'

/** Verbs answer at once or stream; a peer that says nothing for so long is hung. Long verbs send progress. */
const silenceTimeoutMs = 30_000

export interface ControlClient {
  /** @throws OwmError `not_running` when no peer listens, or the peer's own error */
  call<T>(verb: string, input?: unknown, options?: { readonly signal?: AbortSignal }): Promise<T>
  /** The verb's values as they come; ends with the verb, or when the signal aborts. */
  stream<T>(verb: string, input?: unknown, options?: { readonly signal?: AbortSignal }): AsyncIterable<T>
}

export function createControlClient(socketPath: string): ControlClient {
  async function* lines(
    verb: string,
    input: unknown,
    signal: AbortSignal | undefined,
    timeoutMs: number,
  ): AsyncIterable<unknown> {
    const response = await send(socketPath, verb, input, signal, timeoutMs)
    for await (const line of createInterface({ input: response, crlfDelay: Number.POSITIVE_INFINITY })) {
      const value = JSON.parse(line) as { readonly error?: { readonly code: string; readonly message: string } } | null
      if (value?.error !== undefined && typeof value.error.code === 'string') {
        throw new OwmError(value.error.code, value.error.message)
      }
      yield value
    }
  }
  return {
    call: async <T>(verb: string, input: unknown = {}, options: { readonly signal?: AbortSignal } = {}) => {
      for await (const value of lines(verb, input, options.signal, silenceTimeoutMs)) return value as T
      throw new OwmError('unavailable', 'The peer ended before it answered.')
    },
    stream: <T>(verb: string, input: unknown = {}, options: { readonly signal?: AbortSignal } = {}) =>
      lines(verb, input, options.signal, 0) as AsyncIterable<T>,
  }
}

function send(
  socketPath: string,
  verb: string,
  input: unknown,
  signal: AbortSignal | undefined,
  timeoutMs: number,
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ socketPath, path: `/${verb}`, method: 'POST', signal, timeout: timeoutMs }, resolve)
    outgoing.once('timeout', () =>
      outgoing.destroy(new OwmError('timeout', `The peer did not answer within ${timeoutMs / 1000} s.`)),
    )
    outgoing.once('error', (error: NodeJS.ErrnoException) => {
      const noPeer = error.code === 'ENOENT' || error.code === 'ECONNREFUSED'
      reject(
        noPeer
          ? new OwmError('not_running', 'No peer runs on this data directory; start one with: owm peer start')
          : error,
      )
    })
    outgoing.end(JSON.stringify(input))
  })
}
