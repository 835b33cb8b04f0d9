import prometheus from 'prom-client'
import type { Metrics } from './index.ts'

/** Metrics for Prometheus: `text()` is what `GET /metrics` answers (exposition format 0.0.4). */
export interface Prometheus {
  readonly metrics: Metrics
  text(): Promise<string>
}

/** Each peer has its own registry, so that many peers can live in one process. Asking twice for a name gives the same metric. */
export function createPrometheus(): Prometheus {
  const registry = new prometheus.Registry()
  prometheus.collectDefaultMetrics({ register: registry })
  const known = <M>(name: string, make: () => M): M => (registry.getSingleMetric(name) as M | undefined) ?? make()
  const registers = [registry]
  return {
    text: () => registry.metrics(),
    metrics: {
      counter: (name, help, labelNames = []) => {
        const metric = known(name, () => new prometheus.Counter({ name, help, labelNames: [...labelNames], registers }))
        return { add: (amount = 1, labels = {}) => metric.inc(labels, amount) }
      },
      gauge: (name, help, labelNames = []) => {
        const metric = known(name, () => new prometheus.Gauge({ name, help, labelNames: [...labelNames], registers }))
        return { set: (value, labels = {}) => metric.set(labels, value) }
      },
      histogram: (name, help, buckets, labelNames = []) => {
        const make = () =>
          new prometheus.Histogram({ name, help, buckets: [...buckets], labelNames: [...labelNames], registers })
        const metric = known(name, make)
        return { observe: (value, labels = {}) => metric.observe(labels, value) }
      },
    },
  }
}
