/**
 * The HTTP API as a function from request to response, for any runtime. Hosts bring what only they have: a log, metrics,
 * traces, the files of the interactive page.
 */
import { type Context, Hono } from 'hono'
import { accepts } from 'hono/accepts'
import { compress } from 'hono/compress'
import { cors } from 'hono/cors'
import { utf8Length } from '../core/encoding.ts'
import { InvalidArgument, isStoreError, SchemaViolation, StoreClosed } from '../core/errors.ts'
import type { Store } from '../core/store.ts'
import { type Access, authenticate, authorize, type Principal } from './access.ts'
import { readAsked } from './asked.ts'
import { checkBrowser } from './browser.ts'
import { openApiDocument } from './openapi.ts'
import { HttpError, problemOf } from './problem.ts'
import type { Asked, Feed, Route } from './route.ts'
import { routes } from './routes.ts'

export interface AppOptions {
  readonly store: Store
  readonly version: string
  /** Who may do what; left out, whoever reaches the server may do everything. */
  readonly access?: Access
  /** Names beside those of this machine by which browsers may ask a server without access rules; left out, any name. */
  readonly localHosts?: readonly string[]
  /** Origins whose pages may ask; default none but the server's own. */
  readonly corsOrigins?: readonly string[]
  /** Throws `RateLimited` for a principal (or for all, where there are none) that asks too often. */
  readonly limitRate?: (principal: string) => Promise<void>
  /** Writes the principal's name into the `meta` of what it appends. */
  readonly principalInMeta?: boolean
  readonly log?: RequestLog
  readonly metrics?: Metrics
  /** Runs a request in the trace that its headers name. */
  readonly trace?: (request: Request, route: string, run: () => Promise<Response>) => Promise<Response>
  /** A file of the interactive page by its name (`index.html`), as a response; undefined for what is none of it. */
  readonly page?: (file: string) => Promise<Response | undefined>
  /** Ends the feeds, which would never end by themselves. */
  readonly closing?: AbortSignal
}

export interface RequestLog {
  info(facts: object, message: string): void
  error(facts: object, message: string): void
}

export interface Metrics {
  /** `route` is the row's path with its names in braces, or "other". */
  observe(request: { method: string; route: string; status: number; seconds: number }): void
  /** Prometheus text. */
  print(feeds: ReadonlySet<Feed>): Promise<Response>
}

export interface App {
  fetch(request: Request): Promise<Response>
}

export function createApp(options: AppOptions): App {
  const { store, version, access, corsOrigins = [], log, metrics, trace, page } = options
  const hono = new Hono()
  const document = JSON.stringify(openApiDocument(routes, version), null, 2)
  const feeds = new Set<Feed>()

  if (corsOrigins.length > 0) hono.use('*', cors({ origin: [...corsOrigins], exposeHeaders: exposed, maxAge: 600 }))
  hono.get('*', compress({ contentTypeFilter: (type) => !type.startsWith('text/event-stream') }))
  for (const route of routes) {
    hono.on(route.method, honoPath(route.path), (context) =>
      watch(context.req.raw, route.path, (requestId) =>
        serve(route, context, requestId).catch((error: unknown) => Promise.reject(inTheNamesOf(route, error))),
      ),
    )
  }
  hono.get('/openapi/openapi-spec.json', () => new Response(document, { headers: jsonHeaders }))
  hono.get('/openapi/', async ({ req }) => (await page?.('index.html')) ?? fallback(req.raw))
  hono.get('/openapi/:file', async ({ req }) => (await page?.(req.param('file'))) ?? fallback(req.raw))
  for (const [path, methods] of methodsByPath()) {
    hono.all(honoPath(path), ({ req }) => watch(req.raw, path, () => notAllowed(req.method, methods)))
  }
  hono.all('*', ({ req }) => fallback(req.raw))

  /** One request, with its id, its log line, its measure, and its problem if it has one. */
  async function watch(
    request: Request,
    route: string,
    run: (requestId: string) => Promise<Response>,
  ): Promise<Response> {
    const requestId = crypto.randomUUID()
    const started = performance.now()
    const { method, url } = request
    const path = new URL(url).pathname
    const answer = async () => {
      try {
        return await run(requestId)
      } catch (error) {
        const { problem, headers, unexpected } = problemOf(error, requestId)
        if (unexpected && !request.signal.aborted) log?.error({ requestId, method, path, err: error }, 'request failed')
        const text = printJson(problem)
        return new Response(text, {
          status: problem.status,
          headers: {
            ...jsonHeaders,
            'content-type': 'application/problem+json',
            ...headers,
            ...lengthOf(text, request),
          },
        })
      }
    }
    const response = await (trace ? trace(request, route, answer) : answer())
    response.headers.set('x-request-id', requestId)
    const ms = performance.now() - started
    metrics?.observe({ method, route, status: response.status, seconds: ms / 1_000 })
    log?.info({ requestId, method, path, status: response.status, ms: Math.round(ms * 10) / 10 }, 'request completed')
    return response
  }

  /** Whose request it is, before anything of it is read that costs. */
  async function identify(request: Request): Promise<Principal | undefined> {
    if (options.localHosts) checkBrowser(request, options.localHosts, corsOrigins)
    const principal = access && (await authenticate(access, request.headers))
    await options.limitRate?.(principal?.name ?? '')
    return principal
  }

  async function serve(route: Route, context: Context, requestId: string): Promise<Response> {
    const request = context.req.raw
    const principal = route.needs && (await identify(request))
    const asked: Asked = await readAsked(route, {
      store,
      request,
      parts: context.req.param() as Readonly<Record<string, string>>,
      media: mediaOf(route, context),
      principal: principal?.name,
      principalInMeta: options.principalInMeta ?? false,
      requestId,
      feeds,
      printMetrics: metrics && (() => metrics.print(feeds)),
      authorize: async () => {
        if (access) authorize(await authenticate(access, request.headers), route.needs?.(asked) ?? [])
      },
      closing: options.closing,
    })
    if (principal) authorize(principal, route.needs?.(asked) ?? [])
    const answer = await route.handle(asked).catch((error: unknown) => {
      // It was made to end: by the server that stops, or by a client who has gone and sees no answer.
      throw asked.signal.aborted && error === asked.signal.reason ? new StoreClosed() : error
    })
    const facts = {
      audit: true,
      requestId,
      principal: principal?.name ?? null,
      method: route.method,
      route: route.path,
    }
    if (route.wrote) log?.info({ ...facts, wrote: route.wrote(answer) }, 'written')
    if (route.manages) log?.info({ ...facts, ...asked.params }, 'managed')
    return answer instanceof Response ? answer : respond(route, request, answer)
  }

  function fallback(request: Request): Promise<Response> {
    return watch(request, 'other', async () => {
      if (request.method === 'GET' || request.method === 'HEAD') {
        return new Response('', { status: 301, headers: { location: '/openapi/' } })
      }
      throw new HttpError('unknown-path', 'There is nothing here; GET /openapi/ tells what there is')
    })
  }

  return { fetch: async (request) => hono.fetch(request) }
}

const jsonHeaders = { 'content-type': 'application/json', 'x-content-type-options': 'nosniff' }
/** What a page of another origin may read of an answer beside its body. */
const exposed = ['etag', 'retry-after', 'x-request-id']

/** The reference API indents its answers by two. */
function printJson(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`
}

async function respond({ answer }: Route, request: Request, value: unknown): Promise<Response> {
  const { status, page } = answer
  const text = printJson(value)
  if (!page) return new Response(text, { status, headers: { ...jsonHeaders, ...lengthOf(text, request) } })
  // Not even an old page may be shown without asking: what is forgotten must be gone.
  const etag = `"${await digest(text)}"`
  const headers = { ...jsonHeaders, etag, 'cache-control': 'private, no-cache' }
  const known = request.headers.get('if-none-match')?.split(',')
  const same = known?.some((tag) => ['*', etag].includes(tag.trim().replace(/^W\//, '')))
  return same
    ? new Response(null, { status: 304, headers })
    : new Response(text, { status, headers: { ...headers, ...lengthOf(text, request) } })
}

/** Told for short answers, which are then not compressed: it would make them longer. */
function lengthOf(text: string, { method }: Request): { 'content-length'?: string } {
  if (method !== 'GET' || text.length >= 1_024) return {}
  return { 'content-length': String(utf8Length(text)) }
}

async function digest(text: string): Promise<string> {
  const hash = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text))
  return btoa(String.fromCharCode(...new Uint8Array(hash, 0, 18)))
}

/** Of what the row offers, what the client would rather have. A HEAD never begins a feed. */
function mediaOf({ answer }: Route, context: Context): string {
  const json = 'application/json'
  if (answer.media === undefined || context.req.raw.method === 'HEAD') return json
  return accepts(context, { header: 'Accept', supports: [json, ...Object.keys(answer.media)], default: json })
}

function honoPath(path: string): string {
  return path.replaceAll(/\{(\w+)\}/g, ':$1').replaceAll(/\{\+(\w+)\}/g, ':$1{[^]+}')
}

function methodsByPath(): ReadonlyMap<string, readonly string[]> {
  const methods = new Map<string, string[]>([
    ['/openapi/openapi-spec.json', ['GET']],
    ['/openapi/', ['GET']],
  ])
  for (const { path, method } of routes) methods.set(path, [...(methods.get(path) ?? []), method])
  return methods
}

async function notAllowed(method: string, methods: readonly string[]): Promise<never> {
  const allow = [...methods, ...(methods.includes('GET') ? ['HEAD'] : [])].join(', ')
  throw new HttpError('method-not-allowed', `${method} is not allowed here; allowed: ${allow}`, {
    headers: { allow },
  })
}

/** The core speaks of `events[0].data`; the client sent `event.payload`. */
function inTheNamesOf(route: Route, error: unknown): unknown {
  if (!isStoreError(error, 'invalid-argument') && !isStoreError(error, 'schema-violation')) return error
  const { path } = error as InvalidArgument | SchemaViolation
  const [theirs, ours] = Object.entries(route.fields ?? {}).find(([theirs]) => path.startsWith(theirs)) ?? []
  if (theirs === undefined) return error
  const renamed = `${ours}${path.slice(theirs.length)}`
  return isStoreError(error, 'invalid-argument')
    ? new InvalidArgument(renamed, (error as InvalidArgument).reason)
    : new SchemaViolation({ ...(error as SchemaViolation), path: renamed })
}
