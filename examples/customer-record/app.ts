/** The rows of `routes.ts` as a web application: from requests to rows, from what rows give to answers. */
import { derivedId, type Store } from 'daybook'
import { apiPage } from 'daybook/node'
import { type Context, Hono } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import { type RequestIdVariables, requestId } from 'hono/request-id'
import type * as z from 'zod/mini'
import { Refused } from './domain.ts'
import { openApiDocument } from './openapi.ts'
import { refusalOf } from './refusal.ts'
import { type Route, routes } from './routes.ts'

export interface AppOptions {
  /** Opened with the projections of `views.ts`. */
  readonly store: Store
  readonly log: { error(facts: object, message: string): void }
}

type Env = { Variables: RequestIdVariables & { failure?: 400 | 500 } }

const bodyBytes = 262_144
const keyCharacters = 200

export function createApp({ store, log }: AppOptions): Hono<Env> {
  const app = new Hono<Env>()
  app.use(requestId(), bodyLimit({ maxSize: bodyBytes, onError: () => refuseBody(`is over ${bodyBytes} bytes`) }))
  for (const route of routes) {
    app.on(route.method, pattern(route), async (context) => {
      context.set('failure', route.failure ?? 500)
      const answer = await route.handle({
        store,
        customerId: context.req.param('customerId') ?? '',
        body: route.body && validated(route.body.schema, await readJson(context.req.raw)),
        request: route.idempotent && requestBy(route, context),
      })
      return answer ? answerJson(context, answer) : context.body(null)
    })
  }
  app.get('/openapi/openapi-spec.json', (context) => answerJson(context, openApiDocument(routes)))
  app.get('/openapi/*', async ({ req }, next) => {
    const file = req.path.slice('/openapi/'.length) || 'index.html'
    return (await apiPage(file, 'Customer record')) ?? next()
  })
  app.get('/', (context) => context.redirect('/openapi/'))
  for (const route of routes) {
    app.all(pattern(route), (context) => {
      context.header('Allow', route.method === 'GET' ? 'GET, HEAD' : route.method)
      return answerError(context, 405, { message: `${context.req.method} is not allowed here, but ${route.method} is` })
    })
  }
  app.notFound((context) => answerError(context, 404, { message: 'There is nothing here; GET /openapi/ has what is' }))
  app.onError((error, context) => {
    const refusal = refusalOf(error)
    if (refusal) return answerError(context, 400, refusal)
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
function validated(schema: z.ZodMiniType, value: unknown): unknown {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const byField = Object.groupBy(result.error.issues, ({ path }) => path.join('.') || 'requestBody')
  const messages = Object.entries(byField).map(([field, issues = []]) => [field, issues.map(({ message }) => message)])
  throw new Refused(`${messages[0]?.[0]}: ${messages[0]?.[1]?.[0]}`, { messages: Object.fromEntries(messages) })
}

/** The same key on the same path is the same request. */
function requestBy({ path }: Route, { req }: Context): string | undefined {
  const key = req.header('Idempotency-Key')
  if (key === undefined) return undefined
  if (key !== '' && key.length <= keyCharacters) return derivedId([path, req.param('customerId') ?? null, key])
  const reason = `must have 1 to ${keyCharacters} characters`
  throw new Refused(`Idempotency-Key ${reason}`, { messages: { 'Idempotency-Key': [reason] } })
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
