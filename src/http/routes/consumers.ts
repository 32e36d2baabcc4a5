/** Named readers of the log: how far they are, what they could not handle, and what is done about it. */
import * as z from 'zod/mini'
import { checkConsumerName, type StartAt } from '../../core/consumer.ts'
import { manages, operates, pageOf } from '../asked.ts'
import type { ProblemKind } from '../problem.ts'
import type { Asked, Route } from '../route.ts'
import {
  cursor,
  failure,
  held,
  instant,
  keeps,
  looksLike,
  type Param,
  pagedAnswer,
  pageLimit,
  record,
  revision,
  streamName,
  text,
  typePattern,
  wholeNumber,
} from '../wire.ts'

const consumer: Param = {
  schema: text(keeps(checkConsumerName), looksLike(typePattern)),
  description: 'The name of the consumer.',
  example: 'mails',
}
const texts = z.array(z.string())
const status = z.object({
  name: z.string(),
  streamTypes: texts,
  types: texts,
  tags: texts,
  state: z.enum(['running', 'idle', 'paused', 'failed']),
  position: revision,
  head: revision,
  lag: revision,
  parked: revision,
  held: z.optional(held),
  seenAt: instant,
  error: z.optional(failure),
})
const day = '2026-01-31T09:30:00.000Z'
const exampleStatus = {
  ...{ name: 'mails', streamTypes: ['order'], types: ['Placed'], tags: [] },
  ...{ state: 'running', position: 8_570, head: 8_577, lag: 7, parked: 1, seenAt: day },
  held: { owner: '0198f3a0-6d5e-7cc1-9b5c-5b1f8f0e7a11', since: day, termMs: 15_000, beat: 311 },
}
const parked = z.object({
  item: z.string(),
  stream: z.string(),
  revision,
  position: revision,
  tries: revision,
  error: failure,
  replay: z.boolean(),
})
const exampleParked = {
  ...{ item: 'order/17', stream: 'order/17', revision: 2, position: 8_411, tries: 5, replay: false },
  error: { name: 'Error', message: 'the mail server refuses it', time: day },
}
const resetBody = record({
  from: z.union([wholeNumber(0), z.enum(['start', 'now'])], { error: 'must be "start", "now" or a position' }),
})
const replayBody = record({ stream: z.optional(streamName) })

const managed = { tag: 'Consumers', manages: true, needs: manages, params: { consumer } } as const
const missing: readonly ProblemKind[] = ['consumer-not-found']
const changed: readonly ProblemKind[] = [...missing, 'store-read-only']
const answer = { status: 200, schema: status, description: 'What it is at now.', example: exampleStatus } as const

const actions = {
  pause: 'Let nobody work on it, wherever that is; what was begun is finished',
  resume: 'Let it be worked on again',
} as const

export const consumerRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/consumers',
    tag: 'Consumers',
    summary: 'All consumers',
    answer: {
      status: 200,
      schema: z.object({ consumers: z.array(status) }),
      description: 'By name.',
      example: { consumers: [exampleStatus] },
    },
    problems: [],
    needs: operates,
    handle: async ({ store }) => ({ consumers: await store.consumers.list() }),
  },
  {
    method: 'GET',
    path: '/consumers/{consumer}',
    tag: 'Consumers',
    summary: 'What a consumer is at',
    params: { consumer },
    answer,
    problems: missing,
    needs: operates,
    handle: ({ store, params }) => store.consumers.status(nameIn(params)),
  },
  ...(['pause', 'resume'] as const).map(
    (action): Route => ({
      ...managed,
      method: 'POST',
      path: `/consumers/{consumer}/${action}`,
      summary: actions[action],
      answer,
      problems: changed,
      async handle({ store, params }) {
        await store.consumers[action](nameIn(params))
        return store.consumers.status(nameIn(params))
      },
    }),
  ),
  {
    ...managed,
    method: 'POST',
    path: '/consumers/{consumer}/reset',
    summary: 'Deliver everything behind a place anew, and let nothing be parked',
    body: { schema: resetBody, example: { from: 'start' } },
    answer,
    problems: [...changed, 'position-beyond-head'],
    async handle({ store, params, body }) {
      await store.consumers.reset(nameIn(params), (body as { readonly from: StartAt }).from)
      return store.consumers.status(nameIn(params))
    },
  },
  {
    method: 'GET',
    path: '/consumers/{consumer}/parked',
    tag: 'Consumers',
    summary: 'Streams that wait with an event that could not be handled',
    params: { consumer },
    query: { limit: pageLimit, cursor },
    answer: pagedAnswer('parked', parked, { example: exampleParked, order: "by the events' positions" }),
    problems: missing,
    // The error may quote an event.
    needs: manages,
    handle: ({ store, params, query }) => store.consumers.parked(nameIn(params), pageOf(query)),
  },
  {
    ...managed,
    method: 'POST',
    path: '/consumers/{consumer}/replay-parked',
    summary: 'Ask for one parked stream, or all of them, to be handled again',
    description: 'Whoever runs the consumer sees to it.',
    body: { schema: replayBody, example: { stream: 'order/17' }, optional: true },
    answer: {
      status: 200,
      schema: z.object({ asked: revision }),
      description: 'How many streams there are to be handled again.',
      example: { asked: 1 },
    },
    problems: changed,
    handle: async ({ store, params, body }) => ({
      asked: await store.consumers.replayParked(nameIn(params), (body as { readonly stream?: string }).stream),
    }),
  },
  {
    ...managed,
    method: 'DELETE',
    path: '/consumers/{consumer}',
    summary: 'Remove a consumer with all that is known of it',
    answer: {
      status: 200,
      schema: z.object({ removed: z.string() }),
      description: 'Its name, which is free again.',
      example: { removed: 'mails' },
    },
    problems: changed,
    async handle({ store, params }) {
      await store.consumers.remove(nameIn(params))
      return { removed: nameIn(params) }
    },
  },
]

function nameIn(params: Asked['params']): string {
  return String(params['consumer'])
}
