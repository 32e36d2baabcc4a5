/** From stored records to events: bounded pages below, endless iteration above. */
import { checkObject, checkOrdinal } from './argument.ts'
import { parseContent } from './content.ts'
import { EventArchived, InvalidArgument, isStoreError, StreamForgotten } from './errors.ts'
import type { AnyEvent, ForgottenEntry, LogEntry, Recorded } from './event.ts'
import { type Forming, formed } from './form.ts'
import { limits } from './limits.ts'
import { checkStream } from './name.ts'
import { type Observer, observe } from './observe.ts'
import type { Direction, LogPage, LogRecord, Storage } from './storage.ts'
import { detailsOf, type StreamDetails } from './stream.ts'
import { formatInstant, instantFormatter, parseInstant } from './time.ts'

/** Where a read ends: an ordinal (revision or position), or an instant (RFC 3339 text or `Date`); both inclusive. */
export type Until = number | string | Date

export interface ReadOptions {
  /** Exclusive; default 0. */
  readonly after?: number
  readonly until?: Until
  /** Recorded at or before this instant, beside an ordinal in `until`. */
  readonly asOf?: string | Date
  /** Default `'forwards'`; `'backwards'` begins with the newest of the range. */
  readonly direction?: Direction
  /** At most so many events; for a page 1 to 1,000, default 100. */
  readonly limit?: number
  /** Events as they were recorded: not in their newest form, and with the version that they were written under in `meta`. */
  readonly raw?: boolean
  readonly signal?: AbortSignal
}

/** A checked range, as the port takes it. */
export interface Range {
  readonly after: number
  readonly until?: number
  readonly asOf?: number
  readonly direction: Direction
}

export function rangeOf(options: ReadOptions): Range {
  checkObject(options, 'options')
  const { after = 0, until, asOf, direction = 'forwards' } = options
  checkOrdinal(after, 'after')
  if (direction !== 'forwards' && direction !== 'backwards') {
    throw new InvalidArgument('direction', `must be 'forwards' or 'backwards'`)
  }
  if (until !== undefined && typeof until !== 'number') {
    if (asOf !== undefined) throw new InvalidArgument('asOf', 'stands beside an instant in "until"')
    return { after, asOf: parseInstant(until, 'until'), direction }
  }
  if (until !== undefined) checkOrdinal(until, 'until')
  return {
    after,
    ...(until !== undefined && { until }),
    ...(asOf !== undefined && { asOf: parseInstant(asOf, 'asOf') }),
    direction,
  }
}

/** A checked range of one page, for a storage or for a wire. */
export interface PageRange extends Range {
  readonly limit: number
}

export function pageRangeOf(options: ReadOptions): PageRange {
  return { ...rangeOf(options), limit: pageSize(options.limit) }
}

export function pageSize(limit: number = limits.pageRecordsDefault): number {
  if (Number.isSafeInteger(limit) && limit >= 1 && limit <= limits.pageRecords) return limit
  throw new InvalidArgument('limit', `must be 1 to ${limits.pageRecords}`)
}

/** A total over all pages: any whole number from 0. */
export function totalLimit(limit: number = Number.POSITIVE_INFINITY): number {
  if (limit === Number.POSITIVE_INFINITY || (Number.isSafeInteger(limit) && limit >= 0)) return limit
  throw new InvalidArgument('limit', 'must be 0, 1, 2 …')
}

/**
 * Turns the records of a page into events. Throws `EventArchived` for a trimmed record that was not given its content back:
 * nothing is folded past it.
 */
export function eventReader<Event extends AnyEvent>(): (record: LogRecord) => Recorded<Event> {
  const format = instantFormatter()
  return (record) => {
    if (record.state === 'trimmed') throw new EventArchived(record)
    // It was forgotten since the page was read.
    if (record.state === 'forgotten') throw new StreamForgotten(record.stream)
    const { id, type, tags, data, meta } = parseContent(record.content)
    const { stream, revision, position } = record
    const time = format(record.time)
    // One shape for nearly all events, written out: a scan spends much of its time here.
    const event: Recorded =
      position === undefined
        ? { id, stream, revision, time, type, data, meta, tags }
        : { id, stream, revision, position, time, type, data, meta, tags }
    return (record.state === 'tombstone' ? { ...event, tombstone: true as const } : event) as Recorded<Event>
  }
}

export function logEntryReader<Event extends AnyEvent>(): (record: LogRecord) => LogEntry<Event> {
  const readEvent = eventReader<Event>()
  return (record) => (record.state === 'forgotten' ? forgottenEntry(record) : readEvent(record))
}

function forgottenEntry({ stream, revision, position, time }: LogRecord): ForgottenEntry {
  return { stream, revision, ...(position !== undefined && { position }), time: formatInstant(time), forgotten: true }
}

/** One item after the other out of pages, up to `limit` or until `ended`. Pages are asked for as they are needed. */
export async function* flatten<Item>(
  pages: AsyncIterable<readonly Item[]>,
  limit = Number.POSITIVE_INFINITY,
  ended?: AbortSignal,
): AsyncGenerator<Item> {
  let left = limit
  if (left <= 0) return
  for await (const page of pages) {
    for (const item of page) {
      yield item
      if (--left <= 0 || ended?.aborted) return
    }
  }
}

/** What reads need of the store. */
export interface Reading extends Forming {
  readonly storage: Storage
  readonly observer?: Observer | undefined
  /** By filter, what subscriptions have just begun to read. */
  readonly tail: Map<string, { readonly after: number; readonly page: Promise<LogPage> }>
}

export interface EventPage<Event extends AnyEvent = AnyEvent> {
  /** Absent: there is no such stream. */
  readonly details?: StreamDetails
  readonly events: readonly Recorded<Event>[]
  readonly more: boolean
}

export function eventPage<Event extends AnyEvent>(
  reading: Reading,
  stream: string,
  range: PageRange,
): Promise<EventPage<Event>> {
  const { storage, observer } = reading
  const call = { layer: 'store', name: 'read', size: ({ events }: EventPage) => events.length } as const
  return observe(observer, call, () =>
    rereading(async () => {
      const page = await storage.readStream(stream, range)
      const events = await formed<Event, Recorded<Event>>(reading, page.records, eventReader<Event>())
      return { ...(page.head && { details: detailsOf(page.head) }), events, more: page.more }
    }),
  )
}

/** What is forgotten between a page and its archived content is not in the next reading of the page. */
export function rereading<Page>(read: () => Promise<Page>): Promise<Page> {
  return read().catch((error) => {
    if (isStoreError(error, 'stream-forgotten')) return read()
    throw error
  })
}

/** Page after page of a range; `pageOf` asks for one. */
export async function* eventPages<Event extends AnyEvent>(
  pageOf: (range: PageRange) => Promise<EventPage<Event>>,
  options: ReadOptions,
): AsyncGenerator<readonly Recorded<Event>[]> {
  let range: PageRange = { ...rangeOf(options), limit: iteratedPage(options.limit) }
  while (true) {
    options.signal?.throwIfAborted()
    const { events, more } = await pageOf(range)
    yield events
    const last = events.at(-1)?.revision
    if (!more || last === undefined) return
    range = range.direction === 'backwards' ? { ...range, until: last - 1 } : { ...range, after: last }
  }
}

/** What one page of an iteration asks for, which may want less in all. */
export function iteratedPage(limit: number = limits.iterateRecords): number {
  return Math.max(1, Math.min(limits.iterateRecords, limit))
}

/** What gives events as the options ask for them. */
export function readingAs(reading: Reading, { raw = false }: Pick<ReadOptions, 'raw'>): Reading {
  return raw ? { ...reading, upcasters: [], raw } : reading
}

/** Says at the call, and not at the first event, what is wrong with it. */
export function checkRead(stream: string, options: ReadOptions): void {
  checkStream(stream)
  rangeOf(options)
  totalLimit(options.limit)
}
