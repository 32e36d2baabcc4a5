/** One connection and what it remembers: prepared statements, numbers and versions, and what others did to the file. */
import { SchemaTooNew } from '../../core/errors.ts'
import type { SqliteDatabase } from './driver.ts'
import { schemaVersion } from './schema.ts'
import { prepareStatements, type Statements } from './statements.ts'

export interface Session {
  readonly file: string
  readonly db: SqliteDatabase
  readonly sql: Statements
  readonly logId: string
  /** Kind numbers by stream type, event type and class. Emptied whenever the file may know better. */
  readonly kinds: Map<string, number>
  /** Documents that commits have looked at or written, by collection and key. Emptied as the kinds are. */
  readonly documents: Map<string, Map<string, DocumentRow>>
  /** Changes when another connection commits; as of the last write here. */
  dataVersion: number
  /** A commit of this connection has closed the log to restoring, and nobody wrote since. */
  live: boolean
}

/** What of a document tells whether it may be written, and what goes with it then. */
export interface DocumentRow {
  readonly document_no: number
  readonly version: string
  readonly attached: string
}

/** Kinds of a class: events, tombstones, forgotten events. */
export const eventKind = 0
export const tombstoneKind = 1
export const forgottenKind = 2

/** States of a log row. */
export const stored = 0
export const tombstone = 1
export const trimmed = 2
export const forgotten = 3

export function createSession(db: SqliteDatabase, file: string): Session {
  const sql = prepareStatements(db)
  const logId = (sql.getMeta.get('log-id') as { value: string }).value
  return { file, db, sql, logId, kinds: new Map(), documents: new Map(), dataVersion: -1, live: false }
}

/**
 * Runs inside one write transaction. Throws what SQLite throws (busy: nothing was begun); after any error the whole
 * transaction is gone, whatever SQLite itself has rolled back.
 */
export function transact<Result>(session: Session, run: () => Result): Result {
  const { sql, db, file } = session
  sql.begin.run()
  try {
    // A newer Daybook may have changed the tables since this connection looked.
    const { user_version: found } = sql.userVersion.get() as { user_version: number }
    if (found !== schemaVersion) throw new SchemaTooNew({ place: file, found, known: schemaVersion })
    const { data_version: dataVersion } = sql.dataVersion.get() as { data_version: number }
    if (dataVersion !== session.dataVersion) {
      forgetAll(session)
      session.dataVersion = dataVersion
    }
    const result = run()
    sql.commit.run()
    return result
  } catch (error) {
    forgetAll(session)
    try {
      db.exec('ROLLBACK')
    } catch {
      // SQLite has rolled back by itself.
    }
    throw error
  }
}

function forgetAll(session: Session): void {
  session.kinds.clear()
  session.documents.clear()
  session.live = false
}

/** The number of a kind; a new one where the pair of types has not occurred yet. */
export function kindNumber({ kinds, sql }: Session, streamType: string, eventType: string, kindClass: number): number {
  const name = `${kindClass}/${streamType}/${eventType}`
  const known = kinds.get(name)
  if (known !== undefined) return known
  const found = sql.findKind.get(streamType, eventType, kindClass) as { kind_no: number } | undefined
  const number = found?.kind_no ?? Number(sql.insertKind.run(streamType, eventType, kindClass).lastInsertRowid)
  kinds.set(name, number)
  return number
}
