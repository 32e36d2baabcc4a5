/** Replay that is kept: one view put back to what it was, or views as they were, beside those in use under a label. */
import * as z from 'zod/mini'
import type { ReplayOptions } from '../../core/replay.ts'
import { manages, operates } from '../asked.ts'
import { answerWork, progressMedia } from '../progress.ts'
import type { Route } from '../route.ts'
import { instant, record, revision, text, wholeNumber } from '../wire.ts'
import { changed, nameIn, viewKey } from './projections.ts'
import { label, projection, view } from './views.ts'

const replayed = z.object({
  name: z.string(),
  label: z.string(),
  version: revision,
  id: z.optional(z.string()),
  at: z.optional(z.union([revision, instant])),
  from: z.optional(z.union([revision, instant])),
  state: z.enum(['building', 'done']),
  views: revision,
})
const moment = z.union([wholeNumber(0), text()], { error: 'must be a revision, or an instant as text' })
const replayBody = record({
  id: z.optional(viewKey),
  at: z.optional(moment),
  from: z.optional(moment),
  as: z.optional(text()),
})

const managed = { tag: 'Projections', manages: true, needs: manages } as const

export const replayRoutes: readonly Route[] = [
  {
    ...managed,
    method: 'POST',
    path: '/projections/{projection}/replay',
    summary: 'Make views again as they were: one put back, or one or all beside those in use, under a label',
    description:
      'With `as`, a label, they are read as the view `name~label`. Without it the view with the `id` becomes what it was, and goes on from there.',
    params: { projection: view },
    body: { schema: replayBody, example: { at: '2026-01-31T09:30:00.000Z', as: 'before' } },
    answer: {
      status: 200,
      schema: z.object({ view: z.string(), views: revision }),
      description: 'What they are read as, and how many they are.',
      example: { view: 'customers~before', views: 311 },
      media: progressMedia({ view: 'customers~before', views: 311 }, { position: 4_000, of: 8_577 }),
    },
    problems: [...changed, 'projection-missing', 'projection-failed', 'view-not-ready', 'value-taken'],
    handle: (asked) =>
      answerWork(asked, (going) =>
        asked.store.projections.replay(nameIn(asked.params), { ...(asked.body as ReplayOptions), ...going }),
      ),
  },
  {
    method: 'GET',
    path: '/projections/{projection}/replays',
    tag: 'Projections',
    summary: 'What lies under the labels of a projection',
    params: { projection },
    answer: {
      status: 200,
      schema: z.object({ replays: z.array(replayed) }),
      description: 'All of them.',
      example: {
        replays: [
          { name: 'customers', label: 'before', version: 2, state: 'done', views: 311, at: '2026-01-31T09:30:00.000Z' },
        ],
      },
    },
    problems: [],
    needs: operates,
    handle: async ({ store, params }) => ({ replays: await store.projections.replays(nameIn(params)) }),
  },
  {
    ...managed,
    method: 'DELETE',
    path: '/projections/{projection}/replays/{label}',
    summary: 'Erase what lies under a label',
    params: { projection, label },
    answer: {
      status: 200,
      schema: z.object({ dropped: z.string() }),
      description: 'The label, which is free again.',
      example: { dropped: 'before' },
    },
    problems: [...changed, 'projection-missing'],
    async handle({ store, params }) {
      const label = String(params['label'])
      await store.projections.dropReplay(nameIn(params), label)
      return { dropped: label }
    },
  },
]
