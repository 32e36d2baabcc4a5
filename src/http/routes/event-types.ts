/** Event types that are declared: what their events must look like, whoever writes them, and how old ones come up to them. */
import * as z from 'zod/mini'
import type { EventTypeVersion } from '../../core/event-type.ts'
import { limits } from '../../core/limits.ts'
import { EventTypeNotFound } from '../../core/work-errors.ts'
import { manages } from '../asked.ts'
import type { ProblemKind } from '../problem.ts'
import type { Asked, Route } from '../route.ts'
import { askedType, list, type Param, record, revision, streamType, wholeNumber } from '../wire.ts'

const eventType: Param = { schema: askedType, description: 'The type of the events.', example: 'Reserved' }
const schema = z.union([z.boolean(), z.record(z.string(), z.unknown())], {
  error: 'must be a JSON Schema: an object, or true, which takes everything',
})
const step = z.record(z.string(), z.unknown(), { error: 'must be { move, to }, { default, value } or { remove }' })
const description = z.optional(z.string({ error: 'must be a text, or left out' }))
const declareBody = record({
  version: wholeNumber(1),
  schema,
  upcast: z.optional(list(step)),
  streamTypes: z.optional(list(streamType.schema).check(z.meta({ minItems: 1, maxItems: limits.queryTypes }))),
  description,
})
const declared = z.object({
  type: z.string(),
  version: revision,
  versions: z.array(
    z.object({
      version: revision,
      schema,
      upcast: z.optional(z.array(step)),
      streamTypes: z.optional(z.array(z.string())),
      description,
    }),
  ),
  retired: z.boolean(),
})
const exampleVersion = {
  version: 1,
  schema: { type: 'object', properties: { by: { type: 'string' } }, required: ['by'] },
}
const example = { type: 'Reserved', version: 1, versions: [exampleVersion], retired: false }

const managed = { tag: 'Event types', manages: true, needs: manages } as const
const changed: readonly ProblemKind[] = ['store-read-only', 'store-busy']
/** As with the types of streams: what there is, of all. */
const reads: Route['needs'] = () => [{ action: 'read' }]

export const eventTypeRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/event-types',
    tag: 'Event types',
    summary: 'All that are declared',
    answer: {
      status: 200,
      schema: z.object({ eventTypes: z.array(declared) }),
      description: 'In order of their names.',
      example: { eventTypes: [example] },
    },
    problems: [],
    needs: reads,
    handle: async ({ store }) => ({ eventTypes: await store.eventTypes.list() }),
  },
  {
    method: 'GET',
    path: '/event-types/{eventType}',
    tag: 'Event types',
    summary: 'One that is declared, with its versions',
    params: { eventType },
    answer: { status: 200, schema: declared, description: 'The type.', example },
    problems: ['event-type-not-found'],
    needs: reads,
    async handle({ store, params }) {
      const found = await store.eventTypes.get(typeIn(params))
      if (found === undefined) throw new EventTypeNotFound(typeIn(params))
      return found
    },
  },
  {
    ...managed,
    method: 'PUT',
    path: '/event-types/{eventType}',
    summary: 'Declare a type, or its next version',
    description:
      'In force on this server when it answers, and in every other process within 5 s. The same again changes nothing.',
    params: { eventType },
    body: { schema: declareBody, example: exampleVersion },
    answer: { status: 200, schema: declared, description: 'The type, with all its versions.', example },
    problems: [...changed, 'definition-clash'],
    fields: { type: 'eventType' },
    handle: ({ store, params, body, signal }) =>
      store.eventTypes.declare({ type: typeIn(params), ...(body as EventTypeVersion) }, { signal }),
  },
  {
    ...managed,
    method: 'POST',
    path: '/event-types/{eventType}/retire',
    summary: 'Let no event of a type be written any more, until a new version is declared',
    params: { eventType },
    answer: {
      status: 200,
      schema: declared,
      description: 'The type.',
      example: { ...example, retired: true },
    },
    problems: [...changed, 'event-type-not-found'],
    handle: ({ store, params }) => store.eventTypes.retire(typeIn(params)),
  },
]

function typeIn(params: Asked['params']): string {
  return String(params['eventType'])
}
