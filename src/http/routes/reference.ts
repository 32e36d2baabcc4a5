/** The routes of the reference event store, by its names and codes. */
import * as z from 'zod/mini'
import { isStoreError, type RevisionConflict, StreamNotFound } from '../../core/errors.ts'
import type { NewEvent, Recorded } from '../../core/event.ts'
import { limits } from '../../core/limits.ts'
import type { Store } from '../../core/store.ts'
import type { StreamDetails } from '../../core/stream.ts'
import { rangeOf, readsType, streamOf } from '../asked.ts'
import type { Route, Written } from '../route.ts'
import {
  direction,
  eventType,
  instant,
  type Param,
  pageLimit,
  required,
  revision,
  streamId,
  streamType,
  text,
  until,
  untilRevision,
  updatedAfter,
  wholeNumber,
} from '../wire.ts'

const streamRevision: Param = {
  schema: wholeNumber(1),
  description: 'The revision that the event is to have: one more than the stream has now.',
  example: 2,
}
const afterRevision: Param = {
  schema: wholeNumber(0),
  description: 'Only events after this revision; default 0.',
  example: 0,
}
const pageKey: Param = {
  schema: text(),
  description: 'The `nextPageKey` of the page before, to be sent with the same type and `updated-after`.',
}

const newEvent = z.object(
  {
    eventType,
    payload: z.unknown().check(
      z.refine((payload) => payload !== undefined && payload !== null && payload !== '', 'required'),
      z.meta({
        not: { enum: [null, ''] },
        description: 'Any JSON value but null and ""; it comes back by value.',
        examples: ['{"channel":"Internet"}'],
      }),
    ),
  },
  { error: required('must be an object') },
)
type NewEventBody = z.infer<typeof newEvent>

const createBody = z.object({ initialEvent: newEvent }, { error: required('must be an object') })
const appendBody = z.object({ event: newEvent }, { error: required('must be an object') })

export const stream = z.object({ streamId: z.string(), streamType: z.string(), revision, updatedAt: instant })
const streamAnswer = z.object({ stream })
const streamPageAnswer = z.object({
  streamPage: z.object({ streams: z.array(stream), hasMore: z.boolean(), nextPageKey: z.optional(z.string()) }),
})
export const event = z.object({
  streamId: z.string(),
  revision,
  eventType: z.string(),
  payload: z.unknown(),
  createdAt: instant,
})
const eventPageAnswer = z.object({
  eventPage: z.object({ events: z.array(event), hasMore: z.boolean(), lastEvaluatedRevision: revision }),
})
const exampleStream = { streamId: 'case-891', streamType: 'permit', revision: 1, updatedAt: '2026-01-31T09:30:00.000Z' }
const exampleEvent = { eventType: 'Confirmation of receipt', payload: { channel: 'Internet', department: 'General' } }

export const referenceRoutes: readonly Route[] = [
  {
    method: 'POST',
    path: '/streams/{streamType}',
    tag: 'Streams',
    summary: 'Create a stream with its first event',
    description: 'The stream gets a new UUID, or with an `Idempotency-Key` one that the same request will get again.',
    params: { streamType },
    body: { schema: createBody, example: { initialEvent: exampleEvent } },
    idempotent: true,
    answer: { status: 201, schema: streamAnswer, description: 'The new stream.', example: { stream: exampleStream } },
    problems: ['stream-forgotten', 'event-id-reused', 'revision-conflict'],
    fields: { 'events[0].data': 'initialEvent.payload', 'events[0]': 'initialEvent' },
    needs: ({ params }) => [{ action: 'append', streamType: String(params['streamType']) }],
    async handle({ store, params, body, keyed, prepare }) {
      const { initialEvent } = body as { initialEvent: NewEventBody }
      const stream = `${params['streamType']}/${keyed?.('stream', 0) ?? crypto.randomUUID()}`
      const { revision, time } = await store.append(stream, prepare([eventOf(initialEvent)]), { expected: 0 })
      return { stream: printStream({ stream, revision, updatedAt: time }) }
    },
    wrote,
  },
  {
    method: 'GET',
    path: '/streams/{streamType}',
    tag: 'Streams',
    summary: 'The streams of a type, least recently updated first',
    description:
      'A stream that is written while you page may come twice. `nextPageKey` is taken as a parameter of either name.',
    params: { streamType },
    query: { 'updated-after': updatedAfter, 'stream-next-page-key': pageKey, nextPageKey: pageKey },
    answer: {
      status: 200,
      schema: streamPageAnswer,
      description: 'A page; empty for a type that nobody has used.',
      example: { streamPage: { streams: [exampleStream], hasMore: false } },
    },
    problems: [],
    fields: { updatedAfter: 'updated-after', cursor: 'stream-next-page-key' },
    needs: readsType,
    async handle({ store, params, query }) {
      const type = String(params['streamType'])
      const since = query['updated-after']
      const key = query['stream-next-page-key'] ?? query['nextPageKey']
      const { streams, next } = await store.streamsPage(type, {
        ...(since !== undefined && { updatedAfter: String(since) }),
        ...(key !== undefined && { cursor: String(key) }),
        limit: limits.pageRecordsDefault,
      })
      const nextPageKey = next === undefined ? {} : { nextPageKey: next }
      return { streamPage: { streams: streams.map(printStream), hasMore: next !== undefined, ...nextPageKey } }
    },
  },
  {
    method: 'GET',
    path: '/streams/{streamType}/{streamId}/details',
    tag: 'Streams',
    summary: 'The revision and the last update of a stream',
    params: { streamType, streamId },
    answer: { status: 200, schema: streamAnswer, description: 'The stream.', example: { stream: exampleStream } },
    problems: ['stream-not-found'],
    needs: readsType,
    async handle({ store, params }) {
      const stream = streamOf(params)
      const details = await store.details(stream)
      if (details === undefined) throw new StreamNotFound(stream)
      return { stream: printStream(details) }
    },
  },
  {
    method: 'PUT',
    path: '/streams/{streamType}/{streamId}/events/{streamRevision}',
    tag: 'Streams',
    summary: 'Append the event of a revision',
    description: 'Never creates a stream. A revision that is taken, or not the next one, is a conflict: read again.',
    params: { streamType, streamId, streamRevision },
    body: { schema: appendBody, example: { event: exampleEvent } },
    idempotent: true,
    answer: {
      status: 201,
      schema: streamAnswer,
      description: 'The stream with its new revision.',
      example: { stream: { ...exampleStream, revision: 2 } },
    },
    problems: ['stream-not-found', 'revision-conflict', 'stream-forgotten', 'event-id-reused'],
    fields: { 'events[0].data': 'event.payload', 'events[0]': 'event' },
    needs: ({ params }) => [{ action: 'append', streamType: String(params['streamType']) }],
    async handle({ store, params, body, prepare }) {
      const stream = streamOf(params)
      const expected = Number(params['streamRevision']) - 1
      const { event } = body as { event: NewEventBody }
      const { revision, time } = await appendNext(store, stream, prepare([eventOf(event)]), expected)
      return { stream: printStream({ stream, revision, updatedAt: time }) }
    },
    wrote,
  },
  {
    method: 'GET',
    path: '/streams/{streamType}/{streamId}/events',
    tag: 'Streams',
    summary: 'The events of a stream, in their order',
    description:
      'The next page begins after `lastEvaluatedRevision`. Of a forgotten stream the tombstone alone is left.',
    params: { streamType, streamId },
    query: { 'after-revision': afterRevision, 'until-revision': untilRevision, until, direction, limit: pageLimit },
    answer: {
      status: 200,
      page: true,
      schema: eventPageAnswer,
      description: 'A page.',
      example: {
        eventPage: {
          events: [{ streamId: 'case-891', revision: 1, ...exampleEvent, createdAt: exampleStream.updatedAt }],
          hasMore: false,
          lastEvaluatedRevision: 1,
        },
      },
    },
    problems: ['stream-not-found'],
    needs: readsType,
    async handle({ store, params, query }) {
      const stream = streamOf(params)
      const range = { limit: limits.pageRecords, ...rangeOf(query, 'after-revision', 'until-revision') }
      const { details, events, more } = await store.readPage(stream, range)
      if (details === undefined) throw new StreamNotFound(stream)
      const lastEvaluatedRevision = events.at(-1)?.revision ?? 0
      return { eventPage: { events: events.map(printEvent), hasMore: more, lastEvaluatedRevision } }
    },
  },
]

/** An unknown stream is not there, rather than at another revision. */
async function appendNext(store: Store, stream: string, events: readonly NewEvent[], expected: number) {
  if (expected === 0) {
    // It would create the stream, which this route never does.
    const details = await store.details(stream)
    if (details === undefined) throw new StreamNotFound(stream)
  }
  try {
    return await store.append(stream, events, { expected })
  } catch (error) {
    if (isStoreError(error, 'revision-conflict') && (error as RevisionConflict).actual === 0) {
      throw new StreamNotFound(stream)
    }
    throw error
  }
}

function eventOf({ eventType, payload }: NewEventBody): NewEvent {
  return { type: eventType, data: payload }
}

function wrote(answer: unknown): readonly Written[] {
  const { streamType, streamId, revision } = (answer as z.infer<typeof streamAnswer>).stream
  return [{ stream: `${streamType}/${streamId}`, revision }]
}

/** `permit/case-891` as the parts that the reference API shows. */
function printStream({ stream, revision, updatedAt }: Pick<StreamDetails, 'stream' | 'revision' | 'updatedAt'>) {
  const slash = stream.indexOf('/')
  return { streamId: stream.slice(slash + 1), streamType: stream.slice(0, slash), revision, updatedAt }
}

function printEvent({ stream, revision, type, data, time }: Recorded) {
  return {
    streamId: stream.slice(stream.indexOf('/') + 1),
    revision,
    eventType: type,
    payload: data,
    createdAt: time,
  }
}
