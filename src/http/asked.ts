/** From a request to what a row gets: parameters, body, the kind of answer wanted, ids by the request's key. */
import * as z from 'zod/mini'
import { pathText } from '../core/encoding.ts'
import type { NewEvent } from '../core/event.ts'
import { derivedId } from '../core/id.ts'
import type { ReadOptions } from '../core/read.ts'
import type { Store } from '../core/store.ts'
import type { Need } from './access.ts'
import { readJson } from './body.ts'
import { invalid } from './problem.ts'
import type { Asked, Feed, Params, Query, Route } from './route.ts'
import { idempotencyKey, type Param } from './wire.ts'

/** What is known of a request before its row is asked. */
export interface Arrived {
  readonly store: Store
  readonly request: Request
  /** The parts of the path by their names, decoded. */
  readonly parts: Readonly<Record<string, string>>
  readonly media: string
  /** Undefined where the server has no access rules. */
  readonly principal: string | undefined
  readonly principalInMeta: boolean
  readonly requestId: string
  readonly feeds: Set<Feed>
  readonly printMetrics: Asked['printMetrics']
  readonly authorize: Asked['authorize']
  /** Aborts when the server stops. */
  readonly closing: AbortSignal | undefined
}

/** Throws `HttpError` or `InvalidArgument` for what the row's schemas refuse, by the names that the client used. */
export async function readAsked(route: Route, arrived: Arrived): Promise<Asked> {
  const { store, request, parts, media, principal, requestId, feeds, printMetrics, authorize, closing } = arrived
  const { pathname, searchParams } = new URL(request.url)
  checkEncoding(pathname)
  const params = readParams(route.params, (name) => (parts[name] === undefined ? [] : [parts[name]])) as Params
  const query = readParams(route.query, (name) => searchParams.getAll(name))
  const headers = readParams(
    { ...route.headers, ...(route.idempotent && { 'Idempotency-Key': idempotencyKey }) },
    (name) => {
      const value = request.headers.get(name)
      return value === null ? [] : [value]
    },
  ) as Params
  const body = route.body && validate(route.body.schema, await readJson(request, route.body.optional))
  const keyed = keyedIds(route, params, principal, headers['Idempotency-Key'])
  const named = arrived.principalInMeta ? principal : undefined
  return {
    store,
    params,
    query,
    headers,
    body,
    media,
    requestId,
    keyed,
    authorize,
    prepare: (events) => prepare(events, keyed, request.headers.get('traceparent'), named),
    get signal() {
      return closing ? AbortSignal.any([request.signal, closing]) : request.signal
    },
    feeds,
    printMetrics,
  }
}

export function streamOf(params: Params): string {
  return `${params['streamType']}/${params['streamId']}`
}

export function readsType({ params }: Asked): readonly Need[] {
  return [{ action: 'read', streamType: String(params['streamType']) }]
}

/** Of what tells how the server and its work are. */
export function operates(): readonly Need[] {
  return [{ action: 'operate' }]
}

/** Of what steers its work, or may quote an event. */
export function manages(): readonly Need[] {
  return [{ action: 'manage' }]
}

/** Which page of a listing a query asks for. */
export function pageOf({ limit, cursor }: Query): { readonly limit?: number; readonly cursor?: string } {
  return {
    ...(limit !== undefined && { limit: Number(limit) }),
    ...(cursor !== undefined && { cursor: String(cursor) }),
  }
}

/** The range that a query asks for, of revisions or of positions by the names of its two ends. */
export function rangeOf(query: Query, after: string, untilOrdinal: string): ReadOptions {
  const { until, direction, limit } = query
  return {
    ...(query[after] !== undefined && { after: Number(query[after]) }),
    ...(query[untilOrdinal] !== undefined && { until: Number(query[untilOrdinal]) }),
    ...(until !== undefined && { asOf: String(until) }),
    ...(direction !== undefined && { direction: direction === 'backwards' ? 'backwards' : 'forwards' }),
    ...(limit !== undefined && { limit: Number(limit) }),
  }
}

function checkEncoding(pathname: string): void {
  try {
    decodeURIComponent(pathname)
  } catch {
    throw invalid({ path: ['is no percent-encoded UTF-8'] })
  }
}

/** Text by a schema of text; a number from its digits. */
function readParams(
  params: Readonly<Record<string, Param>> | undefined,
  textsOf: (name: string) => readonly string[],
): Query {
  const read: Record<string, string | number | readonly string[]> = {}
  for (const [name, { schema, many, required }] of Object.entries(params ?? {})) {
    const texts = textsOf(name)
    if (texts.length === 0 && required) throw invalid({ [name]: ['required'] })
    if (texts.length === 0) continue
    if (texts.length > 1 && !many) throw invalid({ [name]: ['stands twice'] })
    const values = texts.map((text) => {
      const value = schema instanceof z.ZodMiniNumber && /^-?\d{1,17}$/.test(text) ? Number(text) : text
      return validate(schema, value, name)
    })
    read[name] = many ? (values as string[]) : (values[0] as string | number)
  }
  return read
}

function validate(schema: z.ZodMiniType, value: unknown, root = ''): unknown {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const messages: Record<string, string[]> = {}
  for (const { path, message } of result.error.issues) {
    const field = pathText(root, path as (string | number)[]) || 'requestBody'
    messages[field] = [...(messages[field] ?? []), message]
  }
  throw invalid(messages)
}

/** The same request with the same key derives the same ids, so that the store knows the retry for what it is. */
function keyedIds(
  route: Route,
  params: Params,
  principal: string | undefined,
  key: string | number | undefined,
): Asked['keyed'] {
  if (key === undefined) return undefined
  const path = route.path.replaceAll(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(String(params[name])))
  return (kind, ordinal) => derivedId([principal ?? null, route.method, path, key, kind, ordinal])
}

const traceparentPattern = /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/

/**
 * A trace is laid under the events only where a retry is not known by ids: meta is content, and an honest retry, which
 * may come under another trace, must not differ.
 */
function prepare(
  events: readonly NewEvent[],
  keyed: Asked['keyed'],
  traceparent: string | null,
  principal: string | undefined,
): readonly NewEvent[] {
  const repeatable = keyed !== undefined || events.some(({ id }) => id !== undefined)
  const traced = !repeatable && traceparent !== null && traceparentPattern.test(traceparent)
  return events.map((event, ordinal) => ({
    ...event,
    ...(keyed && event.id === undefined && { id: keyed('event', ordinal) }),
    ...((traced || principal !== undefined) && {
      meta: { ...(traced && { traceparent }), ...event.meta, ...(principal !== undefined && { principal }) },
    }),
  }))
}
