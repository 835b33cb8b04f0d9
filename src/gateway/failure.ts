import { errorCode, OwmError } from '../lib/index.ts'

/** What a client is told of an error: never a stack, never a message that was not written for it. */
export interface Failure {
  readonly status: number
  readonly code: string
  readonly title: string
  readonly detail: string
  readonly retryAfterSeconds?: number
  /** The request's field at fault. */
  readonly param?: string
}

interface Kind {
  readonly status: number
  readonly title: string
  readonly retryAfterSeconds?: number
}

/** The codes whose messages are written for clients, with their HTTP status. Any other error is an internal one. */
const kinds: Readonly<Record<string, Kind>> = {
  bad_request: { status: 400, title: 'The request is not valid' },
  not_found: { status: 404, title: 'There is nothing here' },
  model_not_found: { status: 404, title: 'No such model' },
  method_not_allowed: { status: 405, title: 'The path does not take this method' },
  oversized: { status: 413, title: 'The request is too large' },
  unsupported_media_type: { status: 415, title: 'The request is not JSON' },
  foreign_host: { status: 421, title: 'The request is meant for another host' },
  too_many_requests: { status: 429, title: 'Too many requests', retryAfterSeconds: 1 },
  internal_error: { status: 500, title: 'Something went wrong' },
  not_implemented: { status: 501, title: 'Not built yet' },
  no_checkpoint: { status: 503, title: 'No model yet', retryAfterSeconds: 5 },
  capacity_exceeded: { status: 503, title: 'Busy', retryAfterSeconds: 1 },
  stopping: { status: 503, title: 'The peer is stopping', retryAfterSeconds: 5 },
  timeout: { status: 504, title: 'The answer took too long' },
}

/** Codes of OpenAI-shaped errors; see `details.param` and the codes above. */
export function failureOf(error: unknown): Failure {
  const code = errorCode(error)
  const kind = kinds[code]
  if (kind === undefined || !(error instanceof OwmError)) {
    const known = code === 'timeout' ? kinds['timeout'] : undefined
    const { status, title } = known ?? { status: 500, title: 'Something went wrong' }
    const detail = known ? 'The answer took too long.' : 'The peer failed to handle this request; its log says why.'
    return { status, code: known ? 'timeout' : 'internal_error', title, detail }
  }
  const param = error.details['param']
  return { ...kind, code, detail: error.message, ...(typeof param === 'string' ? { param } : {}) }
}

/** RFC 9457 problem details. */
export function problemBody(failure: Failure, instance: string): Record<string, unknown> {
  return {
    type: `urn:owm:problem:${failure.code}`,
    title: failure.title,
    status: failure.status,
    detail: failure.detail,
    code: failure.code,
    instance,
    ...(failure.param === undefined ? {} : { param: failure.param }),
  }
}

/** OpenAI's error object, as its API reference has it. */
export function openAiErrorBody(failure: Failure): Record<string, unknown> {
  const type =
    failure.status >= 500 ? 'server_error' : failure.status === 429 ? 'rate_limit_error' : 'invalid_request_error'
  return { error: { message: failure.detail, type, param: failure.param ?? null, code: failure.code } }
}
