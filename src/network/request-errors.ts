import { errorMessage, OwmError } from '../lib/index.ts'

/** What a refusal may carry over the wire; more would be a way to send a log line. */
export const maxErrorMessageLength = 512
export const errorCodePattern = /^[a-z][a-z0-9_]{0,63}$/
/** The one sentence that leaves this peer when something of its own broke. */
export const internalErrorMessage = 'The peer could not answer because of an error of its own.'

/** What travels: an OwmError as it is, anything else without a word of what happened. */
export function errorForRemote(error: unknown): { readonly code: string; readonly message: string } {
  if (error instanceof OwmError && error.code !== 'internal_error' && errorCodePattern.test(error.code)) {
    return { code: error.code, message: error.message.slice(0, maxErrorMessageLength) }
  }
  if (error instanceof Error && error.name === 'TimeoutError') {
    return { code: 'timeout', message: 'The peer did not finish in time.' }
  }
  return { code: 'internal_error', message: internalErrorMessage }
}

/** Whatever libp2p throws while it reaches for a peer, as one of our codes; the caller's own abort as it is. */
export function reachError(error: unknown, peer: string, callerSignal: AbortSignal | undefined): unknown {
  if (callerSignal?.aborted) return callerSignal.reason
  for (const inner of innerErrors(error)) if (inner instanceof OwmError) return inner
  const names = innerErrors(error).map((inner) => (inner instanceof Error ? inner.name : ''))
  if (names.includes('UnsupportedProtocolError')) {
    return new OwmError('unsupported', `The peer ${peer} does not speak this protocol.`, { peer }, error)
  }
  if (names[0] === 'TimeoutError' || names[0] === 'AbortError') {
    return new OwmError('timeout', `The peer ${peer} did not answer in time.`, { peer }, error)
  }
  return new OwmError('unreachable', `The peer ${peer} cannot be reached: ${errorMessage(error)}`, { peer }, error)
}

function innerErrors(error: unknown): unknown[] {
  if (error instanceof AggregateError) return [error, ...error.errors.flatMap(innerErrors)]
  if (error instanceof Error && error.cause !== undefined && error.cause !== error) return [error, error.cause]
  return [error]
}
