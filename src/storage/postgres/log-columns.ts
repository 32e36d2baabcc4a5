/** A page of the log in one row, each of its columns the texts of all records: how most of the log is read. */
import { limits } from '../../core/limits.ts'
import type { LogQuery, LogRecord, Position } from '../../core/storage.ts'
import { recordOf } from './record.ts'
import { read, type Session } from './session.ts'

/** Positions after `after`, up to and with `until`. They are dense, so that the first position tells them all. */
export interface LogWindow {
  readonly after: Position
  readonly until: Position
}

export interface WindowPage {
  readonly head: Position
  readonly records: readonly LogRecord[]
  /** It ended before its window did. */
  readonly cut: boolean
}

/** Texts with "," or line feeds between, of the states each a digit. No states: no records. */
interface ColumnsRow {
  readonly head: number
  readonly streams: string
  readonly revisions: string
  readonly times: string
  readonly states: string | null
  readonly contents: string | null
}

/** All records of a window; nothing where one is so large that they might not fit into a page. */
export async function readColumns(
  session: Session,
  { after, until }: LogWindow,
  { limit, direction }: Pick<LogQuery, 'limit' | 'direction'>,
): Promise<WindowPage | undefined> {
  const mostBytes = Math.floor(limits.pageBytes / limit)
  const [row] = await read<ColumnsRow>(session, session.sql.logColumns, [after, until, mostBytes])
  if (row === undefined || row.states === null) return { head: row?.head ?? 0, records: [], cut: false }
  if (row.contents === null) return undefined
  const streams = row.streams.split('\n')
  const revisions = row.revisions.split(',')
  const times = row.times.split(',')
  const contents = row.contents.split('\n')
  const records = streams.flatMap((stream, index) => {
    const [revision, time, state] = [Number(revisions[index]), Number(times[index]), Number(row.states?.[index])]
    return (
      recordOf(stream, { revision, position: after + 1 + index, time, state, content: contents[index] ?? '' }) ?? []
    )
  })
  return { head: row.head, records: direction === 'forwards' ? records : records.reverse(), cut: false }
}
