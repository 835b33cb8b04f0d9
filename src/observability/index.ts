/**
 * What the rooms need to be watched: a structured logger and a registry of metrics, as interfaces. The exporters (pino,
 * Prometheus) are wired in `node.ts`; tests take the silent twins below.
 *
 * A log line is an object and a sentence; fields are named, never interpolated; no secret is ever a field.
 *
 * @example
 * const log = logger.child({ room: 'federation' })
 * log.info({ round: 3, leader: 'peer' }, 'round certified')
 */
export { createLogger, type LogLevel } from './logger.ts'
export { createPrometheus, type Prometheus } from './prometheus.ts'

export interface Logger {
  debug(fields: LogFields, message: string): void
  info(fields: LogFields, message: string): void
  warn(fields: LogFields, message: string): void
  error(fields: LogFields, message: string): void
  child(fields: LogFields): Logger
}
export type LogFields = Readonly<Record<string, unknown>>

/** Names follow Prometheus: `owm_<room>_<thing>_<unit>`, counters end in `_total`. */
export interface Metrics {
  counter(name: string, help: string, labels?: readonly string[]): Counter
  gauge(name: string, help: string, labels?: readonly string[]): Gauge
  histogram(name: string, help: string, buckets: readonly number[], labels?: readonly string[]): Histogram
}
export type Labels = Readonly<Record<string, string>>
export interface Counter {
  add(amount?: number, labels?: Labels): void
}
export interface Gauge {
  set(value: number, labels?: Labels): void
}
export interface Histogram {
  observe(value: number, labels?: Labels): void
}

const nothing = (): void => undefined

export const silentLogger: Logger = {
  debug: nothing,
  info: nothing,
  warn: nothing,
  error: nothing,
  child: () => silentLogger,
}

export const silentMetrics: Metrics = {
  counter: () => ({ add: nothing }),
  gauge: () => ({ set: nothing }),
  histogram: () => ({ observe: nothing }),
}
