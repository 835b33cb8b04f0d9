import { OwmError } from '../lib/index.ts'

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
