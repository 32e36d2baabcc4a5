/** Reading: every page is taken whole, between two turns of the event loop, so that no slow reader pins the WAL. */

import { cursorOrdinal } from '../../core/argument.ts'
import { positionGuard } from '../../core/commit.ts'
import { entryOf } from '../../core/leaf.ts'
import { limits } from '../../core/limits.ts'
import type { EventQuery } from '../../core/query.ts'
import type {
  BoundaryPage,
  Evidence,
  LogPage,
  LogQuery,
  LogRecord,
  Position,
  Revision,
  RevisionRange,
  StreamHead,
  StreamListPage,
  StreamListQuery,
  StreamPage,
} from '../../core/storage.ts'
import { findStream } from './commit.ts'
import { denseKinds, filterPositions, queryPositions } from './search.ts'
import { forgotten, type Session, stored, tombstone } from './session.ts'

interface StreamEventRow {
  readonly revision: number
  readonly position: number
  readonly time: number
  readonly state: number
  readonly content: string | null
}

interface LogRow extends StreamEventRow {
  readonly stream: string
}

/** In hex. */
type EvidenceRow = { readonly [Name in keyof Evidence]-?: string }

/** What a trimmed row's content is. */
export interface Stub {
  readonly id: string
  readonly type: string
  readonly tags: readonly string[]
  readonly segment: string
}

export function readStream(session: Session, stream: string, range: RevisionRange): StreamPage {
  const { sql } = session
  const row = findStream(session, stream)
  if (row === undefined) return { records: [], more: false }
  const { revision, time, position } = row
  const closed = row.closed === 1
  const head: StreamHead = { stream, revision, time, position, closed }
  // Of a forgotten stream only the tombstone is left, whether or not the rest was emptied yet.
  const after = closed ? Math.max(range.after, revision - 1) : range.after
  let until = Math.min(range.until ?? revision, revision)
  const { asOf } = range
  if (asOf !== undefined) {
    until = Math.min(
      until,
      lastAsOf(asOf, revision, (at) => timeOf(sql.rowAt.get(row.stream_no, at))),
    )
  }
  if (after >= until) return { head, records: [], more: false }
  const forwards = range.direction === 'forwards'
  const statement = forwards ? sql.streamForwards : sql.streamBackwards
  const records = takePage({ after, until, forwards, limit: range.limit }, (from, to) => {
    return (statement.all(row.stream_no, from, to) as StreamEventRow[]).map((row) => recordOf(stream, row))
  })
  const last = records.at(-1)?.revision ?? until
  return { head, records, more: forwards ? last < until : last > after + 1 }
}

export function readLog(session: Session, query: LogQuery): LogPage {
  const { sql, logId } = session
  const head = headOf(session)
  const { after, direction, limit } = query
  const forwards = direction === 'forwards'
  let until = Math.min(query.until ?? head, head)
  if (query.asOf !== undefined) {
    until = Math.min(
      until,
      lastAsOf(query.asOf, head, (at) => timeOf(sql.timeAt.get(at))),
    )
  }
  if (after >= until) return { logId, head, records: [], scannedTo: after, more: false }

  const filtered = [query.streamTypes, query.types, query.tags].some((list) => list && list.length > 0)
  // In one statement where there is most of it to read; else record by record.
  const proven = query.evidence && forwards && !filtered
  const window = {
    after: filtered && !forwards ? Math.max(after, until - limits.scanRecords) : after,
    until: filtered && forwards ? Math.min(until, after + limits.scanRecords) : until,
  }
  const { records, whole } = filtered
    ? takeFiltered(session, query, { ...window, forwards, limit })
    : { records: (proven ? takeProven : takeLog)(session, { after, until, forwards, limit }), whole: true }
  const end = forwards ? window.until : window.after + 1
  const scannedTo = whole ? (records.at(-1)?.position ?? end) : end
  return {
    logId,
    head,
    records: query.evidence && !proven ? records.map((record) => evidenceOf(session, record)) : records,
    scannedTo,
    more: forwards ? scannedTo < until : scannedTo > after + 1,
  }
}

export function readBoundary(session: Session, query: EventQuery, from: Position, limit: number): BoundaryPage {
  const head = headOf(session)
  const window = { after: Math.min(from, head), until: Math.min(head, from + limits.scanRecords) }
  const found = queryPositions(session, query, window, limit)
  const records = takeAt(session, found).filter((record) => record.state === 'stored' || record.state === 'trimmed')
  const whole = found.length === limit || records.length < found.length
  const scannedTo = whole ? (records.at(-1)?.position ?? window.until) : window.until
  return { records, guard: positionGuard(scannedTo), scannedTo, more: scannedTo < head }
}

export function listStreams({ sql }: Session, query: StreamListQuery, head: Position): StreamListPage {
  const { type, updatedFrom, cursor, limit } = query
  // Times do not fall along the log, so that the first position of an instant bounds the streams updated since.
  const before = updatedFrom === undefined ? first : lastAsOf(updatedFrom - 1, head, (at) => timeOf(sql.timeAt.get(at)))
  const rows = sql.listStreams.all(type, Math.max(cursor ? cursorOrdinal(cursor) : first, before), limit + 1) as {
    name: string
    revision: number
    position: number
    time: number
    closed: number
  }[]
  const streams = rows.slice(0, limit).map(({ name, revision, position, time, closed }): StreamHead => {
    return { stream: name, revision, time, position, closed: closed === 1 }
  })
  return rows.length > limit ? { streams, next: String(streams.at(-1)?.position) } : { streams }
}

/** What somebody has put before the log shall not stay out of lists: verifying goes by them. */
const first = Number.MIN_SAFE_INTEGER

export function listStreamTypes({ sql }: Session): readonly string[] {
  const types: string[] = []
  for (let last = ''; ; ) {
    const { type } = sql.firstType.get(last) as { type: string | null }
    if (type === null) return types
    types.push(type)
    last = type
  }
}

export function positionOf(session: Session, stream: string, revision: Revision): Position | undefined {
  const row = findStream(session, stream)
  const found = row && session.sql.rowAt.get(row.stream_no, revision)
  return (found as { position: number } | undefined)?.position
}

export function headOf({ sql }: Session): Position {
  return (sql.head.get() as { position: number } | undefined)?.position ?? 0
}

/** The last of `1 … last` that was recorded at or before the instant; 0 if none was. Times never fall, so it is halved. */
function lastAsOf(asOf: number, last: number, timeAt: (ordinal: number) => number): number {
  let known = 0
  let beyond = last + 1
  while (beyond - known > 1) {
    const middle = Math.floor((known + beyond) / 2)
    if (timeAt(middle) <= asOf) known = middle
    else beyond = middle
  }
  return known
}

function timeOf(row: unknown): number {
  return (row as { time: number }).time
}

interface Ordinals {
  readonly after: number
  readonly until: number
  readonly forwards: boolean
  readonly limit: number
}

/**
 * A page of the ordinals after one up to and with another, taken in small chunks so that large events cannot fill the
 * memory before they are counted. Ordinals have no gaps, so a chunk's bounds say how many records it has.
 */
function takePage(
  { after, until, forwards, limit }: Ordinals,
  take: (after: number, until: number) => readonly LogRecord[],
): readonly LogRecord[] {
  const count = Math.min(limit, until - after)
  const page: LogRecord[] = []
  let bytes = 0
  while (page.length < count) {
    const done = page.length
    const next = Math.min(done + chunkRecords, count)
    const records = forwards ? take(after + done, after + next) : take(until - next, until - done)
    if (records.length !== next - done) {
      throw new Error(`${next - done - records.length} records are missing in the file`)
    }
    for (const record of records) {
      bytes += 'content' in record ? record.content.length : 0
      if (bytes > limits.pageBytes && page.length > 0) return page
      page.push(record)
    }
  }
  return page
}

const chunkRecords = 128

function takeLog({ sql }: Session, range: Ordinals): readonly LogRecord[] {
  const statement = range.forwards ? sql.logForwards : sql.logBackwards
  return takePage(range, (from, to) => (statement.all(from, to) as LogRow[]).map(logRecordOf))
}

/** Forwards, with evidence. */
function takeProven({ sql }: Session, range: Ordinals): readonly LogRecord[] {
  return takePage(range, (from, to) => {
    const rows = sql.logProven.all(from, to) as (LogRow & EvidenceRow)[]
    return rows.map((row) => withEvidence(logRecordOf(row), row))
  })
}

/** `whole`: the page ended at its limit or its bytes; else it has seen its window to the end. */
function takeFiltered(
  session: Session,
  query: LogQuery,
  range: Ordinals,
): { readonly records: readonly LogRecord[]; readonly whole: boolean } {
  const { forwards, limit } = range
  const dense = denseKinds(session, query, range)
  if (dense !== undefined) {
    const statement = forwards ? session.sql.logForwardsOf : session.sql.logBackwardsOf
    const { kinds, forgotten } = dense
    return takeDense(range, (from, to) => {
      return (statement.all(from, to, kinds, Number(forgotten)) as LogRow[]).map(logRecordOf)
    })
  }
  const found = filterPositions(session, query, range, forwards ? 'forwards' : 'backwards', limit)
  const records = takeAt(session, found)
  return { records, whole: found.length === limit || records.length < found.length }
}

/** Chunk after chunk of the log, of which not every record is taken. */
function takeDense(
  { after, until, forwards, limit }: Ordinals,
  take: (after: number, until: number) => readonly LogRecord[],
): { readonly records: readonly LogRecord[]; readonly whole: boolean } {
  const page: LogRecord[] = []
  let bytes = 0
  for (let done = 0; done < until - after; done += chunkRecords) {
    const next = Math.min(done + chunkRecords, until - after)
    for (const record of forwards ? take(after + done, after + next) : take(until - next, until - done)) {
      bytes += 'content' in record ? record.content.length : 0
      if (page.length === limit || (bytes > limits.pageBytes && page.length > 0)) return { records: page, whole: true }
      page.push(record)
    }
  }
  return { records: page, whole: page.length === limit }
}

/** Those of the positions that are a page. */
function takeAt({ sql }: Session, positions: readonly Position[]): readonly LogRecord[] {
  const ordinals = { after: 0, until: positions.length, forwards: true, limit: positions.length }
  return takePage(ordinals, (from, to) => {
    return positions.slice(from, to).map((position) => logRecordOf(sql.logAt.get(position) as LogRow))
  })
}

function logRecordOf(row: LogRow): LogRecord {
  return recordOf(row.stream, row)
}

function recordOf(stream: string, row: StreamEventRow): LogRecord {
  const { revision, position, time, state } = row
  const content = row.content ?? ''
  // Columns take any type: one that is another was not written here.
  if (typeof content !== 'string' || typeof stream !== 'string') throw new TypeError('a text is none')
  if (state === stored) return { state: 'stored', stream, revision, position, time, content }
  if (state === tombstone) return { state: 'tombstone', stream, revision, position, time, content }
  if (state === forgotten) return { state: 'forgotten', stream, revision, position, time }
  const { id, type, tags, segment } = JSON.parse(content) as Stub
  return { state: 'trimmed', stream, revision, position, time, id, type, tags, segment }
}

function evidenceOf({ sql }: Session, record: LogRecord): LogRecord {
  return withEvidence(record, sql.evidenceAt.get(record.position ?? 0) as EvidenceRow)
}

function withEvidence(record: LogRecord, row: EvidenceRow): LogRecord {
  const entry = bytesOf(row.entry)
  const commitment = bytesOf(row.commitment)
  // Where it was not emptied yet, its entry is still to be made.
  const evidence =
    record.state === 'forgotten'
      ? { entry: entry ?? (commitment && entryOf({ ...record, commitment })) }
      : { salt: bytesOf(row.salt), commitment, entry }
  // The record was made for this: a copy of each would cost as much as reading it.
  return Object.assign(record, { evidence })
}

function bytesOf(hex: string): Uint8Array | undefined {
  if (hex === '') return undefined
  const { buffer, byteOffset, length } = Buffer.from(hex, 'hex')
  return new Uint8Array(buffer, byteOffset, length)
}
