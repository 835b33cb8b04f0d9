/**
 * One error class for the whole system. `code` is stable and is what programs, tests and metrics look at; `message` is
 * one sentence for a person: what was wrong, where, and what to do.
 *
 * @example
 * throw new OwmError('port_in_use', 'Port 8080 on 127.0.0.1 is taken; set [http] listen to another.', { port: 8080 })
 */
export class OwmError extends Error {
  override readonly name = 'OwmError'
  readonly code: string
  readonly details: Readonly<Record<string, unknown>>

  constructor(code: string, message: string, details: Readonly<Record<string, unknown>> = {}, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.code = code
    this.details = details
  }
}

/** Whether a bad message from the network is merely dropped, or also held against the peer that relayed it. */
export type Fault = 'ignore' | 'reject'

/** A message from the network that is not accepted. `fault` feeds the peer's score. */
export class RejectedError extends OwmError {
  readonly fault: Fault

  constructor(fault: Fault, code: string, message: string, details: Readonly<Record<string, unknown>> = {}) {
    super(code, message, details)
    this.fault = fault
  }
}

/** Exit codes of the command line, after sysexits(3) where one fits. */
export const exitCodes = {
  ok: 0,
  failed: 1,
  usage: 64,
  badInput: 65,
  unavailable: 69,
  internal: 70,
  cannotCreate: 73,
  ioError: 74,
  noPermission: 77,
  badConfig: 78,
  interrupted: 130,
} as const

/** The stable code of any thrown value: ours, Node's (`ENOENT`), or `internal_error`. */
export function errorCode(error: unknown): string {
  if (error instanceof OwmError) return error.code
  if (error instanceof Error) {
    const code = (error as NodeJS.ErrnoException).code
    if (typeof code === 'string') return code
    if (error.name === 'AbortError') return 'aborted'
    if (error.name === 'TimeoutError') return 'timeout'
  }
  return 'internal_error'
}

/** One line for a person, of any thrown value. */
export function errorMessage(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
