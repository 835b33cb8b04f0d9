import { createDashboard } from '../dashboard/index.ts'
import { OwmError } from '../lib/index.ts'
import { createAnswering } from './answering.ts'
import { createApp } from './app.ts'
import type { Gateway, GatewayComponents, GatewayInit } from './index.ts'
import { defaultLimits } from './limits.ts'
import { type Address, createHttpServer, listenOn, parseListen } from './server.ts'

/** @throws OwmError `bad_listen` */
export function createGateway(components: GatewayComponents, init: GatewayInit): Gateway {
  const { logger } = components
  const limits = { ...defaultLimits, ...init.limits }
  const listen = parseListen(init.listen)
  const answering = createAnswering(components, limits)
  const dashboard = init.dashboard ? createDashboard(components, { ask: init.gateway }) : undefined
  let state: 'new' | 'started' | 'stopping' | 'stopped' = 'new'
  let stopped: Promise<void> | undefined
  let bound: Address | undefined
  const isStopping = (): boolean => state === 'stopping' || state === 'stopped'
  const { app, events } = createApp({ ...components, answering, dashboard }, init, limits, isStopping)
  const { server, close } = createHttpServer(app.fetch, limits)

  const stop = async (): Promise<void> => {
    const wasStarted = state === 'started'
    state = 'stopping'
    if (wasStarted) {
      const closed = close()
      events?.stop()
      await answering.stop()
      // What is still open is a reader too slow for the end of its answer.
      const calledOff = components.clock.after(limits.stopGraceMs, () => server.closeAllConnections())
      await closed
      calledOff()
      await dashboard?.stop()
      logger.info({ ...bound }, 'HTTP stopped')
    }
    state = 'stopped'
  }

  return {
    address: () => {
      if (bound === undefined) throw new OwmError('not_started', 'The HTTP server has not been started.')
      return bound
    },
    start: async () => {
      if (state !== 'new') return
      state = 'started'
      await dashboard?.start()
      events?.start()
      try {
        bound = await listenOn(server, listen)
      } catch (error) {
        state = 'stopped'
        events?.stop()
        await dashboard?.stop()
        throw error
      }
      logger.info({ ...bound, gateway: init.gateway, dashboard: init.dashboard }, 'HTTP listens')
    },
    stop: () => {
      stopped ??= stop()
      return stopped
    },
  }
}
