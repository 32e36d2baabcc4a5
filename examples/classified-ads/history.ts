/** What was recorded of ads, as rows: each the ad as it was from then on. */
import { isStoreError, type Recorded, type Store } from 'daybook'
import * as z from 'zod/mini'
import { NotThere } from '../web/refused.ts'
import { type AdEvent, adStream } from './domain.ts'
import { noCursor, placeOf } from './paging.ts'

const text = z.nullable(z.string())

export const row = z.object({
  adId: z.string(),
  publisherId: z.string(),
  adTitle: text,
  adDescription: text,
  category: text,
  currency: text,
  price: z.nullable(z.number()),
  tags: z.array(z.string()),
  /** Of an ad the first is 0. */
  version: z.int(),
  timestamp: z.string().check(z.meta({ format: 'date-time' })),
  /** There in the row of a deletion. */
  deleted: z.optional(z.literal(true)),
})
export type Row = z.infer<typeof row>

export interface Range {
  /** Instants, inclusive. */
  readonly startDateTime?: string | undefined
  readonly endDateTime?: string | undefined
  readonly limit: number
  /** `next` of the page before. */
  readonly cursor?: string | undefined
}

export interface Rows {
  readonly rows: readonly Row[]
  readonly next?: string
}

const nothing = { adTitle: null, adDescription: null, category: null, currency: null, price: null, tags: [] }

export function rowOf(event: Recorded<AdEvent>): Row {
  const { type, data, revision, time } = event
  const { adId, publisherId } = data
  return {
    ...{ adId, publisherId, ...nothing },
    ...data,
    version: revision - 1,
    timestamp: time,
    ...(type === 'AdDeleted' && { deleted: true as const }),
  }
}

/** A page of one ad's, oldest first; none of one that was erased. Throws `NotThere` for one that never was. */
export async function rowsOfAd(store: Store, adId: string, range: Range): Promise<Rows> {
  const { startDateTime, endDateTime: until, limit } = range
  const rows: Row[] = []
  let after = placeOf(range.cursor)
  for (;;) {
    const page = await store.readPage(adStream(adId), { after, limit: limit - rows.length, ...(until && { until }) })
    if (!page.details) throw new NotThere(`Ad ${adId} never was`, { adId })
    rows.push(
      ...page.events
        .filter(isAdEvent)
        .filter(({ time }) => isFrom(startDateTime, time))
        .map(rowOf),
    )
    after = page.events.at(-1)?.revision ?? after
    if (!page.more) return { rows }
    if (rows.length >= limit) return { rows, next: String(after) }
  }
}

/** How many events one page of all ads looks at; it may be short of what was asked, and have a next one. */
const lookedAt = 10_000
const types = ['AdCreated', 'AdUpdated', 'AdDeleted']

/** A page of all ads', in order of the log; none of those that were erased. */
export async function rowsOfAll(store: Store, range: Range): Promise<Rows> {
  const { startDateTime, endDateTime: until, limit } = range
  const rows: Row[] = []
  let after = placeOf(range.cursor)
  for (let looked = 0; looked < lookedAt && rows.length < limit; ) {
    const asked = { after, limit: limit - rows.length, streamTypes: ['ad'], types, ...(until && { until }) }
    const { entries, more, scannedTo } = await store.readLogPage(asked).catch((error) => {
      throw isStoreError(error, 'position-beyond-head') ? noCursor() : error
    })
    rows.push(
      ...entries
        .filter(isAdEvent)
        .filter(({ time }) => isFrom(startDateTime, time))
        .map(rowOf),
    )
    if (!more) return { rows }
    looked += scannedTo - after
    after = scannedTo
  }
  return { rows, next: String(after) }
}

/** Not the tombstone of one that was erased. */
function isAdEvent(entry: object): entry is Recorded<AdEvent> {
  return 'type' in entry && types.includes(String(entry.type))
}

function isFrom(start: string | undefined, time: string): boolean {
  return start === undefined || Date.parse(time) >= Date.parse(start)
}
