/**
 * The HTTP API as a function from request to response, for any runtime. Hosts bring what only they have: a log, metrics,
 * the files of the interactive page.
 */
import { Hono } from 'hono'
import * as z from 'zod/mini'
import { InvalidArgument, isStoreError } from '../core/errors.ts'
import { derivedId } from '../core/id.ts'
import type { Store } from '../core/store.ts'
import { readJson } from './body.ts'
import { openApiDocument } from './openapi.ts'
import { HttpError, invalid, problemOf } from './problem.ts'
import type { Asked, Route } from './route.ts'
import { routes } from './routes.ts'
import { idempotencyKey, type Param } from './wire.ts'

export interface AppOptions {
  readonly store: Store
  readonly version: string
  readonly log?: RequestLog
  readonly metrics?: Metrics
  /** A file of the interactive page by its name (`index.html`), as a response; undefined for what is none of it. */
  readonly page?: (file: string) => Promise<Response | undefined>
}

export interface RequestLog {
  info(facts: object, message: string): void
  error(facts: object, message: string): void
}

export interface Metrics {
  /** `route` is the row's path with its names in braces, or "other". */
  observe(request: { method: string; route: string; status: number; seconds: number }): void
  /** Prometheus text. */
  print(): Promise<Response>
}

export interface App {
  fetch(request: Request): Promise<Response>
}

export function createApp(options: AppOptions): App {
  const { store, version, log, metrics, page } = options
  const hono = new Hono()
  const document = JSON.stringify(openApiDocument(routes, version), null, 2)

  for (const route of routes) {
    hono.on(route.method, honoPath(route.path), ({ req }) =>
      watch(req.raw, route.path, () => serve(route, req.raw, req.param())),
    )
  }
  hono.get('/openapi/openapi-spec.json', () => new Response(document, { headers: jsonHeaders }))
  hono.get('/openapi/', async ({ req }) => (await page?.('index.html')) ?? fallback(req.raw))
  hono.get('/openapi/:file', async ({ req }) => (await page?.(req.param('file'))) ?? fallback(req.raw))
  hono.get('/metrics', ({ req }) => metrics?.print() ?? fallback(req.raw))
  for (const [path, methods] of methodsByPath()) {
    hono.all(honoPath(path), ({ req }) => watch(req.raw, path, () => notAllowed(req.method, methods)))
  }
  hono.all('*', ({ req }) => fallback(req.raw))

  /** One request, with its id, its log line, its measure, and its problem if it has one. */
  async function watch(request: Request, route: string, run: () => Promise<Response>): Promise<Response> {
    const requestId = crypto.randomUUID()
    const started = performance.now()
    const { method, url } = request
    const path = new URL(url).pathname
    let response: Response
    try {
      response = await run()
    } catch (error) {
      const { problem, headers, unexpected } = problemOf(error, requestId)
      if (unexpected) log?.error({ requestId, method, path, err: error }, 'request failed')
      response = new Response(print(problem), {
        status: problem.status,
        headers: { ...jsonHeaders, 'content-type': 'application/problem+json', ...headers },
      })
    }
    response.headers.set('x-request-id', requestId)
    const ms = performance.now() - started
    metrics?.observe({ method, route, status: response.status, seconds: ms / 1_000 })
    log?.info({ requestId, method, path, status: response.status, ms: Math.round(ms * 10) / 10 }, 'request completed')
    return response
  }

  async function serve(route: Route, request: Request, raw: Readonly<Record<string, string>>) {
    const { pathname, searchParams } = new URL(request.url)
    checkEncoding(pathname)
    const params = readParams(route.params, (name) => raw[name])
    const query = readParams(route.query, (name) => onlyValue(searchParams, name))
    const headers = readParams(route.idempotent && { 'Idempotency-Key': idempotencyKey }, (name) =>
      request.headers.get(name),
    )
    try {
      const body = route.body && validate(route.body.schema, await readJson(request))
      const keyed = keyedIds(route, params, headers['Idempotency-Key'])
      const answer = await route.handle({ store, params, query, body, keyed })
      return new Response(print(answer), { status: route.answer.status, headers: jsonHeaders })
    } catch (error) {
      throw inTheNamesOf(route, error)
    }
  }

  function fallback(request: Request): Promise<Response> {
    return watch(request, 'other', async () => {
      if (request.method === 'GET' || request.method === 'HEAD') {
        return new Response('', { status: 301, headers: { location: '/openapi/' } })
      }
      throw new HttpError(404, 'unknown-path', 'There is nothing here; GET /openapi/ tells what there is')
    })
  }

  return { fetch: async (request) => hono.fetch(request) }
}

const jsonHeaders = { 'content-type': 'application/json', 'x-content-type-options': 'nosniff' }

/** The reference API indents its answers by two. */
function print(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`
}

function honoPath(path: string): string {
  return path.replaceAll(/\{(\w+)\}/g, ':$1')
}

function methodsByPath(): ReadonlyMap<string, readonly string[]> {
  const methods = new Map<string, string[]>([
    ['/metrics', ['GET']],
    ['/openapi/openapi-spec.json', ['GET']],
    ['/openapi/', ['GET']],
  ])
  for (const { path, method } of routes) methods.set(path, [...(methods.get(path) ?? []), method])
  return methods
}

async function notAllowed(method: string, methods: readonly string[]): Promise<never> {
  const allow = [...methods, ...(methods.includes('GET') ? ['HEAD'] : [])].join(', ')
  throw new HttpError(405, 'method-not-allowed', `${method} is not allowed here; allowed: ${allow}`, {
    headers: { allow },
  })
}

function checkEncoding(pathname: string): void {
  try {
    decodeURIComponent(pathname)
  } catch {
    throw invalid({ path: ['is no percent-encoded UTF-8'] })
  }
}

function onlyValue(searchParams: URLSearchParams, name: string): string | null {
  const [value = null, ...more] = searchParams.getAll(name)
  if (more.length > 0) throw invalid({ [name]: ['stands twice'] })
  return value
}

/** Text by a schema of text; a number from its digits. */
function readParams(
  params: Readonly<Record<string, Param>> | undefined,
  textOf: (name: string) => string | null | undefined,
): Readonly<Record<string, string | number>> {
  const read: Record<string, string | number> = {}
  for (const [name, { schema }] of Object.entries(params ?? {})) {
    const text = textOf(name)
    if (text === null || text === undefined) continue
    const value = schema instanceof z.ZodMiniNumber && /^-?\d{1,17}$/.test(text) ? Number(text) : text
    read[name] = validate(schema, value, name) as string | number
  }
  return read
}

function validate(schema: z.ZodMiniType, value: unknown, root = ''): unknown {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const messages: Record<string, string[]> = {}
  for (const { path, message } of result.error.issues) {
    const field = [...(root === '' ? [] : [root]), ...path].join('.') || 'requestBody'
    messages[field] = [...(messages[field] ?? []), message]
  }
  throw invalid(messages)
}

/** The same request with the same key derives the same ids, so that the store knows the retry for what it is. */
function keyedIds(route: Route, params: Asked['params'], key: string | number | undefined): Asked['keyed'] {
  if (key === undefined) return undefined
  const path = route.path.replaceAll(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(String(params[name])))
  return (kind, ordinal) => derivedId([null, route.method, path, key, kind, ordinal])
}

/** The core speaks of `events[0].data`; the client sent `event.payload`. */
function inTheNamesOf(route: Route, error: unknown): unknown {
  if (!isStoreError(error, 'invalid-argument')) return error
  const { path, reason } = error as InvalidArgument
  for (const [theirs, ours] of Object.entries(route.fields ?? {})) {
    if (path.startsWith(theirs)) return new InvalidArgument(ours + path.slice(theirs.length), reason)
  }
  return error
}
