/** Rows of the log as records of the port. */
import { entryOf } from '../../core/leaf.ts'
import type { LogRecord } from '../../core/storage.ts'
import { forgotten, stored, tombstone } from './session.ts'

export interface RecordRow {
  /** Null in the one row of an empty page, which only tells where the log stands. */
  readonly revision: number | null
  readonly position: number
  readonly time: number
  readonly state: number
  readonly content: string | null
}

export interface LogRow extends RecordRow {
  readonly stream: string
  readonly salt: Uint8Array | null
  readonly commitment: Uint8Array | null
  readonly entry: Uint8Array | null
  readonly head: number
  /** Of a page by a filter or a query: how many pass, though their bytes may not fit in. */
  readonly found?: number
}

/** What a trimmed row's content is. */
export interface Stub {
  readonly id: string
  readonly type: string
  readonly tags: readonly string[]
  readonly segment: string
}

export function logRecordOf(row: LogRow, evidence?: true): LogRecord | undefined {
  const record = recordOf(row.stream, row)
  return record && evidence ? withEvidence(record, row) : record
}

export function recordOf(stream: string, row: RecordRow): LogRecord | undefined {
  const { revision, position, time, state } = row
  if (revision === null) return undefined
  const content = row.content ?? ''
  if (state === stored) return { state: 'stored', stream, revision, position, time, content }
  if (state === tombstone) return { state: 'tombstone', stream, revision, position, time, content }
  if (state === forgotten) return { state: 'forgotten', stream, revision, position, time }
  const { id, type, tags, segment } = JSON.parse(content) as Stub
  return { state: 'trimmed', stream, revision, position, time, id, type, tags, segment }
}

function withEvidence(record: LogRecord, row: LogRow): LogRecord {
  const { salt, commitment, entry } = row
  if (record.state !== 'forgotten') {
    const proof = { salt: salt ?? undefined, commitment: commitment ?? undefined, entry: entry ?? undefined }
    return { ...record, evidence: proof }
  }
  // Where it was not emptied yet, its entry is still to be made.
  return { ...record, evidence: { entry: entry ?? (commitment ? entryOf({ ...record, commitment }) : undefined) } }
}
