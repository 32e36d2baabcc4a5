/** States of deciders that are kept, so that loads begin there. */
import * as z from 'zod/mini'
import type { SnapshotDropOptions } from '../../core/snapshots.ts'
import { manages, pageOf } from '../asked.ts'
import { answerWork, progressMedia } from '../progress.ts'
import type { Route } from '../route.ts'
import {
  cursor,
  instant,
  instantText,
  type Param,
  pagedAnswer,
  pageLimit,
  record,
  revision,
  streamName,
  streamType,
  wholeNumber,
} from '../wire.ts'

const decider = streamType.schema
const deciderParam: Param = { schema: decider, description: 'Of this decider, by its name.', example: 'seat' }
const streamParam: Param = { schema: streamName, description: 'Of this stream.', example: 'seat/7' }
const versionParam: Param = { schema: wholeNumber(1), description: 'Of this version of the decider.', example: 1 }

const snapshot = z.object({
  decider: z.string(),
  version: revision,
  stream: z.string(),
  revision,
  time: instant,
  bytes: revision,
})
const exampleSnapshot = {
  ...{ decider: 'seat', version: 1, stream: 'seat/7', revision: 311, time: '2026-01-31T09:30:00.000Z', bytes: 412 },
}
const takeBody = record({ decider, stream: streamName })
const takeAllBody = record({ decider, streamType: streamType.schema, updatedAfter: z.optional(instantText) })
const managed = { tag: 'Snapshots', manages: true, needs: manages } as const

export const snapshotRoutes: readonly Route[] = [
  {
    ...managed,
    method: 'POST',
    path: '/snapshots',
    summary: 'Take a snapshot of a stream as it is now, by a decider that the server has',
    body: { schema: takeBody, example: { decider: 'seat', stream: 'seat/7' } },
    answer: { status: 201, schema: snapshot, description: 'What is kept.', example: exampleSnapshot },
    problems: ['stream-not-found', 'stream-forgotten', 'store-read-only'],
    handle({ store, body }) {
      const { decider, stream } = body as { readonly decider: string; readonly stream: string }
      return store.snapshots.take(decider, stream)
    },
  },
  {
    ...managed,
    method: 'POST',
    path: '/snapshots/take-all',
    summary: 'Take a snapshot of every stream of a type that has come on enough since the last one',
    body: { schema: takeAllBody, example: { decider: 'seat', streamType: 'seat' } },
    answer: {
      status: 200,
      schema: z.object({ streams: revision, taken: revision }),
      description: 'How many streams were looked at, and of how many one was taken.',
      example: { streams: 311, taken: 12 },
      media: progressMedia({ streams: 311, taken: 12 }),
    },
    problems: ['store-read-only'],
    handle: (asked) =>
      answerWork(asked, ({ signal }) => {
        const { decider, streamType, updatedAfter } = asked.body as {
          readonly decider: string
          readonly streamType: string
          readonly updatedAfter?: string
        }
        const options = { ...(updatedAfter !== undefined && { updatedAfter }), signal }
        return asked.store.snapshots.takeAll(decider, streamType, options)
      }),
  },
  {
    method: 'GET',
    path: '/snapshots',
    tag: 'Snapshots',
    summary: 'The snapshots of a stream, or of a decider in order of its versions',
    query: { stream: streamParam, decider: deciderParam, limit: pageLimit, cursor },
    answer: pagedAnswer('snapshots', snapshot, { example: exampleSnapshot }),
    problems: [],
    needs: manages,
    handle: ({ store, query }) =>
      store.snapshots.list({
        ...(query['stream'] !== undefined && { stream: String(query['stream']) }),
        ...(query['decider'] !== undefined && { decider: String(query['decider']) }),
        ...pageOf(query),
      }),
  },
  {
    ...managed,
    method: 'DELETE',
    path: '/snapshots',
    summary: 'Drop snapshots of a decider: all, those of a version, of a stream; that costs time, and no more',
    query: { decider: { ...deciderParam, required: true }, version: versionParam, stream: streamParam },
    answer: {
      status: 200,
      schema: z.object({ dropped: revision }),
      description: 'How many there were.',
      example: { dropped: 311 },
    },
    problems: ['store-read-only'],
    handle({ store, query }) {
      const which: SnapshotDropOptions = {
        decider: String(query['decider']),
        ...(query['version'] !== undefined && { version: Number(query['version']) }),
        ...(query['stream'] !== undefined && { stream: String(query['stream']) }),
      }
      return store.snapshots.drop(which)
    },
  },
]
