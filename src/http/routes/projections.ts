/** What builds the views: what it is at, and what is done about it. Replay is in `replays.ts`. */
import * as z from 'zod/mini'
import { checkKey } from '../../core/document.ts'
import type { Projections, RebuildOptions, ReplayParkedOptions } from '../../core/projections.ts'
import type { Store } from '../../core/store.ts'
import { manages, operates, pageOf } from '../asked.ts'
import { invalid, type ProblemKind } from '../problem.ts'
import { answerWork, progressMedia } from '../progress.ts'
import type { Asked, Route } from '../route.ts'
import {
  cursor,
  failure,
  instant,
  keeps,
  type Param,
  pagedAnswer,
  pageLimit,
  record,
  revision,
  text,
  wholeNumber,
} from '../wire.ts'
import { projection } from './views.ts'

const versionState = z.enum(['building', 'dual', 'active', 'retired'])
const version = wholeNumber(1)
export const viewKey = text(keeps((key) => checkKey(key, 'key')))
const ofVersion: Param = { schema: version, description: 'Of this version; default: the one that is read.', example: 2 }

const status = z.object({
  name: z.string(),
  version: revision,
  lifecycle: z.enum(['inline', 'async', 'live']),
  state: versionState,
  checkpoint: z.optional(revision),
  head: revision,
  lag: revision,
  parked: revision,
  paused: z.boolean(),
  running: z.optional(z.object({ here: z.boolean(), since: instant })),
  trouble: z.optional(failure),
  building: z.optional(z.object({ version: revision, position: revision, of: revision })),
  reads: z.optional(revision),
  before: z.optional(revision),
  versions: z.array(z.object({ version: revision, state: versionState, whole: z.boolean() })),
})
const exampleStatus = {
  ...{ name: 'customers', version: 2, lifecycle: 'async', state: 'active', checkpoint: 8_570, head: 8_577, lag: 7 },
  ...{ parked: 0, paused: false, reads: 2, before: 1 },
  running: { here: true, since: '2026-01-31T09:30:00.000Z' },
  versions: [
    { version: 1, state: 'dual', whole: true },
    { version: 2, state: 'active', whole: true },
  ],
}
const parkedView = z.object({
  key: z.string(),
  stream: z.string(),
  revision,
  type: z.string(),
  tries: revision,
  failure,
  waiting: revision,
  at: revision,
})
const exampleParked = {
  ...{ key: '42', stream: 'customer/42', revision: 7, type: 'Moved', tries: 3, waiting: 2, at: 8_571 },
  failure: { name: 'TypeError', message: 'there is no address', time: '2026-01-31T09:30:00.000Z' },
}

const versionBody = record({ version: z.optional(version) })
const rebuildBody = record({
  version: z.optional(version),
  key: z.optional(viewKey),
  switch: z.optional(z.enum(['when-built', 'by-hand'], { error: 'must be when-built or by-hand' })),
})
const rollBackBody = record({ to: z.optional(version) })
const replayParkedBody = record({ version: z.optional(version), key: z.optional(viewKey) })

const managed = { tag: 'Projections', manages: true, needs: manages } as const
const missing: readonly ProblemKind[] = ['projection-not-found']
export const changed: readonly ProblemKind[] = [...missing, 'store-read-only', 'document-conflict']
const answer = { status: 200, schema: status, description: 'What it is at now.', example: exampleStatus } as const

export const projectionRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/projections',
    tag: 'Projections',
    summary: 'All that the store has ever had, but live ones, which keep nothing',
    answer: {
      status: 200,
      schema: z.object({ projections: z.array(status) }),
      description: 'By name.',
      example: { projections: [exampleStatus] },
    },
    problems: [],
    needs: operates,
    handle: async ({ store }) => ({ projections: await store.projections.list() }),
  },
  {
    method: 'GET',
    path: '/projections/{projection}',
    tag: 'Projections',
    summary: 'What a projection is at: its versions, how far they are, and what stands in their way',
    params: { projection },
    answer,
    problems: missing,
    needs: operates,
    handle: ({ store, params }) => store.projections.status(nameIn(params)),
  },
  ...(['pause', 'resume'] as const).map(
    (action): Route => ({
      ...managed,
      method: 'POST',
      path: `/projections/{projection}/${action}`,
      summary: action === 'pause' ? 'Let nothing be folded by its runner, wherever that is' : 'Let it be folded again',
      params: { projection },
      answer,
      problems: changed,
      handle: ({ store, params }) => done(store, nameIn(params), (all, name) => all[action](name)),
    }),
  ),
  {
    ...managed,
    method: 'POST',
    path: '/projections/{projection}/rebuild',
    summary: 'Build the newest version beside the one that is read, and switch to it; or build what is read again',
    description:
      'Goes on where an earlier one was left. With `key` it is one view only. With `"switch": "by-hand"` the new version is kept beside the one that is read. It answers when it is done; ask for NDJSON to see how far it is.',
    params: { projection },
    body: { schema: rebuildBody, example: { switch: 'by-hand' }, optional: true },
    answer: { ...answer, media: progressMedia(exampleStatus, { version: 2, position: 4_000, of: 8_577 }) },
    problems: [...changed, 'projection-failed', 'view-not-ready', 'value-taken'],
    handle: (asked) =>
      answerWork(asked, (going) =>
        asked.store.projections.rebuild(nameIn(asked.params), { ...(asked.body as RebuildOptions), ...going }),
      ),
  },
  {
    ...managed,
    method: 'POST',
    path: '/projections/{projection}/switch',
    summary: 'Let readers read the version that was built',
    params: { projection },
    body: { schema: versionBody, example: { version: 2 }, optional: true },
    answer,
    problems: [...changed, 'view-not-ready'],
    handle: ({ store, params, body }) =>
      store.projections.switch(nameIn(params), body as { readonly version?: number }),
  },
  {
    ...managed,
    method: 'POST',
    path: '/projections/{projection}/roll-back',
    summary: 'Let readers read the version before again',
    description: 'With `to` it is safe to repeat: what is read already stays as it is.',
    params: { projection },
    body: { schema: rollBackBody, example: { to: 1 }, optional: true },
    answer,
    problems: changed,
    async handle({ store, params, body }) {
      const { to } = body as z.infer<typeof rollBackBody>
      const now = await store.projections.status(nameIn(params))
      if (to !== undefined && now.reads === to) return now
      if (to !== undefined && now.before !== to)
        throw invalid({ to: [`is not the version before: ${now.before ?? 'there is none'}`] })
      return store.projections.rollBack(nameIn(params))
    },
  },
  {
    ...managed,
    method: 'DELETE',
    path: '/projections/{projection}/versions/{version}',
    summary: 'Erase the views of a version that is not read, or of the only one',
    params: { projection, version: { schema: version, description: 'The version.', example: 1 } },
    answer: {
      status: 200,
      schema: z.object({ dropped: revision }),
      description: 'The version that is gone.',
      example: { dropped: 1 },
    },
    problems: changed,
    async handle({ store, params }) {
      const version = Number(params['version'])
      await store.projections.drop(nameIn(params), { version })
      return { dropped: version }
    },
  },
  {
    method: 'GET',
    path: '/projections/{projection}/parked',
    tag: 'Projections',
    summary: 'Views that are passed over since a handler has failed at them',
    params: { projection },
    query: { version: ofVersion, limit: pageLimit, cursor },
    answer: pagedAnswer('parked', parkedView, { example: exampleParked, order: 'in order of their keys' }),
    problems: missing,
    // The failure may quote an event.
    needs: manages,
    handle: ({ store, params, query }) =>
      store.projections.parked(nameIn(params), {
        ...(query['version'] !== undefined && { version: Number(query['version']) }),
        ...pageOf(query),
      }),
  },
  {
    ...managed,
    method: 'POST',
    path: '/projections/{projection}/replay-parked',
    summary: 'Make parked views anew from their streams, all or one',
    params: { projection },
    body: { schema: replayParkedBody, example: { key: '42' }, optional: true },
    answer: {
      status: 200,
      schema: z.object({ replayed: revision, parked: revision }),
      description: 'How many go on, and at how many the handler fails still.',
      example: { replayed: 1, parked: 0 },
      media: progressMedia({ replayed: 1, parked: 0 }),
    },
    problems: changed,
    handle: (asked) =>
      answerWork(asked, () =>
        asked.store.projections.replayParked(nameIn(asked.params), asked.body as ReplayParkedOptions),
      ),
  },
]

export function nameIn(params: Asked['params']): string {
  return String(params['projection'])
}

async function done(store: Store, name: string, change: (all: Projections, name: string) => Promise<void>) {
  await change(store.projections, name)
  return store.projections.status(name)
}
