/** What was recorded of ads, as rows: each the ad as it was from then on. */
import { isStoreError, type ReadOptions, type Recorded, type Store } from 'daybook'
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

const types = ['AdCreated', 'AdUpdated', 'AdDeleted']

/** What is left to say of an ad that is deleted. */
export const nothing = { adTitle: null, adDescription: null, category: null, currency: null, price: null, tags: [] }

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
export function rowsOfAd(store: Store, adId: string, range: Range): Promise<Rows> {
  return pageOf(range, async (options) => {
    const { details, events, more } = await store.readPage(adStream(adId), options)
    if (!details) throw new NotThere(`Ad ${adId} never was`, { adId })
    return { events, more, readTo: events.at(-1)?.revision ?? options.after }
  })
}

/** A page of all ads', in order of the log; none of those that were erased. */
export function rowsOfAll(store: Store, range: Range): Promise<Rows> {
  return pageOf(range, async (options) => {
    try {
      const page = await store.readLogPage({ ...options, streamTypes: ['ad'], types })
      return { events: page.entries, more: page.more, readTo: page.scannedTo }
    } catch (error) {
      throw isStoreError(error, 'position-beyond-head') ? noCursor() : error
    }
  })
}

/** How many events one page looks at, and a page of the store may be of few large ones: it may be short, and have a next one. */
const lookedAt = 10_000

interface Read {
  readonly events: readonly object[]
  readonly more: boolean
  readonly readTo: number
}

async function pageOf(
  { startDateTime, endDateTime: until, limit, cursor }: Range,
  read: (options: ReadOptions & { readonly after: number }) => Promise<Read>,
): Promise<Rows> {
  const rows: Row[] = []
  const begin = placeOf(cursor)
  for (let after = begin; ; ) {
    const wanted = limit - rows.length
    const { events, more, readTo } = await read({ after, limit: wanted, ...(until && { until }) })
    rows.push(
      ...events
        .filter(isAdEvent)
        .filter(({ time }) => isFrom(startDateTime, time))
        .map(rowOf),
    )
    if (!more) return { rows }
    const isShort = rows.length > 0 && events.length < wanted
    if (rows.length === limit || isShort || readTo - begin >= lookedAt) return { rows, next: String(readTo) }
    after = readTo
  }
}

/** Not the tombstone of one that was erased. */
function isAdEvent(entry: object): entry is Recorded<AdEvent> {
  return 'type' in entry && types.includes(String(entry.type))
}

function isFrom(start: string | undefined, time: string): boolean {
  return start === undefined || Date.parse(time) >= Date.parse(start)
}
