/** Requests as OpenTelemetry spans, through the API package alone: without an SDK in the process they cost next to nothing. */
import { context, propagation, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api'
import type { Tracer } from '../core/observe.ts'
import type { AppOptions } from '../http/app.ts'

/** For `StoreOptions.observer`. */
export function processTracer(): Tracer {
  return trace.getTracer('daybook')
}

/** Runs a request under a span that is a child of the caller's, where the headers name one. */
export const traceRequest: NonNullable<AppOptions['trace']> = (request, route, run) => {
  const parent = propagation.extract(context.active(), request.headers, {
    get: (headers, name) => headers.get(name) ?? undefined,
    keys: (headers) => [...headers.keys()],
  })
  const attributes = { 'http.request.method': request.method, 'http.route': route, 'url.path': pathOf(request) }
  const options = { kind: SpanKind.SERVER, attributes }
  return trace.getTracer('daybook').startActiveSpan(`${request.method} ${route}`, options, parent, async (span) => {
    try {
      const response = await run()
      span.setAttribute('http.response.status_code', response.status)
      if (response.status >= 500) span.setStatus({ code: SpanStatusCode.ERROR })
      return response
    } finally {
      span.end()
    }
  })
}

function pathOf({ url }: Request): string {
  return new URL(url).pathname
}
