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
  const newest = await look(session, stream)
  if (newest === undefined) return { records: [], more: false }
  const last = lastOf(newest)
  const position = await positionAt(session, stream, last)
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
  for await (const { slot, position } of eventsBetween(session, stream, { ...range, from, to, newest })) {
    bytes += slot.content.length
    if (records.length > 0 && (records.length === range.limit || bytes > limits.pageBytes)) {
      return { head, records, more: true }
    }
    records.push(recordOf(slot, { position }))
  }
  return { head, records, more: false }
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
}

async function* eventsBetween(
  session: Session,
  stream: string,
  { from, to, direction, limit, newest }: Range,
): AsyncGenerator<{ readonly slot: Slot; readonly position?: Position | undefined }> {
  const backwards = direction === 'backwards'
  for await (const records of runsOf(session, stream, { from, to, direction, limit, newest })) {
    const marks = await marksBetween(session, stream, records)
    const slots = await slotsOf(session.table, stream, records)
    const wanted = slots.filter(({ revision }) => revision >= from && revision <= to)
    for (const slot of backwards ? wanted.reverse() : wanted) yield { slot, position: positionOf(marks, slot.revision) }
  }
}

/** Records that cover the range, in ascending runs; the runs follow the direction. */
async function* runsOf(
  session: Session,
  stream: string,
  { from, to, direction, limit, newest }: Range,
): AsyncGenerator<readonly RecordItem[]> {
  const most = Math.min(limit + 1, recordsAtOnce)
  if (firstOf(newest) <= from) return yield [newest]
  if (direction === 'forwards') {
    const first = from === 1 ? undefined : await recordAt(session, stream, from)
    if (first) yield [first]
    let next = first ? lastOf(first) + 1 : from
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
  for (let next = to; next >= from; ) {
    const { items } = await session.table.query({ ...recordsOf(stream, 1, next), direction, limit: most })
    const records = items as readonly RecordItem[]
    const last = records.at(-1)
    if (last === undefined) return
    yield records.toReversed()
    next = firstOf(last) - 1
  }
}

async function marksBetween(
  { table }: Session,
  stream: string,
  records: readonly RecordItem[],
): Promise<ReadonlyMap<Revision, MarkItem>> {
  const [first, last] = [records[0], records.at(-1)]
  if (first === undefined || last === undefined) return new Map()
  const range = marksOf(stream, firstOf(first), firstOf(last))
  const { items } = await table.query({ ...range, direction: 'forwards', limit: records.length })
  return new Map((items as readonly MarkItem[]).flatMap((mark) => eventMarks(mark)))
}

function eventMarks(mark: MarkItem): readonly (readonly [Revision, MarkItem])[] {
  return Array.from({ length: mark.n }, (_, at) => [numberOf(mark) + at, mark] as const)
}

function positionOf(marks: ReadonlyMap<Revision, MarkItem>, revision: Revision): Position | undefined {
  const mark = marks.get(revision)
  return mark && mark.p + revision - numberOf(mark)
}
