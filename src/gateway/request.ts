import type { HttpBindings } from '@hono/node-server'
import type { Context } from 'hono'
import type { ZodType } from 'zod'
import { OwmError } from '../lib/index.ts'

export interface Env {
  Bindings: HttpBindings
  Variables: { requestId: string }
}
export type GatewayContext = Context<Env>

/** The client's address, for fairness among clients. */
export function clientOf(c: GatewayContext): string {
  return c.env.incoming.socket.remoteAddress ?? ''
}

/**
 * The body as JSON of a schema. A page of another origin cannot send this content type without asking first, and is
 * never allowed to: that is what keeps strangers' pages from using a gateway on the reader's own machine.
 *
 * @throws OwmError `unsupported_media_type`, `oversized`, `bad_request` naming the field
 */
export async function readJson<T>(c: GatewayContext, schema: ZodType<T>, maxBytes: number): Promise<T> {
  const type = c.req.header('content-type') ?? ''
  if (!/^application\/json\s*(;|$)/i.test(type)) {
    throw new OwmError(
      'unsupported_media_type',
      'Send the body as JSON, with the header Content-Type: application/json.',
    )
  }
  const bytes = await readBody(c, maxBytes)
  let value: unknown
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch {
    throw new OwmError('bad_request', 'The body is not valid JSON in UTF-8.')
  }
  return parseWith(schema, value)
}

/** @throws OwmError `bad_request` naming the first field at fault */
export function parseWith<T>(schema: ZodType<T>, value: unknown): T {
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]
  const param = issue?.code === 'unrecognized_keys' ? issue.keys[0] : issue?.path.join('.')
  throw new OwmError('bad_request', `${param || 'The body'}: ${issue?.message ?? 'not valid'}.`, param ? { param } : {})
}

async function readBody(c: GatewayContext, maxBytes: number): Promise<Uint8Array> {
  const tooLarge = (): OwmError =>
    new OwmError('oversized', `The body is larger than ${maxBytes} bytes.`, { limitBytes: maxBytes })
  if (Number(c.req.header('content-length') ?? 0) > maxBytes) throw tooLarge()
  const reader = c.req.raw.body?.getReader()
  const chunks: Uint8Array[] = []
  let size = 0
  try {
    for (let next = await reader?.read(); next !== undefined && !next.done; next = await reader?.read()) {
      size += next.value.length
      if (size > maxBytes) throw tooLarge()
      chunks.push(next.value)
    }
  } catch (error) {
    if (error instanceof OwmError) throw error
    throw new OwmError('bad_request', 'The body did not come in whole.')
  }
  return Buffer.concat(chunks)
}

const limitQuery = /^[1-9]\d{0,3}$/

/** `?limit=N`, from 1 to 1000. @throws OwmError `bad_request` */
export function limitOf(c: GatewayContext, defaultLimit = 100): number {
  const text = c.req.query('limit')
  if (text === undefined) return defaultLimit
  if (!limitQuery.test(text) || Number(text) > 1000) {
    throw new OwmError('bad_request', 'limit: a whole number from 1 to 1000.', { param: 'limit' })
  }
  return Number(text)
}
