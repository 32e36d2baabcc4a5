/** Reading in the words of the design: one stream, lists, the log as pages or as a feed, decision reads. */
import * as z from 'zod/mini'
import type { LogReadOptions } from '../../core/feed.ts'
import type { EventQuery } from '../../core/query.ts'
import { rangeOf, readsType, streamOf } from '../asked.ts'
import { ndjsonFeed, parseEventId, sseFeed } from '../feed.ts'
import { invalid } from '../problem.ts'
import type { Asked, Route } from '../route.ts'
import {
  type BoundaryBody,
  boundaryBody,
  boundaryPage,
  cursor,
  direction,
  eventPage,
  eventTypes,
  logPage,
  type Param,
  pageLimit,
  streamId,
  streamsPage,
  streamType,
  streamTypes,
  tags,
  text,
  until,
  untilRevision,
  updatedAfter,
  wholeNumber,
} from '../wire.ts'

const day = '2026-01-31T09:30:00.000Z'
export const exampleDetails = { stream: 'permit/case-891', revision: 1, updatedAt: day, position: 1, forgotten: false }
const exampleEvent = {
  id: '0198f3a0-6d5e-7cc1-9b5c-5b1f8f0e7a11',
  stream: 'permit/case-891',
  revision: 1,
  position: 1,
  time: day,
  type: 'Confirmation of receipt',
  data: { channel: 'Internet', department: 'General' },
  meta: null,
  tags: [],
}
const exampleLogId = '7efc92b7-fa2d-402c-84ad-60a86ef237a8'

const after = (what: string): Param => ({ schema: wholeNumber(0), description: what, example: 0 })
const logIdParam: Param = {
  schema: text(),
  description: 'The log that `after` was taken from; if this is another one, the answer is a problem.',
  example: exampleLogId,
}
const untilPosition: Param = {
  schema: wholeNumber(0),
  description: 'Only up to and with this position.',
  example: 1_000,
}
const lastEventId: Param = {
  schema: text(),
  description: 'Where a feed of server-sent events goes on: the `id` of the last one that came. Outweighs `after`.',
  example: `${exampleLogId}:8577`,
}

export const readingRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/streams/{streamType}/{streamId}',
    tag: 'Reading',
    summary: 'A stream and a page of its events',
    description: 'A stream that nobody has written to has no events and no details, and is no error.',
    params: { streamType, streamId },
    query: {
      after: after('Only events after this revision; default 0.'),
      'until-revision': untilRevision,
      until,
      direction,
      limit: pageLimit,
    },
    answer: {
      status: 200,
      page: true,
      schema: eventPage,
      description: 'A page; the next one begins after the last revision, or backwards ends before it.',
      example: { details: exampleDetails, events: [exampleEvent], more: false },
    },
    problems: ['event-archived'],
    needs: readsType,
    handle: ({ store, params, query }) => store.readPage(streamOf(params), rangeOf(query, 'after', 'until-revision')),
  },
  {
    method: 'GET',
    path: '/streams',
    tag: 'Reading',
    summary: 'The streams of a type, least recently updated first, with all that is known of them',
    query: {
      'stream-type': { ...streamType, required: true },
      'updated-after': updatedAfter,
      cursor,
      limit: pageLimit,
    },
    answer: {
      status: 200,
      schema: streamsPage,
      description: 'A page; `next` is absent on the last one.',
      example: { streams: [exampleDetails] },
    },
    problems: [],
    fields: { updatedAfter: 'updated-after' },
    needs: ({ query }) => [{ action: 'read', streamType: String(query['stream-type']) }],
    handle: ({ store, query }) =>
      store.streamsPage(String(query['stream-type']), {
        ...(query['updated-after'] !== undefined && { updatedAfter: String(query['updated-after']) }),
        ...(query['cursor'] !== undefined && { cursor: String(query['cursor']) }),
        ...(query['limit'] !== undefined && { limit: Number(query['limit']) }),
      }),
  },
  {
    method: 'GET',
    path: '/stream-types',
    tag: 'Reading',
    summary: 'Which types of streams there are',
    answer: {
      status: 200,
      schema: z.object({ streamTypes: z.array(z.string()) }),
      description: 'In order of UTF-8 bytes.',
      example: { streamTypes: ['permit'] },
    },
    problems: [],
    needs: () => [{ action: 'read' }],
    handle: async ({ store }) => ({ streamTypes: await store.streamTypes() }),
  },
  {
    method: 'GET',
    path: '/log',
    tag: 'Reading',
    summary: 'The log over all streams: a page, all of it, or without end',
    description:
      'JSON is a page. NDJSON is everything up to where the log ends now. Server-sent events go on with what comes: `caught-up` whenever all there is was sent, a comment every 15 seconds to keep the connection, and `Last-Event-ID` to go on after a break.',
    query: {
      after: after('Only entries after this position; default 0.'),
      'log-id': logIdParam,
      'until-position': untilPosition,
      until,
      direction,
      limit: pageLimit,
      'stream-type': streamTypes,
      'event-type': eventTypes,
      tag: tags,
    },
    headers: { 'Last-Event-ID': lastEventId },
    answer: {
      status: 200,
      page: true,
      schema: logPage,
      description: 'A page; the next one begins after `scannedTo`, or backwards ends before it.',
      example: { logId: exampleLogId, head: 8_577, entries: [exampleEvent], scannedTo: 1, more: true },
      media: {
        'application/x-ndjson': { description: 'One entry a line.', example: `${JSON.stringify(exampleEvent)}\n` },
        'text/event-stream': {
          description: 'One event an entry; its id is `logId:position`.',
          example: `id: ${exampleLogId}:1\ndata: ${JSON.stringify(exampleEvent)}\n\nevent: caught-up\nid: ${exampleLogId}:1\ndata: {"position":1}\n\n`,
        },
      },
    },
    problems: ['foreign-log', 'position-beyond-head', 'event-archived'],
    needs: ({ query }) => {
      const types = query['stream-type'] as readonly string[] | undefined
      return types?.map((streamType) => ({ action: 'read', streamType })) ?? [{ action: 'read' }]
    },
    handle: readLog,
  },
  {
    method: 'POST',
    path: '/boundary',
    tag: 'Reading',
    summary: 'A decision read: a page of the events that a decision depends on, and the condition that guards it',
    description:
      'The condition of the last page covers all pages before it. An item wants any of its types, all its tags.',
    body: { schema: boundaryBody, example: { query: [{ types: ['Reserved', 'Freed'], tags: ['seat:7'] }] } },
    answer: {
      status: 200,
      schema: boundaryPage,
      description: 'A page; the next one begins after `scannedTo`.',
      example: {
        events: [],
        condition: { query: [{ types: ['Reserved', 'Freed'], tags: ['seat:7'] }], guard: '8577' },
        scannedTo: 8_577,
        more: false,
      },
    },
    problems: ['position-beyond-head', 'event-archived'],
    needs: () => [{ action: 'read' }],
    handle({ store, body }) {
      const { query, after, limit } = body as BoundaryBody
      const page = { ...(after !== undefined && { after }), ...(limit !== undefined && { limit }) }
      return store.readBoundaryPage(query as EventQuery, page)
    },
  },
]

async function readLog(asked: Asked): Promise<unknown> {
  const { store, query, headers, media } = asked
  const range = rangeOf(query, 'after', 'until-position')
  const filter = {
    ...(query['stream-type'] !== undefined && { streamTypes: query['stream-type'] as readonly string[] }),
    ...(query['event-type'] !== undefined && { types: query['event-type'] as readonly string[] }),
    ...(query['tag'] !== undefined && { tags: query['tag'] as readonly string[] }),
    ...(query['log-id'] !== undefined && { logId: String(query['log-id']) }),
  }
  switch (media) {
    case 'application/x-ndjson':
      return ndjsonFeed(asked, { ...range, ...filter })
    case 'text/event-stream': {
      for (const name of ['until', 'until-position', 'direction', 'limit']) {
        if (query[name] !== undefined) throw invalid({ [name]: ['a feed without end has none'] })
      }
      const options = { ...range, ...filter, ...resumedAt(headers['Last-Event-ID']) }
      // Throws here what keeps the feed from beginning, while that can still be the answer.
      const { logId } = await store.readLogPage({ ...options, limit: 1 })
      return sseFeed(asked, options, logId)
    }
    default:
      return store.readLogPage({ ...range, ...filter })
  }
}

function resumedAt(id: string | number | undefined): Pick<LogReadOptions, 'after' | 'logId'> {
  if (id === undefined) return {}
  const resumed = parseEventId(String(id))
  if (resumed === undefined) throw invalid({ 'Last-Event-ID': ['is no id of this feed: logId:position'] })
  return resumed
}
