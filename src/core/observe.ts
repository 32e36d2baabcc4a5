/** What a store tells of its own work, for traces and metrics: each call of the store, and each of its storage. */
import { type ErrorCode, isStoreError } from './errors.ts'

/** Both parts may be left out; what is left out costs nothing. */
export interface Observer {
  /** `trace.getTracer('my-app')` of `@opentelemetry/api`. */
  readonly tracer?: Tracer
  /** Told when a call has ended, however it did. */
  readonly ended?: (call: EndedCall) => void
}

export interface EndedCall {
  readonly layer: 'store' | 'storage'
  /** `append`, `read`, `read log` …; of the storage `commit`, `read a stream` … */
  readonly name: string
  readonly seconds: number
  /** Events that an append recorded (0: it was a repeat), commits of a group, entries of a page. */
  readonly size?: number
  /** Absent where the call succeeded. */
  readonly error?: ErrorCode | 'unexpected'
}

/** The slice of an OpenTelemetry tracer that is needed here. */
export interface Tracer {
  startActiveSpan<Result>(name: string, run: (span: Span) => Result): Result
}

export interface Span {
  setAttribute(name: string, value: string | number): unknown
  recordException(error: Error): void
  setStatus(status: { readonly code: number; readonly message?: string }): unknown
  end(): void
}

export interface Call<Result> {
  readonly layer: EndedCall['layer']
  readonly name: string
  readonly size?: number | ((result: Result) => number)
}

/** `SpanStatusCode.ERROR` of the API package, which is not loaded here. */
const failed = 2

/** Runs the call under a span, and tells how it ended. */
export function observe<Result>(
  observer: Observer | undefined,
  call: Call<Result>,
  run: () => Promise<Result>,
): Promise<Result> {
  if (observer === undefined) return run()
  if (observer.tracer === undefined) return timed(observer, call, run)
  const { layer, name } = call
  const title = layer === 'store' ? `daybook ${name}` : `daybook storage ${name}`
  return observer.tracer.startActiveSpan(title, async (span) => {
    try {
      return await timed(observer, call, run, span)
    } catch (error) {
      span.recordException(error instanceof Error ? error : new Error(String(error)))
      span.setStatus({ code: failed, message: codeOf(error) })
      throw error
    } finally {
      span.end()
    }
  })
}

async function timed<Result>(
  { ended }: Observer,
  { layer, name, size }: Call<Result>,
  run: () => Promise<Result>,
  span?: Span,
): Promise<Result> {
  const started = performance.now()
  const tell = (more: Pick<EndedCall, 'size' | 'error'>) =>
    ended?.({ layer, name, seconds: (performance.now() - started) / 1_000, ...more })
  try {
    const result = await run()
    const counted = typeof size === 'function' ? size(result) : size
    if (counted !== undefined) span?.setAttribute('daybook.size', counted)
    tell(counted === undefined ? {} : { size: counted })
    return result
  } catch (error) {
    tell({ error: codeOf(error), ...(typeof size === 'number' && { size }) })
    throw error
  }
}

function codeOf(error: unknown): ErrorCode | 'unexpected' {
  return isStoreError(error) ? error.code : 'unexpected'
}
