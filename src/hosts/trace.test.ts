/** Traces with a real SDK: one for the process, so that this file has it for itself. */
import { SpanStatusCode } from '@opentelemetry/api'
import { InMemorySpanExporter, NodeTracerProvider, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-node'
import pino from 'pino'
import { afterAll, beforeEach, expect, test } from 'vitest'
import { collect } from '../conformance/store/kit.ts'
import { openStore } from '../core/store.ts'
import { memoryStorage } from '../storage/memory/storage.ts'
import { serve } from './node.ts'
import { processTracer } from './trace.ts'

const exporter = new InMemorySpanExporter()
const provider = new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] })
provider.register()
beforeEach(() => exporter.reset())
afterAll(() => provider.shutdown())

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
const traceparent = `00-${traceId}-00f067aa0ba902b7-01`

/** Each span by its name, with the name of its parent. */
function spans() {
  const all = exporter.getFinishedSpans()
  const names = new Map(all.map((span) => [span.spanContext().spanId, span.name]))
  return all.map((span) => ({
    name: span.name,
    parent: names.get(span.parentSpanContext?.spanId ?? '') ?? span.parentSpanContext?.spanId,
    trace: span.spanContext().traceId,
    attributes: span.attributes,
    status: span.status,
  }))
}

const open = () => openStore(memoryStorage(), { observer: { tracer: processTracer() } })

test('a request, its append and the commit of the storage are one trace, which is the caller’s', async () => {
  const store = await open()
  // What a process reads of declarations, and then goes by for a while.
  await store.append('seat/0', [{ type: 'Reserved' }])
  const server = await serve({ store, port: 0, logger: pino({ level: 'silent' }) })
  exporter.reset()
  const body = JSON.stringify({ events: [{ type: 'Reserved' }, { type: 'Paid' }] })
  await fetch(`${server.url}/streams/seat/1/events`, { method: 'POST', headers: { traceparent }, body })
  await server.close()
  const route = 'POST /streams/{streamType}/{streamId}/events'
  const own = spans()
  expect(own.map(({ name, parent }) => [name, parent])).toEqual([
    ['daybook storage commit', 'daybook append'],
    ['daybook append', route],
    [route, '00f067aa0ba902b7'],
  ])
  expect(new Set(own.map(({ trace }) => trace))).toEqual(new Set([traceId]))
  expect(own[1]?.attributes).toEqual({ 'daybook.size': 2 })
  expect(own[2]?.attributes).toMatchObject({ 'http.response.status_code': 201, 'url.path': '/streams/seat/1/events' })
  const [event] = await collect(store.read('seat/1'))
  expect(event?.meta?.traceparent).toBe(traceparent)
})

test('reads, boundaries, subscriptions and each call of the storage have spans; a failure says which', async () => {
  const store = await open()
  await store.append('seat/1', [{ type: 'Reserved' }])
  exporter.reset()
  await collect(store.read('seat/1'))
  await store.readBoundary([{ types: ['Reserved'] }])
  await store.readLogPage()
  await collect(store.subscribe(), 1)
  await store.append('seat/1', [{ type: 'Reserved' }], { expected: 0 }).catch(() => {})
  const named = spans().map(({ name }) => name)
  for (const name of ['read', 'read boundary', 'read log', 'subscription', 'append']) {
    expect(named).toContain(`daybook ${name}`)
  }
  expect(named).toContain('daybook storage read a stream')
  const failed = spans().find(({ name }) => name === 'daybook append')
  expect(failed?.status).toEqual({ code: SpanStatusCode.ERROR, message: 'revision-conflict' })
})
