/** The routes of the reference event store, by its names and codes, and those that tell how the server is. */
import { isStoreError, type RevisionConflict, StreamNotFound } from '../core/errors.ts'
import type { NewEvent } from '../core/event.ts'
import { limits } from '../core/limits.ts'
import type { Store } from '../core/store.ts'
import { formatInstant } from '../core/time.ts'
import { HttpError } from './problem.ts'
import type { Asked, Route } from './route.ts'
import {
  afterRevision,
  appendBody,
  createBody,
  eventPageAnswer,
  health,
  type NewEventBody,
  pageKey,
  parsePageKey,
  printEvent,
  printPageKey,
  printStream,
  readiness,
  streamAnswer,
  streamId,
  streamPageAnswer,
  streamRevision,
  streamType,
  updatedAfter,
} from './wire.ts'

const exampleStream = { streamId: 'case-891', streamType: 'permit', revision: 1, updatedAt: '2026-01-31T09:30:00.000Z' }
const exampleEvent = { eventType: 'Confirmation of receipt', payload: { channel: 'Internet', department: 'General' } }

export const routes: readonly Route[] = [
  {
    method: 'GET',
    path: '/liveness-check',
    tag: 'Health',
    summary: 'Whether the process answers',
    answer: {
      status: 200,
      schema: health,
      description: 'It does.',
      example: { status: 'ok', at: exampleStream.updatedAt },
    },
    problems: [],
    handle: async () => ({ status: 'ok', at: formatInstant(Date.now()) }),
  },
  {
    method: 'GET',
    path: '/readiness',
    tag: 'Health',
    summary: 'Whether the store answers',
    answer: {
      status: 200,
      schema: readiness,
      description: 'It does, and this is the log that it serves.',
      example: { status: 'ok', logId: '7efc92b7-fa2d-402c-84ad-60a86ef237a8', head: 8577 },
    },
    problems: [503],
    async handle({ store }) {
      const { logId, head } = await ready(store)
      return { status: 'ok', logId, head }
    },
  },
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
    problems: [410, 422],
    fields: { 'events[0].data': 'initialEvent.payload', 'events[0]': 'initialEvent' },
    async handle({ store, params, body, keyed }) {
      const { initialEvent } = body as { initialEvent: NewEventBody }
      const stream = `${params['streamType']}/${keyed?.('stream', 0) ?? crypto.randomUUID()}`
      const { revision, time } = await store.append(stream, [eventOf(initialEvent, keyed)], { expected: 0 })
      return { stream: printStream({ stream, revision, updatedAt: time }) }
    },
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
    fields: { updatedAfter: 'updated-after' },
    async handle({ store, params, query }) {
      const type = String(params['streamType'])
      const since = query['updated-after']
      const listing = [type, String(since ?? '')] as const
      const key = query['stream-next-page-key'] ?? query['nextPageKey']
      const { streams, next } = await store.streamsPage(type, {
        ...(since !== undefined && { updatedAfter: String(since) }),
        ...(key !== undefined && { cursor: parsePageKey(String(key), listing) }),
        limit: limits.pageRecordsDefault,
      })
      const nextPageKey = next === undefined ? {} : { nextPageKey: printPageKey(listing, next) }
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
    problems: [404],
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
    problems: [404, 409, 410, 422],
    fields: { 'events[0].data': 'event.payload', 'events[0]': 'event' },
    async handle({ store, params, body, keyed }) {
      const stream = streamOf(params)
      const expected = Number(params['streamRevision']) - 1
      const { event } = body as { event: NewEventBody }
      const { revision, time } = await appendNext(store, stream, eventOf(event, keyed), expected)
      return { stream: printStream({ stream, revision, updatedAt: time }) }
    },
  },
  {
    method: 'GET',
    path: '/streams/{streamType}/{streamId}/events',
    tag: 'Streams',
    summary: 'The events of a stream, in their order',
    description:
      'The next page begins after `lastEvaluatedRevision`. Of a forgotten stream the tombstone alone is left.',
    params: { streamType, streamId },
    query: { 'after-revision': afterRevision },
    answer: {
      status: 200,
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
    problems: [404],
    async handle({ store, params, query }) {
      const stream = streamOf(params)
      const after = Number(query['after-revision'] ?? 0)
      const { details, events, more } = await store.readPage(stream, { after, limit: limits.pageRecords })
      if (details === undefined) throw new StreamNotFound(stream)
      const lastEvaluatedRevision = events.at(-1)?.revision ?? 0
      return { eventPage: { events: events.map(printEvent), hasMore: more, lastEvaluatedRevision } }
    },
  },
]

async function ready(store: Store) {
  try {
    return await store.info()
  } catch (cause) {
    throw Object.assign(new HttpError(503, 'not-ready', 'The store does not answer'), { cause })
  }
}

/** An unknown stream is not there, rather than at another revision. */
async function appendNext(store: Store, stream: string, event: NewEvent, expected: number) {
  if (expected === 0) {
    // It would create the stream, which this route never does.
    const details = await store.details(stream)
    if (details === undefined) throw new StreamNotFound(stream)
  }
  try {
    return await store.append(stream, [event], { expected })
  } catch (error) {
    if (isStoreError(error, 'revision-conflict') && (error as RevisionConflict).actual === 0) {
      throw new StreamNotFound(stream)
    }
    throw error
  }
}

function streamOf(params: Asked['params']): string {
  return `${params['streamType']}/${params['streamId']}`
}

function eventOf({ eventType, payload }: NewEventBody, keyed: Asked['keyed']): NewEvent {
  return { type: eventType, data: payload, ...(keyed && { id: keyed('event', 0) }) }
}
