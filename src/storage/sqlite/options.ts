/** What an SQLite storage is opened with. */
import type { Clock } from '../../core/time.ts'
import type { SqliteDriver } from './driver.ts'

export interface SqliteOptions {
  /** Made if it is not there, but its folder is not. */
  readonly file: string
  /** Default `node:sqlite`. */
  readonly driver?: SqliteDriver
  /** Neither makes nor changes anything. */
  readonly readOnly?: boolean
  /** How long to wait for another process that writes, before a commit answers busy; default 5,000. */
  readonly busyTimeoutMs?: number
  readonly clock?: Clock
  /** Runs SQLite on a thread of its own: an fsync then no longer stops the event loop. Not with a driver handed in. */
  readonly thread?: boolean
}
