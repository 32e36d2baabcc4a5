/** Rows as a web application: from requests to rows, from what rows give to answers. */
import { derivedId, type Store } from 'daybook'
import { apiPage } from 'daybook/node'
import { type Context, Hono } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import { type RequestIdVariables, requestId } from 'hono/request-id'
import * as z from 'zod/mini'
import { type About, openApiDocument } from './openapi.ts'
import { invalid, NotThere, Refused, refusalOf, type Words } from './refused.ts'
import type { Route } from './route.ts'

export interface AppOptions {
  readonly store: Store
  readonly log: { error(facts: object, message: string): void }
}

export interface Application extends About {
  readonly routes: readonly Route[]
  readonly words: Words
  /** Of a request; default 262,144. */
  readonly bodyBytes?: number
}

export type WebApp = Hono<Env>

type Env = { Variables: RequestIdVariables & { failure?: 400 | 500 } }

const keyCharacters = 200

export function webApp(application: Application, { store, log }: AppOptions): WebApp {
  const { routes, words, title, bodyBytes = 262_144 } = application
  const app = new Hono<Env>()
  app.use(requestId(), bodyLimit({ maxSize: bodyBytes, onError: () => refuseBody(`is over ${bodyBytes} bytes`) }))
  for (const route of routes) {
    app.on(route.method, pattern(route), async (context, next) => {
      const { req } = context
      if (route.needs !== undefined && req.query(route.needs) === undefined) return next()
      context.set('failure', route.failure ?? 500)
      const answerHeaders = new Headers()
      const answer = await route.handle({
        store,
        path: req.param() as Readonly<Record<string, string>>,
        query: validated(z.object(route.query ?? {}), req.query()),
        body: route.body && validated(route.body.schema, await readJson(req.raw)),
        request: route.idempotent && requestBy(route, context),
        url: new URL(req.url),
        headers: req.raw.headers,
        answerHeaders,
      })
      for (const [name, value] of answerHeaders) context.header(name, value)
      if (answer === undefined) return context.body(null)
      return typeof answer === 'string' ? context.text(`${answer}\n`) : answerJson(context, answer)
    })
  }
  app.get('/openapi/openapi-spec.json', (context) => answerJson(context, openApiDocument(application)))
  app.get('/openapi/*', async ({ req }, next) => {
    const file = req.path.slice('/openapi/'.length) || 'index.html'
    return (await apiPage(file, title)) ?? next()
  })
  app.get('/', (context) => context.redirect('/openapi/'))
  for (const route of routes) {
    const methods = routes.filter(({ path }) => path === route.path).map(({ method }) => method)
    const allowed = methods.flatMap((method) => (method === 'GET' ? ['GET', 'HEAD'] : [method])).join(', ')
    app.all(pattern(route), (context) => {
      context.header('Allow', allowed)
      return answerError(context, 405, { message: `${context.req.method} is not allowed here, but ${allowed}` })
    })
  }
  app.notFound((context) => answerError(context, 404, { message: 'There is nothing here; GET /openapi/ has what is' }))
  app.onError((error, context) => {
    const refusal = refusalOf(error, words)
    if (refusal) return answerError(context, refusal instanceof NotThere ? 404 : 400, refusal)
    const { req, var: about } = context
    log.error({ requestId: about.requestId, method: req.method, path: req.path, err: error }, 'request failed')
    const message = `Something went wrong here; it was logged under ${about.requestId}`
    return answerError(context, about.failure ?? 500, { message })
  })
  return app
}

/** As Hono writes it. */
function pattern({ path }: Route): string {
  return path.replaceAll(/\{(\w+)\}/g, ':$1')
}

/** In a JSON text, null is as good as left out. */
async function readJson(request: Request): Promise<unknown> {
  const bytes = await request.arrayBuffer()
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
    return JSON.parse(text, (_, value) => value ?? undefined)
  } catch {
    return refuseBody('is no JSON')
  }
}

function refuseBody(reason: string): never {
  throw new Refused(`The body ${reason}`, { messages: { requestBody: [reason] } })
}

/** What the schema makes of it: fields that it does not name are gone. Tells of each field what is wrong with it. */
function validated<Output>(schema: z.ZodMiniType<Output>, value: unknown): Output {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const byField = Object.groupBy(result.error.issues, ({ path }) => path.join('.') || 'requestBody')
  throw invalid(
    Object.entries(byField).map(([field, issues = []]) => [field, issues.map(({ message }) => message)] as const),
  )
}

/** The same key to the same path is the same request. */
function requestBy({ method, path }: Route, { req }: Context): string | undefined {
  const key = req.header('Idempotency-Key')
  if (key === undefined) return undefined
  if (key === '' || key.length > keyCharacters) {
    throw invalid([['Idempotency-Key', [`must have 1 to ${keyCharacters} characters`]]])
  }
  return derivedId([method, path, ...Object.values(req.param()), key])
}

function answerError(
  context: Context<Env>,
  status: 400 | 404 | 405 | 500,
  { message, details = null }: { readonly message: string; readonly details?: object | null },
): Response {
  context.status(status)
  return answerJson(context, { message, requestId: context.var.requestId, details })
}

/** A line, for those who read it in a terminal. */
function answerJson(context: Context<Env>, value: object): Response {
  return context.body(`${JSON.stringify(value)}\n`, { headers: { 'Content-Type': 'application/json' } })
}
