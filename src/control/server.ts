import { chmod, mkdir, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { errorCode, errorMessage, OwmError, type Startable, sha256Of, toHex } from '../lib/index.ts'
import type { Logger } from '../observability/index.ts'
import type { Verb } from './index.ts'

/** A request's body: a certificate to be audited is the largest, 1 MiB in base64. */
const maxBodyBytes = 2 * 1024 * 1024
/** sun_path is 108 bytes on Linux, 104 on macOS. */
const maxSocketPathLength = 100

/** The socket of a data directory; under the system's temporary folder when the directory's own path is too long for one. */
export function socketPathFor(dataDir: string): string {
  const path = join(dataDir, 'control.sock')
  if (Buffer.byteLength(path) <= maxSocketPathLength) return path
  return join(tmpdir(), `owm-${toHex(sha256Of(Buffer.from(dataDir))).slice(0, 16)}`, 'control.sock')
}

/** The caller holds the data directory's lock, so a socket file found there is a dead peer's. */
export function createControlServer(
  { logger }: { readonly logger: Logger },
  { socketPath, verbs }: { readonly socketPath: string; readonly verbs: Readonly<Record<string, Verb>> },
): Startable {
  const closing = new AbortController()
  const server = createServer((request, response) => {
    answer(request, response, verbs, closing.signal).catch((error) => {
      logger.debug({ code: errorCode(error) }, 'control client went away')
      response.destroy()
    })
  })
  return {
    start: async () => {
      if (server.listening) return
      await mkdir(dirname(socketPath), { recursive: true, mode: 0o700 })
      await rm(socketPath, { force: true })
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject)
        server.listen(socketPath, resolve)
      })
      await chmod(socketPath, 0o600)
    },
    stop: async () => {
      closing.abort(new OwmError('stopping', 'The peer is stopping.'))
      if (!server.listening) return
      await new Promise<void>((resolve) => {
        server.close(() => resolve())
        server.closeIdleConnections()
        setTimeout(() => server.closeAllConnections(), 500).unref()
      })
    },
  }
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  verbs: Readonly<Record<string, Verb>>,
  closing: AbortSignal,
): Promise<void> {
  const gone = new AbortController()
  response.once('close', () => gone.abort(new OwmError('aborted', 'The client went away.')))
  const send = (value: unknown): boolean => response.write(`${JSON.stringify(value)}\n`)
  try {
    const name = request.url?.slice(1) ?? ''
    const found = Object.hasOwn(verbs, name) ? verbs[name] : undefined
    if (request.method !== 'POST' || found === undefined) {
      throw new OwmError('not_found', `This peer has no verb ${name}; is it of another version than the command?`)
    }
    const parsed = found.input.safeParse(await readJson(request))
    if (!parsed.success) {
      const issue = parsed.error.issues[0]
      throw new OwmError('bad_request', `${issue?.path.join('.') || name}: ${issue?.message}`)
    }
    response.writeHead(200, { 'content-type': 'application/x-ndjson' })
    response.flushHeaders()
    const result = found.run(parsed.data, AbortSignal.any([gone.signal, closing]))
    if (Symbol.asyncIterator in result) {
      for await (const value of result) {
        if (!send(value)) await drained(response, gone.signal)
      }
    } else {
      send((await result) ?? null)
    }
  } catch (error) {
    if (!gone.signal.aborted) send({ error: { code: errorCode(error), message: errorMessage(error) } })
  }
  response.end()
}

async function readJson(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > maxBodyBytes) throw new OwmError('oversized', `A request is over ${maxBodyBytes} bytes.`)
    chunks.push(chunk)
  }
  try {
    return size === 0 ? {} : JSON.parse(Buffer.concat(chunks).toString('utf8'))
  } catch {
    throw new OwmError('bad_request', 'The request is not JSON.')
  }
}

function drained(response: ServerResponse, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    response.once('drain', resolve)
    signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
