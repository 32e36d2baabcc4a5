/** Writing in the words of the design: many events, several streams, conditions; forgetting. */
import * as z from 'zod/mini'
import type { Appended, AppendOptions } from '../../core/append.ts'
import type { NewEvent } from '../../core/event.ts'
import type { ForgetOptions } from '../../core/forget.ts'
import { streamTypeOf } from '../../core/name.ts'
import type { AppendCondition } from '../../core/query.ts'
import type { Need } from '../access.ts'
import { streamOf } from '../asked.ts'
import type { Asked, Route } from '../route.ts'
import {
  type AppendBody,
  type AppendManyBody,
  appendBody,
  appended,
  appendManyBody,
  forgetBody,
  forgetReport,
  streamId,
  streamType,
  subjectReport,
} from '../wire.ts'

const exampleAppended: Appended = {
  stream: 'order/17',
  first: 1,
  revision: 2,
  position: 2,
  time: '2026-01-31T09:30:00.000Z',
  ids: ['0198f3a0-6d5e-7cc1-9b5c-5b1f8f0e7a11', '0198f3a0-6d5e-7cc1-9b5c-5b1f8f0e7a12'],
  repeated: false,
}
const exampleEvents = [
  { type: 'Placed', data: { total: 19.99 }, tags: ['customer:42'] },
  { type: 'Paid', meta: { correlationId: 'checkout-9' } },
]
const refusals = [
  'revision-conflict',
  'condition-failed',
  'stream-forgotten',
  'event-id-reused',
  'subject-forgotten',
  'position-beyond-head',
  'schema-violation',
  'store-read-only',
  'outcome-unknown',
] as const

export const writingRoutes: readonly Route[] = [
  {
    method: 'POST',
    path: '/streams/{streamType}/{streamId}/events',
    tag: 'Writing',
    summary: 'Append events to a stream: all or nothing',
    params: { streamType, streamId },
    body: { schema: appendBody, example: { events: exampleEvents, expected: 0 } },
    idempotent: true,
    answer: { status: 201, schema: appended, description: 'What was recorded.', example: exampleAppended },
    problems: refusals,
    needs: ({ params, body }) => [
      { action: 'append', streamType: String(params['streamType']) },
      ...needsOfCondition((body as AppendBody).condition),
    ],
    handle({ store, params, body, prepare }) {
      const { events, expected, condition } = body as AppendBody
      return store.append(streamOf(params), prepare(events as NewEvent[]), {
        ...(expected !== undefined && { expected }),
        ...withCondition(condition),
      })
    },
    wrote: (answer) => [answer as Appended],
  },
  {
    method: 'POST',
    path: '/append',
    tag: 'Writing',
    summary: 'Append events to several streams: all or nothing',
    description: 'A part without events only checks what is expected of its stream.',
    body: {
      schema: appendManyBody,
      example: {
        appends: [
          { stream: 'order/17', events: exampleEvents, expected: 0 },
          { stream: 'customer/42', events: [], expected: 'exists' },
        ],
        condition: { query: [{ types: ['Reserved'], tags: ['seat:7'] }], guard: '8577' },
      },
    },
    idempotent: true,
    answer: {
      status: 201,
      schema: z.object({ appended: z.array(appended) }),
      description: 'What was recorded, for the streams that got events.',
      example: { appended: [exampleAppended] },
    },
    problems: refusals,
    needs: ({ body }) => {
      const { appends, condition } = body as AppendManyBody
      return [
        ...appends.map(({ stream }): Need => ({ action: 'append', streamType: streamTypeOf(stream) })),
        ...needsOfCondition(condition),
      ]
    },
    async handle({ store, body, prepare }) {
      const { appends, condition } = body as AppendManyBody
      const prepared = [...prepare(appends.flatMap(({ events }) => events as NewEvent[]))]
      const parts = appends.map(({ stream, events, expected }) => ({
        stream,
        events: prepared.splice(0, events.length),
        ...(expected !== undefined && { expected }),
      }))
      return { appended: await store.appendMany(parts, withCondition(condition)) }
    },
    wrote: (answer) => (answer as { appended: readonly Appended[] }).appended,
  },
  {
    method: 'POST',
    path: '/streams/{streamType}/{streamId}/forget',
    tag: 'Writing',
    summary: 'Forget a stream: close it with a tombstone, and erase its content',
    description: 'Answers when all is done. To ask again is a retry, with an `Idempotency-Key` or without.',
    params: { streamType, streamId },
    body: { schema: forgetBody, example: { reasonCode: 'gdpr-art-17' } },
    idempotent: true,
    answer: {
      status: 200,
      schema: forgetReport,
      description: 'What was erased.',
      example: {
        stream: 'customer/42',
        revision: 6,
        position: 8_578,
        time: '2026-01-31T09:30:00.000Z',
        events: 5,
        documents: 3,
        kinds: { views: 2, snapshots: 1 },
        segments: 1,
        backups: 0,
        scrub: 'done',
        remains: [
          {
            where: 'change stream of the table',
            until: '2026-02-01T09:30:00.000Z',
            ends: 'it goes by itself after a day',
          },
        ],
      },
    },
    problems: [
      'stream-not-found',
      'stream-forgotten',
      'store-read-only',
      'outcome-unknown',
      'object-damaged',
      'log-diverged',
    ],
    needs: ({ params }) => [{ action: 'forget', streamType: String(params['streamType']) }],
    handle: ({ store, params, body, prepare }) => {
      return store.forget(streamOf(params), { ...(body as ForgetOptions), ...askedBy(prepare) })
    },
    wrote: (answer) => [answer as { stream: string; revision: number }],
  },
  {
    method: 'POST',
    path: '/subjects/{streamType}/{streamId}/forget',
    tag: 'Writing',
    summary: 'Forget a subject: its own streams, and its key, so that nobody reads what other streams hold of it',
    description: 'A subject is named as a stream is. Answers when all is done; to ask again is a retry.',
    params: { streamType, streamId },
    body: { schema: forgetBody, example: { reasonCode: 'gdpr-art-17' } },
    answer: {
      status: 200,
      schema: subjectReport,
      description: 'What was erased, and where it reads as its mask.',
      example: {
        subject: 'customer/42',
        time: '2026-01-31T09:30:00.000Z',
        key: 'destroyed',
        streams: 1,
        events: 5,
        documents: 2,
        kinds: { views: 2 },
        segments: 0,
        backups: 1,
        masked: 3,
        rebuild: [],
        scrub: 'done',
        remains: [],
      },
    },
    problems: [
      'stream-not-found',
      'subject-exposed',
      'store-read-only',
      'outcome-unknown',
      'object-damaged',
      'log-diverged',
    ],
    // Its streams may be of any type.
    needs: () => [{ action: 'forget' }],
    handle: ({ store, params, body, prepare }) =>
      store.forget({ ...(body as ForgetOptions), subject: streamOf(params), ...askedBy(prepare) }),
  },
]

/** Who asked is known better than he says it. */
function askedBy(prepare: Asked['prepare']): Pick<ForgetOptions, 'principal'> {
  const [{ meta } = {}] = prepare([{ type: 'forget' }])
  const principal = (meta as { readonly principal?: string } | undefined)?.principal
  return principal === undefined ? {} : { principal }
}

/** Whether a condition fails tells what is in the log, whatever the stream: that is reading. */
function needsOfCondition(condition: AppendBody['condition']): readonly Need[] {
  return condition === undefined ? [] : [{ action: 'read' }]
}

function withCondition(condition: AppendBody['condition']): Pick<AppendOptions, 'condition'> {
  return condition === undefined ? {} : { condition: condition as AppendCondition }
}
