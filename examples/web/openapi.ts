/** The OpenAPI 3.1 document, made from the rows of the routes and the schemas that validate. */
import * as z from 'zod/mini'
import type { Route } from './route.ts'

export interface About {
  readonly title: string
  readonly description: string
}

type Json = Readonly<Record<string, unknown>>

export function openApiDocument({ title, description, routes }: About & { readonly routes: readonly Route[] }): Json {
  const paths: Record<string, Json> = {}
  for (const route of routes) {
    paths[route.path] = { ...paths[route.path], [route.method.toLowerCase()]: operation(route) }
  }
  return {
    openapi: '3.1.0',
    info: { title, version: '1.0.0', description },
    servers: [{ url: '/' }],
    paths,
    components: { schemas: { Error: errorSchema } },
  }
}

const requestIdHeader = { 'X-Request-Id': { description: "The request's id in the log.", schema: { type: 'string' } } }

const errorSchema = {
  type: 'object',
  properties: {
    message: { type: 'string' },
    requestId: { type: 'string' },
    details: {
      type: ['object', 'null'],
      description: 'What was wrong with the request: `messages` by field, or the versions of a conflict.',
    },
  },
  required: ['message', 'requestId', 'details'],
}

function operation(route: Route): Json {
  const { operationId, tag, summary, description, body, refusal, missing } = route
  const parameters = [
    ...pathParameters(route),
    ...queryParameters(route),
    ...(route.idempotent ? [idempotencyKey] : []),
  ]
  return {
    operationId,
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
      200: { description: 'Done.', headers: requestIdHeader, ...answerContent(route) },
      ...(refusal && { 400: problem(refusal) }),
      ...(missing && { 404: problem(missing) }),
      500: problem('Something went wrong in the server.'),
    },
  }
}

function pathParameters({ path }: Route): readonly Json[] {
  return [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
    name,
    in: 'path',
    required: true,
    schema: { type: 'string' },
  }))
}

function queryParameters({ query = {}, needs }: Route): readonly Json[] {
  return Object.entries(query).map(([name, schema]) => {
    const { description, ...rest } = jsonSchema(schema)
    return { name, in: 'query', required: name === needs, ...(description ? { description } : {}), schema: rest }
  })
}

const idempotencyKey = {
  name: 'Idempotency-Key',
  in: 'header',
  description: 'A text of your own for this request. Sent again with it, it is answered as the first time.',
  schema: { type: 'string', minLength: 1, maxLength: 200 },
}

function answerContent({ answer }: Route): Json {
  if (answer === undefined) return {}
  const { schema, example, text } = answer
  return {
    content: {
      ...(text !== undefined && { 'text/plain': { schema: { type: 'string' }, example: text } }),
      'application/json': { schema: jsonSchema(schema), example },
    },
  }
}

function problem(description: string): Json {
  const content = { 'application/json': { schema: { $ref: '#/components/schemas/Error' } } }
  return { description, headers: requestIdHeader, content }
}

function jsonSchema(schema: z.ZodMiniType): Json {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, {
    io: 'input',
    override({ jsonSchema }) {
      // The format says the same in a word.
      if (jsonSchema.format !== undefined) delete jsonSchema.pattern
    },
  })
  return rest
}
