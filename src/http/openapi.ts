/** The OpenAPI 3.1 document, made from the rows of the routes and the schemas that validate. */
import * as z from 'zod/mini'
import { limits } from '../core/limits.ts'
import { type ProblemKind, problemKinds, typeOf } from './problem.ts'
import type { Route } from './route.ts'
import { event, stream } from './routes/reference.ts'
import { details, idempotencyKey, newEvent, type Param, problem, recorded } from './wire.ts'

type Json = Readonly<Record<string, unknown>>

const components = {
  Stream: stream,
  Event: event,
  NewEvent: newEvent,
  RecordedEvent: recorded,
  StreamDetails: details,
  Problem: problem,
}
/** Of every route: what any request may meet. */
const commonProblems: readonly ProblemKind[] = [
  'invalid-argument',
  'foreign-origin',
  'rate-limited',
  'internal',
  'storage-failed',
  'master-key-missing',
  'master-key-wrong',
  'encrypted-data-damaged',
  'store-busy',
  'store-closed',
]
const accessProblems: readonly ProblemKind[] = ['unauthenticated', 'forbidden', 'issuer-unreachable']
const bodyProblems: readonly ProblemKind[] = ['limit-exceeded', 'request-too-large', 'unsupported-encoding']

export function openApiDocument(routes: readonly Route[], version: string): Json {
  const paths: Record<string, Record<string, Json>> = {}
  for (const route of routes) {
    const path = route.path.replace('{+', '{')
    paths[path] = { ...paths[path], [route.method.toLowerCase()]: operation({ ...route, path }) }
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Daybook',
      version,
      summary: 'An event store and system of record.',
      description: `Appends are atomic and on disk when they are answered. A body is at most ${limits.requestBytes} bytes, and may be sent with gzip or deflate. A server with access rules wants an API key or a signed token.`,
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
    tags: [...new Set(routes.map(({ tag }) => tag))].map((name) => ({ name })),
    paths,
    components: {
      schemas: Object.fromEntries(Object.entries(components).map(([name, schema]) => [name, jsonSchema(schema)])),
      securitySchemes: { bearer: { type: 'http', scheme: 'bearer', description: 'An API key or a JSON Web Token.' } },
    },
  }
}

function operation(route: Route): Json {
  const { method, path, tag, summary, description, params = {}, query = {}, headers = {}, body, answer } = route
  const parameters = [
    ...Object.entries(params).map(([name, param]) => parameter('path', name, param)),
    ...Object.entries(query).map(([name, param]) => parameter('query', name, param)),
    ...Object.entries(headers).map(([name, param]) => parameter('header', name, param)),
    ...(route.idempotent ? [parameter('header', 'Idempotency-Key', idempotencyKey)] : []),
    ...(answer.page ? [parameter('header', 'If-None-Match', ifNoneMatch)] : []),
  ]
  return {
    operationId: operationId(method, path),
    tags: [tag],
    summary,
    ...(description && { description }),
    // None is needed where the server has no access rules.
    ...(route.needs && { security: [{ bearer: [] }, {}] }),
    ...(parameters.length > 0 && { parameters }),
    ...(body && {
      requestBody: {
        required: body.optional !== true,
        content: { 'application/json': { schema: jsonSchema(body.schema), example: body.example } },
      },
    }),
    responses: { [answer.status]: success(route), ...(answer.page && { 304: notModified }), ...problemsOf(route) },
  }
}

const ifNoneMatch: Param = {
  schema: z.string(),
  description: 'The `ETag` of the page that the client has; if it is still the same, the answer is 304 without a body.',
}
const requestIdHeader = { 'X-Request-Id': { description: "The request's id in the log.", schema: { type: 'string' } } }
const notModified = { description: 'The page is as it was.', headers: requestIdHeader }

function success({ answer }: Route): Json {
  const { schema, description, example, page, media = {} } = answer
  const others = Object.entries(media).map(([type, { description, example }]) => [
    type,
    { schema: { type: 'string', description }, example },
  ])
  const etag = { ETag: { description: 'For `If-None-Match`.', schema: { type: 'string' } } }
  return {
    description,
    headers: { ...requestIdHeader, ...(page && etag) },
    content: {
      ...(schema && { 'application/json': { schema: jsonSchema(schema), ...(example !== undefined && { example }) } }),
      ...Object.fromEntries(others),
    },
  }
}

/** All the problems of a status share one answer; each is an example of it. */
function problemsOf({ body, needs, problems }: Route): Json {
  const kinds = [...commonProblems, ...(needs ? accessProblems : []), ...(body ? bodyProblems : []), ...problems]
  const byStatus = Object.groupBy([...new Set(kinds)], (kind) => problemKinds[kind].status)
  return Object.fromEntries(
    Object.entries(byStatus).map(([status, kinds = []]) => [
      status,
      {
        description: kinds.map((kind) => problemKinds[kind].title).join('; or: '),
        headers: requestIdHeader,
        content: {
          'application/problem+json': {
            schema: { $ref: '#/components/schemas/Problem' },
            examples: Object.fromEntries(kinds.map((kind) => [kind, { value: exampleProblem(kind) }])),
          },
        },
      },
    ]),
  )
}

function exampleProblem(kind: ProblemKind): Json {
  const { status, title } = problemKinds[kind]
  const details = kind === 'invalid-argument' ? { messages: { 'event.eventType': ['required'] } } : null
  return {
    type: typeOf(kind),
    title,
    status,
    message: title,
    requestId: '9f40ad5d-f2b4-40b5-8e0a-9e761f63a9d8',
    details,
    ...exampleFacts[kind],
  }
}

/** What a problem says beside its own text, where clients use it. */
const exampleFacts: Partial<Record<ProblemKind, Json>> = {
  'revision-conflict': { stream: 'permit/case-891', expected: 1, actual: 2 },
  'condition-failed': { stream: 'order/17', revision: 3, position: 8_577 },
  'event-id-reused': { id: 'b8f7c2f0', stream: 'order/17', revision: 3 },
  'stream-not-found': { stream: 'permit/case-891' },
  'stream-forgotten': { stream: 'customer/42' },
  'subject-forgotten': { subject: 'customer/42' },
  'subject-exposed': { subject: 'customer/42', streams: ['order/17'] },
  'limit-exceeded': { limit: 'appendEvents', allowed: limits.appendEvents, actual: 1_200 },
  'position-beyond-head': { position: 9_000, head: 8_577 },
  forbidden: { scope: 'append:permit' },
  'rate-limited': { retryAfterMs: 400 },
  'store-busy': { retryAfterMs: 100 },
}

function parameter(place: 'path' | 'query' | 'header', name: string, param: Param): Json {
  const { schema, description, example, many } = param
  const required = place === 'path' || param.required === true
  // The page fills examples in; what need not be sent should not be sent just because it has one.
  const told = required || example === undefined ? '' : ` For example \`${example}\`.`
  return {
    name,
    in: place,
    required,
    description: description + told,
    schema: many === undefined ? jsonSchema(schema) : { type: 'array', items: jsonSchema(schema), maxItems: many },
    ...(required && example !== undefined && { example }),
  }
}

/** `GET /streams/{streamType}` → `getStreamsByStreamType`. */
function operationId(method: string, path: string): string {
  const words = path.split(/[/-]/).filter((part) => part !== '')
  return (
    method.toLowerCase() +
    words.map((part) => (part.startsWith('{') ? `By${capital(part.slice(1, -1))}` : capital(part))).join('')
  )
}

function capital(word: string): string {
  return word.charAt(0).toUpperCase() + word.slice(1)
}

function jsonSchema(schema: z.ZodMiniType): Json {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { unrepresentable: 'any', io: 'input' }) as Record<
    string,
    unknown
  >
  return rest
}
