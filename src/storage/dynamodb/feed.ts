/**
 * The log in order of position, as the sequencer has written it: pages of entries, in partitions of 100,000 positions.
 * Entries tell by keyed hashes what a filter may want; the records themselves say it exactly.
 */
import { limits } from '../../core/limits.ts'
import { streamTypeOf } from '../../core/name.ts'
import { type LogFilter, matchesFilter, passesForgotten, passesTombstone } from '../../core/query.ts'
import type { Direction, LogPage, LogQuery, LogRecord, Position } from '../../core/storage.ts'
import { hasWord, labelsOf, recordOf, type Slot, slotsOf, tagWord, typeWord, wordOf } from './body.ts'
import {
  bucketKey,
  bucketOf,
  bucketPositions,
  type ClosingItem,
  closingKey,
  numberOf,
  type PageEntry,
  type PageItem,
  padded,
  type RecordItem,
  recordKey,
} from './items.ts'
import type { Session } from './session.ts'

/** One record's place in the feed. */
export interface Entry {
  readonly stream: string
  readonly revision: number
  readonly count: number
  readonly time: number
  readonly words: Uint8Array
  /** Of its first event. */
  readonly position: Position
}

const everything = { from: `p${padded(0)}`, to: `p${padded(Number.MAX_SAFE_INTEGER)}` }

/**
 * The newest page; undefined while nothing has a position. Only what lies behind the newest one that was seen is asked
 * for, so that a log at rest costs the least that a request can cost.
 */
export async function lastPage(session: Session): Promise<PageItem | undefined> {
  const { feed } = session
  const next = (feed.page?.end ?? 0) + 1
  let bucket = bucketOf(next)
  let page = await pageBetween(session, bucket, { from: next, to: Number.MAX_SAFE_INTEGER })
  // A page that fills its partition may have a next one behind it; whoever looks for the first time doubles its steps.
  for (let step = 1; page !== undefined && page.end >= (bucket + 1) * bucketPositions; ) {
    const further = await pageBetween(session, bucket + step, { from: next, to: Number.MAX_SAFE_INTEGER })
    if (further !== undefined) {
      bucket += step
      page = further
      step *= 2
    } else if (step === 1) break
    else step /= 2
  }
  sawPage(session, page)
  return feed.page
}

export function sawPage({ feed }: Pick<Session, 'feed'>, page: PageItem | undefined): void {
  if (page !== undefined && page.end > (feed.page?.end ?? 0)) feed.page = page
}

export async function readHead(session: Session): Promise<Position> {
  return (await lastPage(session))?.end ?? 0
}

/** The last page of a partition that begins in a range. */
async function pageBetween(
  { table }: Session,
  bucket: number,
  { from, to }: { readonly from: Position; readonly to: Position },
): Promise<PageItem | undefined> {
  const range = { pk: bucketKey(bucket), from: `p${padded(from)}`, to: `p${padded(to)}` }
  const { items } = await table.query({ ...range, direction: 'backwards', limit: 1 })
  return items[0] as PageItem | undefined
}

function pageBefore(session: Session, bucket: number, position: Position): Promise<PageItem | undefined> {
  return bucket < 0 ? Promise.resolve(undefined) : pageBetween(session, bucket, { from: 0, to: position })
}

/** The page that holds a position which is in the log: the last of the partition before may reach into this one. */
async function pageAt(session: Session, position: Position): Promise<PageItem | undefined> {
  const { page } = session.feed
  if (page !== undefined && position >= numberOf(page) && position <= page.end) return page
  const bucket = bucketOf(position)
  return (await pageBefore(session, bucket, position)) ?? (await pageBefore(session, bucket - 1, position))
}

/** Pages that one query fetches at most. */
const pagesAtOnce = 10

/**
 * Pages from the one that holds a position on, to the end of the log or its beginning. Pages are large, so no more are
 * fetched at first than the wanted events may fill; whoever goes on gets more at a time.
 */
export async function* pagesFrom(
  session: Session,
  position: Position,
  { direction = 'forwards', wanted = Number.MAX_SAFE_INTEGER }: { direction?: Direction; wanted?: number } = {},
): AsyncGenerator<PageItem> {
  let page = await pageAt(session, position)
  for (let atOnce = 0; page !== undefined; ) {
    yield page
    atOnce = Math.min(pagesAtOnce, atOnce === 0 ? Math.ceil(wanted / (page.end - numberOf(page) + 1)) : 2 * atOnce)
    const first = numberOf(page)
    const forwards = direction === 'forwards'
    const next: Position = forwards ? page.end + 1 : first - 1
    if (next < 1) return
    const bucket = bucketOf(forwards ? next : first)
    const range = forwards
      ? { from: `p${padded(next)}`, to: everything.to }
      : { from: everything.from, to: `p${padded(next)}` }
    const { items } = await session.table.query({ pk: bucketKey(bucket), ...range, direction, limit: atOnce })
    const pages = items as readonly PageItem[]
    yield* pages.slice(0, -1)
    page = pages.at(-1) ?? (forwards ? undefined : await pageBefore(session, bucket - 1, next))
  }
}

export function entriesOf(page: PageItem): readonly Entry[] {
  let position = numberOf(page)
  return (JSON.parse(page.e) as readonly PageEntry[]).map(([stream, revision, count, time, words]) => {
    const entry = { stream, revision, count, time, words: Buffer.from(words, 'base64'), position }
    position += count
    return entry
  })
}

/** Streams that are closed but not emptied: what they hold reads as forgotten. */
export async function closingStreams({ table }: Session): Promise<ReadonlySet<string>> {
  const streams = new Set<string>()
  const { pk } = closingKey('')
  const most = 1_000
  for (let from = '\0'; ; ) {
    const { items, more } = await table.query({ pk, from, to: '\u{10ffff}', direction: 'forwards', limit: most })
    for (const item of items) streams.add((item as ClosingItem).st)
    if (!more) return streams
    from = `${items.at(-1)?.sk}\0`
  }
}

/** The last position before the first one that was recorded after the instant. Pages know the latest time up to them. */
export async function positionAsOf(session: Session, instant: number, head: Position): Promise<Position> {
  let late: PageItem | undefined
  for (let [known, beyond] = [0, head + 1]; beyond - known > 1; ) {
    const page = await pageAt(session, Math.floor((known + beyond) / 2))
    if (page === undefined) break
    if (page.t <= instant) known = page.end
    else {
      late = page
      beyond = numberOf(page)
    }
  }
  const entry = late && entriesOf(late).find(({ time }) => time > instant)
  return entry ? entry.position - 1 : head
}

/** Records that are fetched at once. */
const recordsAtOnce = 100

export async function readLog(session: Session, query: LogQuery): Promise<LogPage> {
  const { after, direction, asOf } = query
  // Both before the records: what is closed from here on was still open when the reading began.
  const [head, closing] = await Promise.all([readHead(session), closingStreams(session)])
  const cut = asOf === undefined ? head : await positionAsOf(session, asOf, head)
  const until = Math.min(query.until ?? head, cut)
  const page = { logId: session.log.id, head }
  if (until <= after) return { ...page, records: [], scannedTo: after, more: false }
  const backwards = direction === 'backwards'
  const filter = filterOf(session, query)
  const start = backwards ? until : after + 1
  const last = backwards
    ? Math.max(after + 1, until - limits.scanRecords + 1)
    : Math.min(until, after + limits.scanRecords)
  const range = { from: backwards ? last : start, to: backwards ? start : last }
  const records: LogRecord[] = []
  let bytes = 0
  for await (const run of runsOf(session, { ...range, direction, filter, limit: query.limit })) {
    for (const { slot, position } of run) {
      const record = visible(query, slot, { position, hidden: closing.has(slot.stream) })
      if (record === undefined) continue
      bytes += slot.content.length
      if (records.length > 0 && bytes > limits.pageBytes) return upTo(records.at(-1)?.position)
      records.push(record)
      // Whether more of it is wanted is seen by who goes on; to fetch what is left out would cost as much again.
      if (records.length === query.limit) return upTo(position)
    }
  }
  return upTo(last)

  function upTo(scannedTo: Position = after): LogPage {
    return { ...page, records, scannedTo, more: backwards ? scannedTo > after + 1 : scannedTo < until }
  }
}

interface Placed {
  readonly slot: Slot
  readonly position: Position
}

/** Events of a range whose records may be wanted, in order, as many at once as a page may need. */
async function* runsOf(
  session: Session,
  range: {
    readonly from: Position
    readonly to: Position
    readonly direction: Direction
    readonly limit: number
    readonly filter: (entry: Entry) => boolean
  },
): AsyncGenerator<readonly Placed[]> {
  const { from, to, direction, filter, limit } = range
  const backwards = direction === 'backwards'
  let run: Entry[] = []
  let events = 0
  let given = 0
  const flush = async () => {
    const placed = await eventsOf(session, run)
    run = []
    given += events
    events = 0
    const inside = placed.filter(({ position }) => position >= from && position <= to)
    return backwards ? inside.reverse() : inside
  }
  for await (const page of pagesFrom(session, backwards ? to : from, { direction, wanted: limit })) {
    if (backwards ? page.end < from : numberOf(page) > to) break
    const entries = entriesOf(page)
    for (const entry of backwards ? entries.toReversed() : entries) {
      if (entry.position > to || entry.position + entry.count <= from) continue
      if (!filter(entry)) continue
      if (backwards) run.unshift(entry)
      else run.push(entry)
      events += entry.count
      const enough = given < limit ? limit - given : recordsAtOnce
      if (run.length === recordsAtOnce || events >= enough) yield await flush()
    }
    if (backwards ? numberOf(page) <= from : page.end >= to) break
  }
  if (run.length > 0) yield await flush()
}

async function eventsOf(session: Session, entries: readonly Entry[]): Promise<Placed[]> {
  const records = await session.table.getMany(entries.map(({ stream, revision }) => recordKey(stream, revision)))
  const slots = await Promise.all(
    entries.map(({ stream }, index) => slotsOf(session.table, stream, [records[index] as RecordItem])),
  )
  return entries.flatMap(({ position }, index) =>
    (slots[index] ?? []).map((slot, at) => ({ slot, position: position + at })),
  )
}

/** What an entry tells of a filter: stream types exactly, event types and tags by their keyed hashes. */
function filterOf(
  { hash }: Session,
  { streamTypes = [], types = [], tags = [] }: LogFilter,
): (entry: Entry) => boolean {
  const typeWords = types.map((type) => wordOf(hash, typeWord(type)))
  const tagWords = tags.map((tag) => wordOf(hash, tagWord(tag)))
  return ({ stream, words }) => {
    if (streamTypes.length > 0 && !streamTypes.includes(streamTypeOf(stream))) return false
    // A tombstone passes whatever types and tags are asked for; its entry has the word of its kind.
    if (words.length === 0) return true
    const typed = typeWords.length === 0 || typeWords.some((word) => hasWord(words, word))
    return typed && tagWords.every((word) => hasWord(words, word))
  }
}

function visible(
  query: LogQuery,
  slot: Slot,
  { position, hidden }: { readonly position: Position; readonly hidden: boolean },
): LogRecord | undefined {
  const record = recordOf(slot, { position, hidden, evidence: query.evidence })
  switch (record.state) {
    case 'tombstone':
      return passesTombstone(query, slot.stream) ? record : undefined
    case 'forgotten':
      return passesForgotten(query, slot.stream) ? record : undefined
    case 'stored':
    case 'trimmed': {
      const labels = labelsOf(slot)
      return labels && matchesFilter(query, slot.stream, labels) ? record : undefined
    }
  }
}
