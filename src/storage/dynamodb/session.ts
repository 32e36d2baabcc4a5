/** What every part of the storage works with: the table, its secret, and what this storage object has itself seen. */
import { createHmac } from 'node:crypto'
import type { Revision } from '../../core/storage.ts'
import type { Clock } from '../../core/time.ts'
import type { Table } from './driver.ts'
import type { LogItem, PageItem, RecordItem } from './items.ts'

export interface Session {
  /** The storage's name: engine and table. */
  readonly place: string
  readonly table: Table
  readonly log: LogItem
  readonly clock: Clock
  /** A keyed hash, so that keys tell nothing to who has not the table's secret. */
  readonly hash: (text: string) => string
  readonly ends: Ends
  /** A record was written here, or found without a position. */
  readonly hint: (record: RecordHint) => void
  /** The newest page that this storage object has itself seen; pages are permanent. */
  readonly feed: { page?: PageItem }
}

/** Of a record that may want a position. The item, where it was seen as it was written. */
export interface RecordHint {
  readonly stream: string
  readonly revision: Revision
  readonly item?: RecordItem | undefined
}

/** Ends of records that this storage object has itself seen, and that are no tombstones: there a next record may begin. */
export interface Ends {
  get(stream: string): End | undefined
  saw(stream: string, end: End): void
}

export interface End {
  /** The record's last revision, its first one, and its time. */
  readonly revision: Revision
  readonly first: Revision
  readonly time: number
}

/** Streams whose ends are remembered. */
const mostEnds = 10_000

export function rememberEnds(): Ends {
  const ends = new Map<string, End>()
  return {
    get: (stream) => ends.get(stream),
    saw(stream, end) {
      ends.delete(stream)
      ends.set(stream, end)
      if (ends.size > mostEnds) for (const oldest of ends.keys()) return void ends.delete(oldest)
    },
  }
}

const hashBytes = 16

export function hashWith(secret: Uint8Array): (text: string) => string {
  return (text) => createHmac('sha256', secret).update(text).digest().subarray(0, hashBytes).toString('base64url')
}

export function isBoundaryTag({ log }: Pick<Session, 'log'>, tag: string): boolean {
  return log.tags.some((beginning) => tag.startsWith(beginning))
}
