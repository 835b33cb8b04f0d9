import type {
  Counter,
  CounterGroup,
  Histogram,
  HistogramGroup,
  Metrics as Libp2pMetrics,
  Metric,
  MetricGroup,
  MultiaddrConnection,
  Summary,
  SummaryGroup,
} from '@libp2p/interface'
import type { Metrics } from '../observability/index.ts'

export interface Traffic {
  read(): { readonly sentBytes: number; readonly receivedBytes: number }
  /** libp2p's `metrics` component. It counts the bytes of connections and leaves everything else uncounted. */
  readonly component: () => Libp2pMetrics
}

/** Bytes as they go over the wire, encryption and framing included. */
export function createTraffic(metrics: Metrics): Traffic {
  const sentTotal = metrics.counter('owm_network_sent_bytes_total', 'Bytes sent through all connections.')
  const receivedTotal = metrics.counter('owm_network_received_bytes_total', 'Bytes received through all connections.')
  let sentBytes = 0
  let receivedBytes = 0

  const track = (connection: MultiaddrConnection): void => {
    // A relayed connection runs inside one that is counted already.
    if (connection.remoteAddr.getComponents().some((part) => part.name === 'p2p-circuit')) return
    // A `message` listener would make libp2p hand out data before its reader is there, so the two verbs are wrapped.
    const dispatch = connection.dispatchEvent.bind(connection)
    connection.dispatchEvent = (event: Event): boolean => {
      if (event.type === 'message') {
        const { byteLength } = (event as Event & { readonly data: { readonly byteLength: number } }).data
        receivedBytes += byteLength
        receivedTotal.add(byteLength)
      }
      return dispatch(event)
    }
    const send = connection.send.bind(connection)
    connection.send = (data) => {
      sentBytes += data.byteLength
      sentTotal.add(data.byteLength)
      return send(data)
    }
  }
  return { read: () => ({ sentBytes, receivedBytes }), component: () => uncounted(track) }
}

function uncounted(trackMultiaddrConnection: (connection: MultiaddrConnection) => void): Libp2pMetrics {
  const nothing = (): void => undefined
  const stopTimer = (): (() => void) => nothing
  const all = {
    update: nothing,
    increment: nothing,
    decrement: nothing,
    reset: nothing,
    observe: nothing,
    timer: stopTimer,
  }
  return {
    trackMultiaddrConnection,
    trackProtocolStream: nothing,
    registerMetric: () => all as Metric,
    registerMetricGroup: () => all as MetricGroup,
    registerCounter: () => all as Counter,
    registerCounterGroup: () => all as CounterGroup,
    registerHistogram: () => all as Histogram,
    registerHistogramGroup: () => all as HistogramGroup,
    registerSummary: () => all as Summary,
    registerSummaryGroup: () => all as SummaryGroup,
    traceFunction: <F>(_name: string, traced: F): F => traced,
    createTrace: nothing,
  }
}
