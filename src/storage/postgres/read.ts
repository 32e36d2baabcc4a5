/** Reading: each page is one statement, and so sees one moment of the log. */
import { cursorOrdinal } from '../../core/argument.ts'
import { positionGuard } from '../../core/commit.ts'
import { limits } from '../../core/limits.ts'
import type { EventQuery } from '../../core/query.ts'
import type {
  BoundaryPage,
  LogPage,
  LogQuery,
  Position,
  Revision,
  RevisionRange,
  StreamHead,
  StreamListPage,
  StreamListQuery,
  StreamPage,
} from '../../core/storage.ts'
import { type LogWindow, readColumns, type WindowPage } from './log-columns.ts'
import { type LogRow, logRecordOf, type RecordRow, recordOf } from './record.ts'
import { type Asking, read, type Session } from './session.ts'

interface StreamRow extends RecordRow {
  readonly head: number
  readonly head_time: number
  readonly head_position: number
  readonly closed: boolean
  readonly until: number
}

export async function readStream(session: Asking, stream: string, range: RevisionRange): Promise<StreamPage> {
  const { after, until = null, asOf = null, direction, limit } = range
  const values = [stream, after, until, asOf, limit]
  const rows = await read<StreamRow>(session, session.sql.streamPage[direction], values)
  const [row] = rows
  if (row === undefined) return { records: [], more: false }
  const { head: revision, head_time: time, head_position: position, closed } = row
  const head: StreamHead = { stream, revision, time, position, closed }
  const records = rows.flatMap((row) => recordOf(stream, row) ?? [])
  const last = records.at(-1)?.revision
  if (last === undefined) return { head, records, more: false }
  // Of a forgotten stream only the tombstone is left.
  const first = closed ? revision : after + 1
  return { head, records, more: direction === 'forwards' ? last < row.until : last > first }
}

export async function readLog(session: Session, query: LogQuery): Promise<LogPage> {
  const { logId } = session
  const { after, direction, limit, asOf } = query
  const forwards = direction === 'forwards'
  // Positions are dense, so that forwards the window of a page is known without asking for the head.
  const until = forwards && asOf === undefined ? query.until : await endOf(session, query)
  const filtered = isFiltered(query)
  const most = filtered ? limits.scanRecords : limit
  const window = {
    after: forwards ? after : Math.max(after, (until ?? 0) - most),
    until: forwards ? Math.min(until ?? Number.MAX_SAFE_INTEGER, after + most) : (until ?? 0),
  }
  const columns = filtered || query.evidence ? undefined : await readColumns(session, window, query)
  const { head, records, cut } = columns ?? (await readRows(session, window, query))
  const end = Math.min(until ?? head, head)
  if (after >= end) return { logId, head, records: [], scannedTo: after, more: false }
  const edge = forwards ? Math.min(window.until, end) : window.after + 1
  const scannedTo = cut ? (records.at(-1)?.position ?? edge) : edge
  return { logId, head, records, scannedTo, more: forwards ? scannedTo < end : scannedTo > after + 1 }
}

async function readRows(session: Session, { after, until }: LogWindow, query: LogQuery): Promise<WindowPage> {
  const { sql } = session
  const { direction, limit, evidence, streamTypes = [], types = [], tags = [] } = query
  const filtered = isFiltered(query)
  const pages = !filtered ? sql.logPage : tags.length > 0 ? sql.tagPage : sql.kindPage
  const filter = filtered ? [limit, streamTypes, types, [...new Set(tags)]] : []
  const statement = pages[direction][evidence ? 'proven' : 'plain']
  const rows = await read<LogRow>(session, statement, [after, until, ...filter])
  const { head = 0, found = limit } = rows[0] ?? {}
  const records = rows.flatMap((row) => logRecordOf(row, evidence) ?? [])
  // Short of its limit, a page of filtered records has seen its window to the end.
  return { head, records, cut: found === limit || records.length < found }
}

function isFiltered({ streamTypes = [], types = [], tags = [] }: LogQuery): boolean {
  return streamTypes.length + types.length + tags.length > 0
}

async function endOf(session: Session, { until, asOf }: LogQuery): Promise<Position> {
  const [row] = await read<{ until: number }>(session, session.sql.end, [until ?? null, asOf ?? null])
  return row?.until ?? 0
}

export async function readBoundary(
  session: Session,
  query: EventQuery,
  from: Position,
  limit: number,
): Promise<BoundaryPage> {
  const rows = await read<LogRow>(session, session.sql.boundaryPage, [from, JSON.stringify(query), limit])
  const { head = 0, found = 0 } = rows[0] ?? {}
  const all = rows.flatMap((row) => logRecordOf(row) ?? [])
  const records = all.filter((record) => record.state === 'stored' || record.state === 'trimmed')
  const whole = found === limit || records.length < found
  const scannedTo = (whole && records.at(-1)?.position) || head
  return { records, guard: positionGuard(scannedTo), scannedTo, more: scannedTo < head }
}

export async function listStreams(session: Session, query: StreamListQuery): Promise<StreamListPage> {
  const { type, updatedFrom = null, cursor, limit } = query
  // What somebody has put before the log shall not stay out of lists: verifying goes by them.
  const values = [type, cursor ? cursorOrdinal(cursor) : Number.MIN_SAFE_INTEGER, updatedFrom, limit + 1]
  const rows = await read<{ name: string } & Omit<StreamHead, 'stream'>>(session, session.sql.listStreams, values)
  const streams = rows.slice(0, limit).map(({ name, revision, position, time, closed }): StreamHead => {
    return { stream: name, revision, time, closed, ...(position !== undefined && { position }) }
  })
  return rows.length > limit ? { streams, next: String(streams.at(-1)?.position) } : { streams }
}

export async function listStreamTypes(session: Session): Promise<readonly string[]> {
  const rows = await read<{ type: string }>(session, session.sql.listStreamTypes)
  return rows.map(({ type }) => type)
}

export async function positionOf(session: Session, stream: string, revision: Revision): Promise<Position | undefined> {
  const [row] = await read<{ position: number }>(session, session.sql.positionOf, [stream, revision])
  return row?.position
}
