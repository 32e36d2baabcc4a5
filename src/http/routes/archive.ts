/** Events that have left the storage for an object store, and backups: in the places that the server was started with. */
import * as z from 'zod/mini'
import type { ArchiveRunOptions } from '../../core/archive.ts'
import { manages, operates, pageOf } from '../asked.ts'
import type { ProblemKind } from '../problem.ts'
import { answerWork, progressMedia } from '../progress.ts'
import type { Route } from '../route.ts'
import { cursor, instant, list, pagedAnswer, pageLimit, record, revision, streamType } from '../wire.ts'

const report = z.object({ streamType: z.string(), events: revision, segments: revision })
const plan = z.object({ streamType: z.string(), events: revision, bytes: revision })
const segment = z.object({
  ...{ id: z.string(), streamType: z.string(), first: revision, last: revision },
  state: z.enum(['writing', 'sealed', 'trimmed']),
  // Not known before it is sealed.
  ...{ events: z.optional(revision), bytes: z.optional(revision), textBytes: z.optional(revision) },
  ...{ sha256: z.optional(z.string()), entries: z.optional(z.string()) },
})
const verification = z.object({
  segments: revision,
  events: revision,
  damaged: z.array(z.object({ key: z.string(), reason: z.string() })),
  unknown: z.array(z.string()),
})
export const backup = z.object({
  ...{ number: revision, from: revision, to: revision, documents: revision, bytes: revision },
  madeAt: instant,
})

const exampleReport = { streamType: 'order', events: 8_577, segments: 1 }
const exampleSegment = {
  ...{ id: '2f0c6a1e-9f36-5b3e-8a55-0f5d3a1f6f9e', streamType: 'order', first: 1, last: 17_311, state: 'trimmed' },
  ...{ events: 8_577, bytes: 311_040, textBytes: 4_190_311, sha256: '9c56cc51…', entries: '2cf24dba…' },
}
const exampleVerification = { segments: 12, events: 85_770, damaged: [], unknown: [] }
const exampleBackup = {
  ...{ number: 2, from: 8_000, to: 8_577, documents: 14, bytes: 48_311, madeAt: '2026-01-31T09:30:00.000Z' },
}

const whichBody = record({ streamTypes: z.optional(list(streamType.schema)) })
const broken: readonly ProblemKind[] = ['unsupported', 'object-damaged']
const managed = { tag: 'Archive', manages: true, needs: manages } as const

export const archiveRoutes: readonly Route[] = [
  {
    method: 'POST',
    path: '/archive/plan',
    tag: 'Archive',
    summary: 'What a run would move now; writes nothing',
    body: { schema: whichBody, example: { streamTypes: ['order'] }, optional: true },
    answer: {
      status: 200,
      schema: z.object({ plans: z.array(plan) }),
      description: 'By stream type: events, and the bytes of their content.',
      example: { plans: [{ streamType: 'order', events: 8_577, bytes: 4_190_311 }] },
      media: progressMedia({ plans: [{ streamType: 'order', events: 8_577, bytes: 4_190_311 }] }),
    },
    problems: broken,
    needs: operates,
    handle: (asked) =>
      answerWork(asked, async ({ signal }) => ({
        plans: await asked.store.archive.plan({ ...(asked.body as ArchiveRunOptions), signal }),
      })),
  },
  {
    ...managed,
    method: 'POST',
    path: '/archive/run',
    summary: 'Move what the policies do not keep, stream type after stream type',
    description: 'A segment is read back and held against the log before any of its events is emptied.',
    body: { schema: whichBody, example: { streamTypes: ['order'] }, optional: true },
    answer: {
      status: 200,
      schema: z.object({ reports: z.array(report) }),
      description: 'What this run has moved.',
      example: { reports: [exampleReport] },
      media: progressMedia({ reports: [exampleReport] }, exampleReport),
    },
    problems: [...broken, 'store-read-only'],
    handle: (asked) =>
      answerWork(asked, async (going) => ({
        reports: await asked.store.archive.run({ ...(asked.body as ArchiveRunOptions), ...going }),
      })),
  },
  {
    ...managed,
    method: 'POST',
    path: '/archive/verify',
    summary: 'Read every segment and hold it against the log',
    answer: {
      status: 200,
      schema: verification,
      description: 'What is damaged, with why; and objects that the store knows nothing of.',
      example: exampleVerification,
      media: progressMedia(exampleVerification),
    },
    problems: ['unsupported'],
    handle: (asked) => answerWork(asked, ({ signal }) => asked.store.archive.verify({ signal })),
  },
  {
    method: 'GET',
    path: '/archive/{streamType}/segments',
    tag: 'Archive',
    summary: 'The segments of a stream type',
    params: { streamType },
    query: { limit: pageLimit, cursor },
    answer: pagedAnswer('segments', segment, { example: exampleSegment, order: 'in order of their first positions' }),
    problems: ['unsupported'],
    needs: operates,
    handle: ({ store, params, query }) =>
      store.archive.segments({ streamType: String(params['streamType']), ...pageOf(query) }),
  },
  {
    ...managed,
    method: 'POST',
    path: '/backups',
    summary: 'Back up what has come since the last backup, into the place that the server was started with',
    answer: {
      status: 200,
      schema: backup,
      description: 'The newest backup; without news the last one again.',
      example: exampleBackup,
      media: progressMedia(exampleBackup, { position: 8_200, head: 8_577 }),
    },
    problems: [...broken, 'log-diverged', 'position-beyond-head'],
    handle: (asked) => answerWork(asked, (going) => asked.store.backups.take(going)),
  },
  {
    method: 'GET',
    path: '/backups',
    tag: 'Archive',
    summary: 'The backups in that place, the oldest first',
    answer: {
      status: 200,
      schema: z.object({ backups: z.array(backup) }),
      description: 'All of them; together they are the log.',
      example: { backups: [exampleBackup] },
    },
    problems: broken,
    needs: operates,
    handle: async ({ store }) => ({ backups: await store.backups.list() }),
  },
]
