/** What a server counts, as Prometheus text: requests, calls of the store and of its storage, feeds, the process. */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import type { EndedCall } from '../core/observe.ts'
import type { Store } from '../core/store.ts'
import type { Metrics } from '../http/app.ts'

export interface ServerMetrics {
  /** For `StoreOptions.observer`. */
  readonly ended: (call: EndedCall) => void
  /** For the server of that store. */
  of(store: Store): Metrics
}

const seconds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

export function createMetrics(): ServerMetrics {
  const registry = new Registry()
  const registers = [registry]
  collectDefaultMetrics({ register: registry })
  const requests = new Histogram({
    name: 'daybook_http_request_seconds',
    help: 'Time to answer a request, by route and status; of a feed, to begin the answer.',
    labelNames: ['method', 'route', 'status'],
    buckets: seconds,
    registers,
  })
  const appends = new Counter({
    name: 'daybook_appends_total',
    help: 'Appends by outcome: "committed", "repeated", or the code of the error ("revision-conflict").',
    labelNames: ['outcome'],
    registers,
  })
  const events = new Counter({ name: 'daybook_events_appended_total', help: 'Events of those committed.', registers })
  const calls = new Histogram({
    name: 'daybook_call_seconds',
    help: 'Time of each call of the store, and of each of its storage.',
    labelNames: ['layer', 'call', 'outcome'],
    buckets: seconds,
    registers,
  })
  const groups = new Histogram({
    name: 'daybook_commit_group_size',
    help: 'Appends that shared one wait for the disk.',
    buckets: [1, 2, 4, 8, 16, 32, 64, 128, 256],
    registers,
  })
  const head = new Gauge({ name: 'daybook_log_head', help: 'Position of the newest event.', registers })
  const subscribers = new Gauge({ name: 'daybook_feed_subscribers', help: 'Feeds that are being served.', registers })
  const lag = new Gauge({
    name: 'daybook_feed_lag_events',
    help: 'How far the feed that is furthest behind is behind the head.',
    registers,
  })
  const storage = new Gauge({
    name: 'daybook_storage',
    help: 'What the storage tells of itself, by name and unit (walBytes).',
    labelNames: ['gauge'],
    registers,
  })

  return {
    ended({ layer, name, seconds, size = 0, error }) {
      calls.observe({ layer, call: name, outcome: error ?? 'done' }, seconds)
      if (layer === 'storage' && name === 'commit') groups.observe(size)
      if (layer !== 'store' || name !== 'append') return
      appends.inc({ outcome: error ?? (size === 0 ? 'repeated' : 'committed') })
      events.inc(size)
    },
    of: (store) => ({
      observe({ method, route, status, seconds }) {
        requests.observe({ method, route, status }, seconds)
      },
      async print(feeds) {
        const info = await store.info()
        head.set(info.head)
        subscribers.set(feeds.size)
        lag.set(Math.max(0, ...[...feeds].map(({ position }) => info.head - position)))
        for (const [gauge, value] of Object.entries(info.gauges)) storage.set({ gauge }, value)
        return new Response(await registry.metrics(), { headers: { 'content-type': registry.contentType } })
      },
    }),
  }
}
