import { randomUUID } from 'node:crypto'
import { Hono } from 'hono'
import { methodNotAllowed } from 'hono/method-not-allowed'
import { routePath } from 'hono/route'
import type { Dashboard } from '../dashboard/index.ts'
import { errorMessage, OwmError } from '../lib/index.ts'
import type { Answering } from './answering.ts'
import { type EventHub, serveEvents } from './events.ts'
import { failureOf, openAiErrorBody, problemBody } from './failure.ts'
import { serveHealth } from './health.ts'
import { checkHost } from './host.ts'
import type { GatewayComponents, GatewayInit } from './index.ts'
import type { GatewayLimits } from './limits.ts'
import { serveNetwork } from './network.ts'
import { isOpenAiPath, serveOpenAi } from './openai.ts'
import { serveQuery } from './query.ts'
import type { Env, GatewayContext } from './request.ts'
import { serveRuns } from './runs.ts'
import { serveUnbuilt } from './unbuilt.ts'
import { serveVersions } from './versions.ts'

/** Seconds, from a health check to a long answer. */
const latencyBuckets = [0.005, 0.02, 0.1, 0.5, 1, 2, 5, 15, 60]
const requestIdForm = /^[A-Za-z0-9_.-]{1,64}$/

/** All routes and what stands around them: the host check, request ids, headers, metrics, and the shape of errors. */
export function createApp(
  components: GatewayComponents & { readonly answering: Answering; readonly dashboard: Dashboard | undefined },
  init: GatewayInit,
  limits: GatewayLimits,
  isStopping: () => boolean,
): { readonly app: Hono<Env>; readonly events: EventHub | undefined } {
  const { logger, metrics, clock, answering, dashboard } = components
  const app = new Hono<Env>({ strict: false })
  const requests = metrics.counter('owm_gateway_requests_total', 'HTTP requests', ['route', 'method', 'status'])
  const seconds = metrics.histogram(
    'owm_gateway_request_seconds',
    'From the request until the headers of its reply',
    latencyBuckets,
    ['route'],
  )

  app.use(async (c, next) => {
    const startedMs = clock.now()
    const given = c.req.header('x-request-id')
    c.set('requestId', given !== undefined && requestIdForm.test(given) ? given : randomUUID())
    await next()
    const route = c.res.status === 404 && routePath(c, -1) === '/*' ? 'none' : routePath(c, -1)
    requests.add(1, { route, method: knownMethod(c.req.method), status: String(c.res.status) })
    seconds.observe((clock.now() - startedMs) / 1000, { route })
    if (isStopping()) c.res.headers.set('Connection', 'close')
    c.res.headers.set('X-Request-Id', c.get('requestId'))
    c.res.headers.set('X-Content-Type-Options', 'nosniff')
    c.res.headers.set('Referrer-Policy', 'no-referrer')
    c.res.headers.set('Cross-Origin-Resource-Policy', 'same-origin')
    if (!c.res.headers.has('Content-Security-Policy')) {
      c.res.headers.set('Content-Security-Policy', "default-src 'none'; frame-ancestors 'none'")
    }
    if (!c.res.headers.has('Cache-Control')) c.res.headers.set('Cache-Control', 'no-store')
  })
  app.use(async (c, next) => {
    checkHost(c.req.header('host'), c.env.incoming.socket.localAddress, init.hosts ?? [])
    if (isStopping() && !c.req.path.startsWith('/health')) throw new OwmError('stopping', 'This peer is stopping.')
    await next()
  })
  app.use(
    methodNotAllowed({
      app,
      onMethodNotAllowed: (c, methods) => {
        const error = new OwmError('method_not_allowed', `This path takes ${methods.join(', ')}.`)
        const reply = errorReply(c as GatewayContext, error)
        reply.headers.set('Allow', methods.join(', '))
        return reply
      },
    }),
  )

  app.onError((error, c) => {
    const failure = failureOf(error)
    if (failure.code === 'internal_error' && !c.req.raw.signal.aborted) {
      logger.error({ path: c.req.path, request: c.get('requestId'), error: errorMessage(error) }, 'a request failed')
    }
    return errorReply(c, error)
  })
  app.notFound((c) => errorReply(c as GatewayContext, new OwmError('not_found', `There is nothing at ${c.req.path}.`)))

  serveHealth(app, components, isStopping)
  const events = init.gateway || init.dashboard ? serveEvents(app, components, limits) : undefined
  if (init.gateway) {
    serveQuery(app, answering, limits)
    serveOpenAi(app, { answering, clock }, limits)
    serveVersions(app, components.federation)
    serveRuns(app, components.federation)
    serveNetwork(app, components)
    serveUnbuilt(app)
  }
  if (dashboard !== undefined) app.route('/', dashboard.routes)
  return { app, events }
}

/** OpenAI's error object on its paths, problem details everywhere else. */
function errorReply(c: GatewayContext, error: unknown): Response {
  const failure = failureOf(error)
  const openAi = isOpenAiPath(c.req.path)
  const body = openAi ? openAiErrorBody(failure) : problemBody(failure, c.req.path)
  return new Response(JSON.stringify(body), {
    status: failure.status,
    headers: {
      'Content-Type': openAi ? 'application/json' : 'application/problem+json',
      ...(failure.retryAfterSeconds === undefined ? {} : { 'Retry-After': String(failure.retryAfterSeconds) }),
      // What of the body was not read is not waited for.
      ...(failure.status === 413 ? { Connection: 'close' } : {}),
    },
  })
}

/** Method names are the client's to choose; a metric's labels are not. */
function knownMethod(method: string): string {
  return ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'].includes(method) ? method : 'other'
}
