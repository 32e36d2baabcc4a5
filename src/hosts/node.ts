/** The Node host: a listening server around the app, with what only Node has: sockets, files, a log, process metrics. */
import { readFile } from 'node:fs/promises'
import type { Server as HttpServer } from 'node:http'
import { serve as listen } from '@hono/node-server'
import pino, { type Logger } from 'pino'
import { InvalidArgument, StorageFailed } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import { RateLimited } from '../core/request-errors.ts'
import type { Store } from '../core/store.ts'
import type { Access } from '../http/access.ts'
import { type App, type AppOptions, createApp } from '../http/app.ts'
import { apiPage } from './api-page.ts'
import { createMetrics, type ServerMetrics } from './metrics.ts'
import { traceRequest } from './trace.ts'

export { apiPage } from './api-page.ts'
export { type MasterKeyPlace, readMasterKey } from './master-key.ts'
export { createMetrics } from './metrics.ts'
export { processTracer } from './trace.ts'
export { startWorkers, type Workers, type WorkersOptions } from './workers.ts'

export interface ServeOptions extends Pick<AppOptions, 'corsOrigins' | 'principalInMeta'> {
  readonly store: Store
  /** Default 8080; 0 takes any free one. */
  readonly port?: number
  /** Default 127.0.0.1; beyond this machine only with access rules. */
  readonly host?: string
  /** Who may do what. */
  readonly access?: Access
  /** Names beside those of this machine by which a server without access rules may be asked. */
  readonly trustedHosts?: readonly string[]
  /** Requests a second that each principal may send; without access rules, that all may send together. */
  readonly ratePerSecond?: number
  /** Default: one that writes JSON lines to the standard output. */
  readonly logger?: Logger
  /** Whose `ended` the store's observer has; default: one that counts requests alone. */
  readonly metrics?: ServerMetrics
}

export interface Server {
  /** Where it listens: `http://127.0.0.1:8080`. */
  readonly url: string
  readonly app: App
  /** Takes no new connection, answers what was accepted, ends feeds, then closes. The store stays open. */
  close(): Promise<void>
}

/** Throws `InvalidArgument` for a place that may not be listened at, `StorageFailed` where the port cannot be had. */
export async function serve(options: ServeOptions): Promise<Server> {
  const { store, port = 8080, host = '127.0.0.1', logger = pino(), access, trustedHosts = [], ratePerSecond } = options
  checkPlace(host, port, access)
  const closing = new AbortController()
  const app = createApp({
    store,
    version: await packageVersion(),
    ...(access ? { access } : { localHosts: trustedHosts }),
    ...(options.corsOrigins && { corsOrigins: options.corsOrigins }),
    ...(ratePerSecond !== undefined && { limitRate: await rateLimiter(ratePerSecond) }),
    ...(options.principalInMeta !== undefined && { principalInMeta: options.principalInMeta }),
    log: logger,
    metrics: (options.metrics ?? createMetrics()).of(store),
    trace: traceRequest,
    page: apiPage,
    closing: closing.signal,
  })
  const server = await start(app, host, port)
  const address = server.address()
  const actualPort = typeof address === 'object' && address !== null ? address.port : port
  const url = `http://${host.includes(':') ? `[${host}]` : host}:${actualPort}`
  logger.info({ url, access: access ? Object.keys(access) : [] }, 'listening')
  let closed: Promise<void> | undefined
  return {
    url,
    app,
    close() {
      closing.abort()
      closed ??= stop(server, logger)
      return closed
    },
  }
}

/** Whoever reaches the port may read and forget everything, so without access rules only this machine may. */
function checkPlace(host: string, port: number, access: Access | undefined): void {
  if (!Number.isInteger(port) || port < 0 || port > 65_535) throw new InvalidArgument('port', 'must be 0 to 65535')
  if (access?.keys || access?.jwt) return
  if (host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host)) return
  const mend = 'make an API key ("daybook keys add"), or name a token issuer (--jwt-jwks, --jwt-issuer, --jwt-audience)'
  throw new InvalidArgument('host', `"${host}" is beyond this machine, and there are no access rules: ${mend}`)
}

/** So many in each second, counted by principal. */
async function rateLimiter(perSecond: number): Promise<(principal: string) => Promise<void>> {
  if (!Number.isInteger(perSecond) || perSecond < 1) throw new InvalidArgument('ratePerSecond', 'must be 1, 2, 3 …')
  const { RateLimiterMemory } = await import('rate-limiter-flexible')
  const limiter = new RateLimiterMemory({ points: perSecond, duration: 1 })
  return async (principal) => {
    try {
      await limiter.consume(principal)
    } catch (refused) {
      throw new RateLimited((refused as { readonly msBeforeNext: number }).msBeforeNext)
    }
  }
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

async function packageVersion(): Promise<string> {
  const text = await readFile(new URL('../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}
