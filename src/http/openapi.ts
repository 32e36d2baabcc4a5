/** The OpenAPI 3.1 document, made from the rows of the routes and the schemas that validate. */
import * as z from 'zod/mini'
import { limits } from '../core/limits.ts'
import { statusTitle } from './problem.ts'
import type { Route } from './route.ts'
import { event, idempotencyKey, type Param, problem, stream } from './wire.ts'

type Json = Readonly<Record<string, unknown>>

const components = { Stream: stream, Event: event, Problem: problem }
/** Of every route: what any request may meet. */
const commonProblems = [400, 500, 503]
const bodyProblems = [413, 415]

export function openApiDocument(routes: readonly Route[], version: string): Json {
  const paths: Record<string, Record<string, Json>> = {}
  for (const route of routes) {
    paths[route.path] = { ...paths[route.path], [route.method.toLowerCase()]: operation(route) }
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Daybook',
      version,
      summary: 'An event store and system of record.',
      description: `Appends are atomic and on disk when they are answered. A body is at most ${limits.requestBytes} bytes.`,
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
    tags: [...new Set(routes.map(({ tag }) => tag))].map((name) => ({ name })),
    paths,
    components: {
      schemas: Object.fromEntries(Object.entries(components).map(([name, schema]) => [name, jsonSchema(schema)])),
    },
  }
}

function operation(route: Route): Json {
  const { method, path, tag, summary, description, params = {}, query = {}, body, idempotent, answer } = route
  const parameters = [
    ...Object.entries(params).map(([name, param]) => parameter('path', name, param)),
    ...Object.entries(query).map(([name, param]) => parameter('query', name, param)),
    ...(idempotent ? [parameter('header', 'Idempotency-Key', idempotencyKey)] : []),
  ]
  const problems = [...new Set([...commonProblems, ...(body ? bodyProblems : []), ...route.problems])].sort(
    (a, b) => a - b,
  )
  return {
    operationId: operationId(method, path),
    tags: [tag],
    summary,
    ...(description && { description }),
    ...(parameters.length > 0 && { parameters }),
    ...(body && {
      requestBody: {
        required: true,
        content: { 'application/json': { schema: jsonSchema(body.schema), example: body.example } },
      },
    }),
    responses: {
      [answer.status]: {
        description: answer.description,
        content: {
          'application/json': {
            schema: jsonSchema(answer.schema),
            ...(answer.example !== undefined && { example: answer.example }),
          },
        },
      },
      ...Object.fromEntries(problems.map((status) => [status, problemAnswer(status)])),
    },
  }
}

function parameter(place: 'path' | 'query' | 'header', name: string, { schema, description, example }: Param): Json {
  return {
    name,
    in: place,
    required: place === 'path',
    description,
    schema: jsonSchema(schema),
    ...(example !== undefined && { example }),
  }
}

function problemAnswer(status: number): Json {
  return {
    description: statusTitle(status),
    content: {
      'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' }, example: exampleProblem(status) },
    },
  }
}

function exampleProblem(status: number): Json {
  const details = status === 400 ? { messages: { 'event.eventType': ['required'] } } : null
  const title = statusTitle(status)
  const requestId = '9f40ad5d-f2b4-40b5-8e0a-9e761f63a9d8'
  return { type: 'urn:daybook:problem:…', title, status, message: title, requestId, details }
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
