/** Reading a stream: by its own partition, strongly consistent, positions beside the records. */
import { limits } from '../../core/limits.ts'
import type { LogRecord, Position, Revision, RevisionRange, StreamHead, StreamPage } from '../../core/storage.ts'
import { recordOf, type Slot, slotsOf } from './body.ts'
import type { KeyRange } from './driver.ts'
import { type MarkItem, numberOf, type RecordItem } from './items.ts'
import type { Session } from './session.ts'
import { inSight } from './sight.ts'
import { covers, firstOf, isDense, isWhole, lastOf, look, marksOf, positionAt, recordAt, recordsOf } from './stream.ts'

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
  const [first, last] = [seen[0], seen.at(-1)]
  // A range that begins inside the last record, or behind the stream's end, finds nothing.
  if (first === undefined) return { ...none, newest: after === 0 ? undefined : await look(session, stream) }
  const isAtEnd = direction === 'backwards' || !more
  // A commit that is coming into sight is read once it is all there.
  const isTorn = !isDense(seen) || (isAtEnd && !isWhole(stream, last))
  if (isTorn) return { ...none, newest: await look(session, stream) }
  return { newest: isAtEnd ? last : await look(session, stream), seen, marks }
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
  const page = { direction, limit: Math.min(limit + 1, recordsAtOnce) }
  const [first] = seen
  if (firstOf(newest) <= from) return yield first === newest ? seen : [newest]
  if (direction === 'forwards') {
    let next = from
    // The record that holds the first revision may begin before it.
    if (from > 1 && !(first && firstOf(first) === from)) {
      const before = await recordAt(session, stream, from)
      if (before && covers(before, from)) {
        yield [before]
        next = lastOf(before) + 1
      }
    }
    if (first && firstOf(first) === next) {
      yield seen
      next = lastOf(seen.at(-1) ?? first) + 1
    }
    while (next <= to) {
      const records = await recordsIn(session, { ...recordsOf(stream, next, to), ...page }, next)
      yield records
      next = lastOf(records.at(-1) ?? newest) + 1
    }
    return
  }
  if (first) yield seen
  for (let next = first ? firstOf(first) - 1 : to; next >= from; ) {
    const records = await recordsIn(session, { ...recordsOf(stream, 1, next), ...page }, next)
    yield records.toReversed()
    next = firstOf(records.at(-1) ?? newest) - 1
  }
}

/** From a revision on in the range's direction, without a gap: the newest record that was seen says that they are there. */
async function recordsIn({ table }: Session, range: KeyRange, from: Revision): Promise<readonly RecordItem[]> {
  const ascending = (records: readonly RecordItem[]) =>
    range.direction === 'forwards' ? records : records.toReversed()
  return inSight(
    table,
    async () => (await table.query(range)).items as readonly RecordItem[],
    (records) => covers(records[0], from) && isDense(ascending(records)),
  )
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
