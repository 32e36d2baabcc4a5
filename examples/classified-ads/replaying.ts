/** Replay: ads as they were recorded, of any time; and their views made again where they were lost. */
import type { Store } from 'daybook'
import * as z from 'zod/mini'
import { NotThere } from '../web/refused.ts'
import { type Asked, type Route, row } from '../web/route.ts'
import { adStream } from './domain.ts'
import { row as adRow, type Rows, rowsOfAd, rowsOfAll } from './history.ts'
import { paged, pages } from './paging.ts'
import { exampleRow } from './publishing.ts'
import { adViews } from './views.ts'

const many = { usual: 100, most: 1_000 }
const instant = z.optional(
  z.iso.datetime({
    offset: true,
    error: 'must be an instant such as 2026-01-31T09:30:00.000Z (RFC 3339, with an offset)',
  }),
)
const range = { startDateTime: instant, endDateTime: instant, ...pages(many) }
const replayed = {
  schema: z.array(z.extend(adRow, { id: z.string() })),
  example: [{ id: exampleRow.adId, ...exampleRow }],
}
const restored = { schema: z.object({ restored: z.int() }), example: { restored: 1 } }
const description = 'Both instants are inclusive. Nothing is written.'

export const replayingRoutes = [
  row({
    method: 'GET',
    path: '/replay',
    operationId: 'replayAll',
    tag: 'replay',
    summary: 'What was recorded of all ads, in order',
    description,
    query: range,
    answer: replayed,
    refusal: 'A parameter is wrong.',
    async handle(asked) {
      const { limit = many.usual, ...range } = asked.query
      return told(asked, await rowsOfAll(asked.store, { limit, ...range }))
    },
  }),
  replayOf('/replay/{id}', 'replayAd'),
  replayOf('/id/{id}', 'replayDocument'),
  row({
    method: 'POST',
    path: '/replay',
    operationId: 'restoreAll',
    tag: 'replay',
    summary: 'Make the views of all ads again',
    description: 'One after the other, while ads are read and written. Says how many ads there are.',
    answer: restored,
    handle: async ({ store }) => ({ restored: await restoreAll(store) }),
  }),
  row({
    method: 'POST',
    path: '/replay/{id}',
    operationId: 'restoreAd',
    tag: 'replay',
    summary: 'Make the view of an ad again',
    description: 'Of one that was lost. Of one that was deleted there is none, and 0 is answered.',
    answer: restored,
    refusal: 'The id is none.',
    missing: 'There never was such an ad.',
    async handle({ store, path: { id = '' } }) {
      if (!(await store.details(adStream(id)))) throw new NotThere(`Ad ${id} never was`, { adId: id })
      return { restored: await restore(store, id) }
    },
  }),
]

function replayOf(path: string, operationId: string): Route {
  return row({
    method: 'GET',
    path,
    operationId,
    tag: 'replay',
    summary: 'What was recorded of an ad, in order',
    description,
    query: range,
    answer: replayed,
    refusal: 'A parameter is wrong.',
    missing: 'There never was such an ad.',
    async handle(asked) {
      const { limit = many.usual, ...range } = asked.query
      return told(asked, await rowsOfAd(asked.store, asked.path['id'] ?? '', { limit, ...range }))
    },
  })
}

function told(asked: Asked, { rows, next }: Rows): readonly object[] {
  const documents = rows.map((row) => ({ id: row.adId, ...row }))
  return paged(asked, documents, next)
}

async function restore(store: Store, adId: string): Promise<number> {
  return (await store.projections.replay(adViews, { id: adId })).views
}

/** So many ads at a time. */
const atOnce = 8

async function restoreAll(store: Store): Promise<number> {
  const restored = new Set<string>()
  const restoreSome = async (adIds: readonly string[]) => {
    await Promise.all(adIds.map(async (adId) => (await restore(store, adId)) > 0 && restored.add(adId)))
  }
  let some: string[] = []
  for await (const { stream } of store.streams('ad')) {
    some.push(stream.slice(adStream('').length))
    if (some.length < atOnce) continue
    await restoreSome(some)
    some = []
  }
  await restoreSome(some)
  return restored.size
}
