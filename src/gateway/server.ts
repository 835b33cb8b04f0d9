import { createServer, type Server } from 'node:http'
import { isIPv6, type Socket } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import { OwmError } from '../lib/index.ts'
import { failureOf, problemBody } from './failure.ts'
import type { GatewayLimits } from './limits.ts'
import type { Env } from './request.ts'

/** How often half-open requests are looked for: a fraction of the time-outs. */
const checkTimeoutsMs = 2_000
/** Idle connections are kept this long for the client's next request. */
const keepAliveMs = 10_000

export interface Address {
  readonly host: string
  readonly port: number
}

/** `127.0.0.1:8080`, `localhost:0`, `[::1]:8080`. @throws OwmError `bad_listen` */
export function parseListen(listen: string): Address {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(listen)
  const host = match?.[1] ?? match?.[2]
  const port = Number(match?.[3])
  if (host === undefined || port > 65_535 || (match?.[1] !== undefined && !isIPv6(host))) {
    throw new OwmError(
      'bad_listen',
      `"${listen}" is not an address to listen on; write HOST:PORT, like 127.0.0.1:8080.`,
    )
  }
  return { host, port }
}

export interface HttpServer {
  readonly server: Server
  /** Stops accepting and closes every connection without a request under way, at once and as replies go out. */
  close(): Promise<void>
}

export function createHttpServer(
  fetch: (request: Request, env: Env['Bindings']) => Response | Promise<Response>,
  limits: GatewayLimits,
): HttpServer {
  // Node's own closeIdleConnections leaves those on which nothing was ever asked, and browsers open some in advance.
  const busy = new Map<Socket, number>()
  const listener = getRequestListener((request, env) => fetch(request, env as Env['Bindings']), {
    overrideGlobalObjects: false,
    // Reached only by requests that are not HTTP enough to become a Request: an impossible host or path.
    errorHandler: () => {
      const body = problemBody(failureOf(new OwmError('bad_request', 'The request line or its host is not valid.')), '')
      return new Response(JSON.stringify(body), {
        status: 400,
        headers: { 'Content-Type': 'application/problem+json' },
      })
    },
  })
  const server = createServer(
    {
      headersTimeout: limits.headersTimeoutMs,
      requestTimeout: limits.requestTimeoutMs,
      connectionsCheckingInterval: Math.min(checkTimeoutsMs, limits.headersTimeoutMs),
      keepAliveTimeout: keepAliveMs,
      maxHeaderSize: 16 * 1024,
    },
    (incoming, outgoing) => {
      const { socket } = incoming
      busy.set(socket, (busy.get(socket) ?? 0) + 1)
      outgoing.once('close', () => {
        const left = (busy.get(socket) ?? 1) - 1
        if (busy.has(socket)) busy.set(socket, left)
        if (left === 0 && !server.listening) socket.destroySoon()
      })
      void listener(incoming, outgoing)
    },
  )
  server.setTimeout(limits.idleTimeoutMs)
  server.maxConnections = limits.maxConnections
  server.on('connection', (socket) => {
    busy.set(socket, 0)
    socket.once('close', () => busy.delete(socket))
  })
  return {
    server,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        for (const [socket, requests] of busy) if (requests === 0) socket.destroy()
      }),
  }
}

/** @throws OwmError `port_in_use`, `port_not_allowed`, `address_not_available`, or `listen_failed` */
export async function listenOn(server: Server, { host, port }: Address): Promise<Address> {
  await new Promise<void>((resolve, reject) => {
    const onError = (error: NodeJS.ErrnoException): void => reject(listenError(error, host, port))
    server.once('error', onError)
    server.listen({ host, port }, () => {
      server.off('error', onError)
      resolve()
    })
  })
  const bound = server.address()
  return bound !== null && typeof bound === 'object' ? { host: bound.address, port: bound.port } : { host, port }
}

function listenError(error: NodeJS.ErrnoException, host: string, port: number): OwmError {
  const details = { host, port }
  switch (error.code) {
    case 'EADDRINUSE':
      return new OwmError(
        'port_in_use',
        `Port ${port} on ${host} is taken; set [http] listen to another.`,
        details,
        error,
      )
    case 'EACCES':
      return new OwmError(
        'port_not_allowed',
        `This user may not listen on port ${port}; set [http] listen to one above 1023.`,
        details,
        error,
      )
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return new OwmError(
        'address_not_available',
        `This machine has no address ${host}; set [http] listen to one that it has.`,
        details,
        error,
      )
    default:
      return new OwmError('listen_failed', `Cannot listen on ${host}:${port}: ${error.message}.`, details, error)
  }
}
