/** The OpenAPI 3.1 document, made from the rows of the routes and the schemas that validate. */
import * as z from 'zod/mini'
import type { Route } from './routes.ts'

type Json = Readonly<Record<string, unknown>>

export function openApiDocument(routes: readonly Route[]): Json {
  return {
    openapi: '3.1.0',
    info: {
      title: 'Customer record',
      version: '1.0.0',
      description:
        'Customers as they are, as they were at any instant, and all that was ever recorded of them; until they are forgotten.',
    },
    servers: [{ url: '/' }],
    paths: Object.fromEntries(routes.map((route) => [route.path, { [route.method.toLowerCase()]: operation(route) }])),
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

function operation({ method, path, summary, description, body, idempotent, answer, refusal }: Route): Json {
  const [, , , tag, name = '', inner] = path.split('/')
  const parameters = [
    ...(path.includes('{customerId}') ? [customerIdParameter] : []),
    ...(idempotent ? [idempotencyKey] : []),
  ]
  return {
    operationId: method === 'POST' ? name : `query${inner ? 'Events' : name === 'alive' ? 'Alive' : ''}`,
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
      200: {
        description: 'Done.',
        headers: requestIdHeader,
        ...(answer && {
          content: { 'application/json': { schema: jsonSchema(answer.schema), example: answer.example } },
        }),
      },
      ...(refusal && { 400: problem(refusal) }),
      500: problem('Something went wrong in the server.'),
    },
  }
}

const customerIdParameter = { name: 'customerId', in: 'path', required: true, schema: { type: 'string' } }
const idempotencyKey = {
  name: 'Idempotency-Key',
  in: 'header',
  description: 'A text of your own for this request. Sent again with it, it is answered as the first time.',
  schema: { type: 'string', minLength: 1, maxLength: 200 },
}

function problem(description: string): Json {
  const content = { 'application/json': { schema: { $ref: '#/components/schemas/Error' } } }
  return { description, headers: requestIdHeader, content }
}

function jsonSchema(schema: z.ZodMiniType): Json {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io: 'input' })
  return rest
}
