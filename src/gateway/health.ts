import type { Hono } from 'hono'
import type { GatewayComponents, HealthReport } from './index.ts'
import type { Env } from './request.ts'

/** `/health`, `/health/live` and `/metrics`: what every peer serves. */
export function serveHealth(
  app: Hono<Env>,
  components: Pick<GatewayComponents, 'health' | 'metricsText' | 'clock' | 'logger'>,
  isStopping: () => boolean,
): void {
  app.get('/health/live', (c) => c.json({ live: true }))

  app.get('/health', (c) => {
    let report: HealthReport
    try {
      report = components.health()
    } catch (error) {
      components.logger.error({ error: String(error) }, 'the health report failed')
      return c.json({ status: 'not_ready', live: true, ready: false, reasons: ['The health report failed.'] }, 503)
    }
    const reasons = isStopping() ? [...report.reasons, 'The peer is stopping.'] : report.reasons
    const ready = report.ready && !isStopping()
    const { lastRound } = report
    const body = {
      status: ready ? 'ready' : 'not_ready',
      live: true,
      ready,
      reasons,
      peer: report.peer,
      mesh: report.mesh,
      version: report.version,
      uptime_seconds: Math.max(0, Math.floor((components.clock.now() - report.startedMs) / 1000)),
      peers: report.peers,
      disk_free_bytes: report.diskFreeBytes,
      last_round: lastRound && {
        run: lastRound.run,
        round: lastRound.round,
        certified_at: new Date(lastRound.certifiedMs).toISOString(),
      },
    }
    return c.json(body, ready ? 200 : 503)
  })

  app.get('/metrics', async (c) =>
    c.body(await components.metricsText(), 200, { 'Content-Type': 'text/plain; version=0.0.4; charset=utf-8' }),
  )
}
