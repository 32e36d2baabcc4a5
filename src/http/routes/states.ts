/** State snapshots: all views as they are at a position, in the place that the server was started with. */
import * as z from 'zod/mini'
import type { StatesTakeOptions } from '../../core/state-taking.ts'
import type { StatesRestoreOptions } from '../../core/states.ts'
import { manages, operates } from '../asked.ts'
import type { ProblemKind } from '../problem.ts'
import { answerWork, progressMedia } from '../progress.ts'
import type { Route } from '../route.ts'
import { instant, list, record, revision, text, wholeNumber } from '../wire.ts'

const snapshot = z.object({
  number: revision,
  madeAt: instant,
  position: revision,
  projections: z.array(
    z.object({ name: z.string(), version: revision, position: revision, views: revision, bytes: revision }),
  ),
  leftOut: z.array(z.object({ name: z.string(), reason: z.string() })),
})
const restored = z.object({
  number: revision,
  projections: z.array(z.object({ name: z.string(), version: revision, views: revision, position: revision })),
})
const exampleSnapshot = {
  ...{ number: 3, madeAt: '2026-02-01T00:00:00.000Z', position: 8_577, leftOut: [] },
  projections: [{ name: 'customers', version: 2, position: 8_577, views: 311, bytes: 40_311 }],
}
const exampleRestored = {
  number: 3,
  projections: [{ name: 'customers', version: 2, views: 311, position: 8_577 }],
}
const names = z.optional(list(text()))
const takeBody = record({ projections: names })
const restoreBody = record({ number: z.optional(wholeNumber(1)), projections: names })
const pruneBody = record({ keep: wholeNumber(1) })

const broken: readonly ProblemKind[] = ['unsupported', 'object-damaged']
const managed = { tag: 'State snapshots', manages: true, needs: manages } as const

export const stateRoutes: readonly Route[] = [
  {
    ...managed,
    method: 'POST',
    path: '/states',
    summary: 'Write all views down, or those of some projections, while others write',
    body: { schema: takeBody, example: { projections: ['customers'] }, optional: true },
    answer: {
      status: 200,
      schema: snapshot,
      description: 'The snapshot, and from which position each projection would go on.',
      example: exampleSnapshot,
      media: progressMedia(exampleSnapshot, { projection: 'customers', views: 200 }),
    },
    problems: [...broken, 'projection-not-found', 'view-not-ready'],
    handle: (asked) =>
      answerWork(asked, (going) => asked.store.states.take({ ...(asked.body as StatesTakeOptions), ...going })),
  },
  {
    method: 'GET',
    path: '/states',
    tag: 'State snapshots',
    summary: 'The snapshots that there are, the oldest first',
    answer: {
      status: 200,
      schema: z.object({ states: z.array(snapshot) }),
      description: 'All of them.',
      example: { states: [exampleSnapshot] },
    },
    problems: broken,
    needs: operates,
    handle: async ({ store }) => ({ states: await store.states.list() }),
  },
  {
    ...managed,
    method: 'POST',
    path: '/states/restore',
    summary: 'Put the views of a snapshot back, and let them catch up',
    description:
      'By default all projections of the newest. Until they have caught up they are not read. What does not fit is refused before anything is changed.',
    body: { schema: restoreBody, example: { number: 3, projections: ['customers'] }, optional: true },
    answer: {
      status: 200,
      schema: restored,
      description: 'How many views were put back, and from which position each projection has caught up.',
      example: exampleRestored,
      media: progressMedia(exampleRestored, { projection: 'customers', phase: 'restoring', done: 200, of: 311 }),
    },
    problems: [...broken, 'log-diverged', 'position-beyond-head', 'store-read-only', 'document-conflict'],
    handle: (asked) =>
      answerWork(asked, (going) => asked.store.states.restore({ ...(asked.body as StatesRestoreOptions), ...going })),
  },
  {
    ...managed,
    method: 'POST',
    path: '/states/prune',
    summary: 'Delete the oldest snapshots, and keep so many',
    body: { schema: pruneBody, example: { keep: 12 } },
    answer: {
      status: 200,
      schema: z.object({ pruned: z.array(revision) }),
      description: 'The numbers of those that are gone.',
      example: { pruned: [1, 2] },
    },
    problems: broken,
    handle: ({ store, body }) => store.states.prune(body as { readonly keep: number }),
  },
]
