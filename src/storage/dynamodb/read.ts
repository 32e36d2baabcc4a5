/** Reading a stream: by its own partition, strongly consistent, positions beside the records. */
import { limits } from '../../core/limits.ts'
import type { LogRecord, Position, Revision, RevisionRange, StreamHead, StreamPage } from '../../core/storage.ts'
import { recordOf, type Slot, slotsOf } from './body.ts'
import { type MarkItem, numberOf, type RecordItem } from './items.ts'
import type { Session } from './session.ts'
import { firstOf, lastOf, look, marksOf, positionAt, recordAt, recordsOf } from './stream.ts'

/** Records that one query fetches. */
const recordsAtOnce = 100

export async function readStream(session: Session, stream: string, range: RevisionRange): Promise<StreamPage> {
  const { newest, seen, marks } = await begin(session, stream, range)
  if (newest === undefined) return { records: [], more: false }
  const last = lastOf(newest)
  const position = seen.includes(newest) ? positionOf(marks, last) : await positionAt(session, stream, last)
  const head: StreamHead = {
    ...{ stream, revision: last, time: newest.t, closed: newest.z === 1 },
    ...(position !== undefined && { position }),
  }
  // What a tombstone closes is hidden, so that only its own revision is left of any range.
  const from = head.closed ? Math.max(range.after + 1, last) : range.after + 1
  const asked = Math.min(range.until ?? last, last)
  const to =
    range.asOf === undefined
      ? asked
      : Math.min(asked, await revisionAsOf(session, stream, { newest, asOf: range.asOf }))
  if (to < from) return { head, records: [], more: false }
  const records: LogRecord[] = []
  let bytes = 0
  for await (const { slot, position } of eventsBetween(session, stream, { ...range, from, to, newest, seen, marks })) {
    bytes += slot.content.length
    if (records.length > 0 && (records.length === range.limit || bytes > limits.pageBytes)) {
      return { head, records, more: true }
    }
    records.push(recordOf(slot, { position }))
  }
  return { head, records, more: false }
}

type Marks = ReadonlyMap<Revision, MarkItem>

/**
 * The newest record, and what was read on the way to it: where a range begins or ends at the stream's end, its first
 * records and their marks lead there, and nothing has to be read only for that. `seen` follows each other, ascending.
 */
async function begin(
  session: Session,
  stream: string,
  { after, until, asOf, direction, limit }: RevisionRange,
): Promise<{ readonly newest: RecordItem | undefined; readonly seen: readonly RecordItem[]; readonly marks: Marks }> {
  const none = { seen: [], marks: new Map() }
  // Behind the largest revision there is no range that the engine would take.
  if (asOf !== undefined || until !== undefined || after === Number.MAX_SAFE_INTEGER) {
    return { ...none, newest: await look(session, stream) }
  }
  const { table } = session
  const page = { direction, limit: Math.min(limit + 1, recordsAtOnce) }
  const [{ items, more }, found] = await Promise.all([
    table.query({ ...recordsOf(stream, after + 1), ...page }),
    table.query({ ...marksOf(stream, after + 1), ...page }),
  ])
  const seen = (direction === 'forwards' ? items : items.toReversed()) as readonly RecordItem[]
  const marks = marksByRevision(found.items as readonly MarkItem[])
  // A range that begins inside the last record, or behind the stream's end, finds nothing.
  const isAtEnd = seen.length > 0 && (direction === 'backwards' || !more)
  const newest = isAtEnd ? seen.at(-1) : after === 0 && seen.length === 0 ? undefined : await look(session, stream)
  return { newest, seen, marks }
}

/** The last revision that was recorded at or before the instant; times never fall within a stream, so it is halved. */
async function revisionAsOf(
  session: Session,
  stream: string,
  { newest, asOf }: { readonly newest: RecordItem; readonly asOf: number },
): Promise<Revision> {
  if (newest.t <= asOf) return lastOf(newest)
  let known = 0
  let beyond = firstOf(newest)
  while (beyond - known > 1) {
    const record = await recordAt(session, stream, Math.floor((known + beyond) / 2))
    if (record === undefined) break
    if (record.t <= asOf) known = lastOf(record)
    else beyond = firstOf(record)
  }
  return known
}

interface Range {
  readonly from: Revision
  readonly to: Revision
  readonly direction: 'forwards' | 'backwards'
  readonly limit: number
  readonly newest: RecordItem
  /** What of it was read already, and the marks of that. */
  readonly seen: readonly RecordItem[]
  readonly marks: Marks
}

async function* eventsBetween(
  session: Session,
  stream: string,
  { from, to, direction, limit, newest, seen, marks: seenMarks }: Range,
): AsyncGenerator<{ readonly slot: Slot; readonly position?: Position | undefined }> {
  const backwards = direction === 'backwards'
  for await (const records of runsOf(session, stream, { from, to, direction, limit, newest, seen })) {
    const marks = records === seen ? seenMarks : await marksBetween(session, stream, records)
    const slots = await slotsOf(session.table, stream, records)
    const wanted = slots.filter(({ revision }) => revision >= from && revision <= to)
    for (const slot of backwards ? wanted.reverse() : wanted) yield { slot, position: positionOf(marks, slot.revision) }
  }
}

/** Records that cover the range, in ascending runs; the runs follow the direction. */
async function* runsOf(
  session: Session,
  stream: string,
  { from, to, direction, limit, newest, seen }: Omit<Range, 'marks'>,
): AsyncGenerator<readonly RecordItem[]> {
  const most = Math.min(limit + 1, recordsAtOnce)
  const [first] = seen
  if (firstOf(newest) <= from) return yield first === newest ? seen : [newest]
  if (direction === 'forwards') {
    // The record that holds the first revision may begin before it.
    const before = from === 1 || (first && firstOf(first) === from) ? undefined : await recordAt(session, stream, from)
    if (before) yield [before]
    if (first) yield seen
    const read = seen.at(-1) ?? before
    let next = read ? lastOf(read) + 1 : from
    while (next <= to) {
      const { items } = await session.table.query({ ...recordsOf(stream, next, to), direction, limit: most })
      const records = items as readonly RecordItem[]
      const last = records.at(-1)
      if (last === undefined) return
      yield records
      next = lastOf(last) + 1
    }
    return
  }
  if (first) yield seen
  for (let next = first ? firstOf(first) - 1 : to; next >= from; ) {
    const { items } = await session.table.query({ ...recordsOf(stream, 1, next), direction, limit: most })
    const records = items as readonly RecordItem[]
    const last = records.at(-1)
    if (last === undefined) return
    yield records.toReversed()
    next = firstOf(last) - 1
  }
}

async function marksBetween({ table }: Session, stream: string, records: readonly RecordItem[]): Promise<Marks> {
  const [first, last] = [records[0], records.at(-1)]
  if (first === undefined || last === undefined) return new Map()
  const range = marksOf(stream, firstOf(first), firstOf(last))
  const { items } = await table.query({ ...range, direction: 'forwards', limit: records.length })
  return marksByRevision(items as readonly MarkItem[])
}

function marksByRevision(marks: readonly MarkItem[]): Marks {
  const events = (mark: MarkItem) => Array.from({ length: mark.n }, (_, at) => [numberOf(mark) + at, mark] as const)
  return new Map(marks.flatMap(events))
}

function positionOf(marks: Marks, revision: Revision): Position | undefined {
  const mark = marks.get(revision)
  return mark && mark.p + revision - numberOf(mark)
}
