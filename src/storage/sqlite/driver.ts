/**
 * The slice of an SQLite driver that this storage needs. `node:sqlite` is the default; any object of this shape will do:
 * `sqliteStorage({ file, driver: (file, { readOnly }) => new Database(file, { readonly: readOnly }) })` hands in
 * better-sqlite3.
 */
import { backoffMs, sleep } from '../../core/turn.ts'

export type SqliteValue = null | number | string | Uint8Array

export interface SqliteStatement {
  run(...values: SqliteValue[]): { lastInsertRowid: number | bigint; changes: number | bigint }
  get(...values: SqliteValue[]): unknown
  all(...values: SqliteValue[]): unknown[]
}

export interface SqliteDatabase {
  exec(sql: string): unknown
  prepare(sql: string): SqliteStatement
  close(): unknown
}

export type SqliteDriver = (file: string, options: { readonly readOnly: boolean }) => SqliteDatabase

/** Loaded only where no other driver is handed in, for not every runtime has it. */
export async function nodeSqlite(): Promise<SqliteDriver> {
  const { DatabaseSync } = await import('node:sqlite')
  return (file, { readOnly }) => new DatabaseSync(file, { readOnly }) as SqliteDatabase
}

export type SqliteFailure =
  | 'busy'
  | 'read-only'
  | 'io'
  | 'corrupt'
  | 'full'
  | 'cannot-open'
  | 'not-a-database'
  | 'other'

const failures: Readonly<Record<number, SqliteFailure>> = {
  5: 'busy',
  6: 'busy',
  8: 'read-only',
  10: 'io',
  11: 'corrupt',
  13: 'full',
  14: 'cannot-open',
  26: 'not-a-database',
}

const names: Readonly<Record<string, SqliteFailure>> = {
  BUSY: 'busy',
  LOCKED: 'busy',
  READONLY: 'read-only',
  IOERR: 'io',
  CORRUPT: 'corrupt',
  FULL: 'full',
  CANTOPEN: 'cannot-open',
  NOTADB: 'not-a-database',
}

/** `node:sqlite` gives the (extended) result code as a number, better-sqlite3 its name. */
export function failureOf(error: unknown): SqliteFailure | undefined {
  if (!(error instanceof Error)) return undefined
  const { errcode, code } = error as { errcode?: unknown; code?: unknown }
  if (typeof errcode === 'number') return failures[errcode & 0xff] ?? 'other'
  if (typeof code !== 'string' || !code.startsWith('SQLITE_')) return undefined
  return names[code.split('_')[1] ?? ''] ?? 'other'
}

/**
 * Runs until no other process stands in the way. SQLite's own busy handler would block the event loop, so the waiting is
 * done here. Throws the last refusal when the time is over.
 */
export async function whenFree<Result>(withinMs: number, run: () => Result): Promise<Result> {
  const deadline = performance.now() + withinMs
  for (let tries = 1; ; tries++) {
    try {
      return run()
    } catch (error) {
      const waitMs = backoffMs(tries, 1, 50)
      if (failureOf(error) !== 'busy' || performance.now() + waitMs > deadline) throw error
      await sleep(waitMs)
    }
  }
}
