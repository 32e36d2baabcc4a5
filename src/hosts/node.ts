/** The Node host: a listening server around the app, with what only Node has: sockets, files, a log, process metrics. */
import { readFile } from 'node:fs/promises'
import type { Server as HttpServer } from 'node:http'
import { serve as listen } from '@hono/node-server'
import pino, { type Logger } from 'pino'
import { collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import { InvalidArgument, StorageFailed } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import type { Store } from '../core/store.ts'
import { type App, createApp, type Metrics } from '../http/app.ts'

export interface ServeOptions {
  readonly store: Store
  /** Default 8080; 0 takes any free one. */
  readonly port?: number
  /** Default 127.0.0.1. */
  readonly host?: string
  /** Default: one that writes JSON lines to the standard output. */
  readonly logger?: Logger
}

export interface Server {
  /** Where it listens: `http://127.0.0.1:8080`. */
  readonly url: string
  readonly app: App
  /** Takes no new connection, answers what was accepted, then closes. The store stays open. */
  close(): Promise<void>
}

/** Throws `InvalidArgument` for a place that may not be listened at, `StorageFailed` where the port cannot be had. */
export async function serve(options: ServeOptions): Promise<Server> {
  const { store, port = 8080, host = '127.0.0.1', logger = pino() } = options
  checkPlace(host, port)
  const app = createApp({
    store,
    version: await packageVersion(),
    log: logger,
    metrics: createMetrics(store),
    page: interactivePage,
  })
  const server = await start(app, host, port)
  const address = server.address()
  const actualPort = typeof address === 'object' && address !== null ? address.port : port
  const url = `http://${host.includes(':') ? `[${host}]` : host}:${actualPort}`
  logger.info({ url }, 'listening')
  let closing: Promise<void> | undefined
  return {
    url,
    app,
    close() {
      closing ??= stop(server, logger)
      return closing
    },
  }
}

/** Whoever reaches the port may read and forget everything, so only this machine may, until there are access rules. */
function checkPlace(host: string, port: number): void {
  if (!Number.isInteger(port) || port < 0 || port > 65_535) throw new InvalidArgument('port', 'must be 0 to 65535')
  if (host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host)) return
  const mend = 'listen on 127.0.0.1 and put a proxy that authenticates in front'
  throw new InvalidArgument('host', `"${host}" is beyond this machine, and there are no access rules yet; ${mend}`)
}

function start(app: App, host: string, port: number): Promise<HttpServer> {
  return new Promise((resolve, reject) => {
    const server = listen(
      {
        fetch: app.fetch,
        hostname: host,
        port,
        serverOptions: {
          requestTimeout: limits.requestMs,
          headersTimeout: limits.headersMs,
          maxHeaderSize: limits.headerBytes,
          connectionsCheckingInterval: 1_000,
        },
      },
      () => resolve(server),
    ) as HttpServer
    server.once('error', (error) => reject(new StorageFailed(`listen on ${host}:${port}`, error)))
  })
}

async function stop(server: HttpServer, logger: Logger): Promise<void> {
  logger.info({}, 'stopping')
  const closed = new Promise<void>((resolve) => server.close(() => resolve()))
  // A connection that was kept alive closes once its last answer is out.
  const idle = setInterval(() => server.closeIdleConnections(), 20)
  const late = setTimeout(() => server.closeAllConnections(), limits.shutdownMs)
  await closed
  clearInterval(idle)
  clearTimeout(late)
  logger.info({}, 'stopped')
}

function createMetrics(store: Store): Metrics {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  const requests = new Histogram({
    name: 'daybook_http_request_seconds',
    help: 'Time to answer a request.',
    labelNames: ['method', 'route', 'status'],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    registers: [registry],
  })
  const head = new Gauge({ name: 'daybook_log_head', help: 'Position of the newest event.', registers: [registry] })
  const storage = new Gauge({
    name: 'daybook_storage',
    help: 'What the storage tells of itself, by name and unit.',
    labelNames: ['gauge'],
    registers: [registry],
  })
  return {
    observe({ method, route, status, seconds }) {
      requests.observe({ method, route, status }, seconds)
    },
    async print() {
      const info = await store.info()
      head.set(info.head)
      for (const [gauge, value] of Object.entries(info.gauges)) storage.set({ gauge }, value)
      return new Response(await registry.metrics(), { headers: { 'content-type': registry.contentType } })
    },
  }
}

const pageTypes: Readonly<Record<string, string>> = {
  'index.html': 'text/html; charset=utf-8',
  'openapi.js': 'text/javascript; charset=utf-8',
  'swagger-ui.css': 'text/css; charset=utf-8',
  'swagger-ui-bundle.js': 'text/javascript; charset=utf-8',
}

/** The page and all that it loads come from here, so that it works without internet. */
async function interactivePage(file: string): Promise<Response | undefined> {
  const type = pageTypes[file]
  if (type === undefined) return undefined
  const body =
    file === 'index.html' ? pageHtml : file === 'openapi.js' ? pageScript : await readFile(await pageFile(file))
  return new Response(body, {
    headers: {
      'content-type': type,
      'content-security-policy': "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:",
      'cache-control': 'max-age=3600',
    },
  })
}

/** The build puts Swagger UI beside this file; from source it is the repository's own. */
async function pageFile(file: string): Promise<URL> {
  return import.meta.url.endsWith('.ts')
    ? new URL(import.meta.resolve(`swagger-ui-dist/${file}`))
    : new URL(`./openapi/${file}`, import.meta.url)
}

const pageHtml = `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>Daybook API</title>
    <link rel="stylesheet" href="swagger-ui.css">
    <link rel="icon" href="data:,">
  </head>
  <body>
    <div id="page"></div>
    <script src="swagger-ui-bundle.js"></script>
    <script src="openapi.js"></script>
  </body>
</html>
`

const pageScript = `SwaggerUIBundle({ url: 'openapi-spec.json', dom_id: '#page', deepLinking: true, tryItOutEnabled: true })
`

async function packageVersion(): Promise<string> {
  const text = await readFile(new URL('../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}
