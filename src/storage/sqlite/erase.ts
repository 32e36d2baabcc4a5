/** Trimming and forgetting, in bounded steps that can be repeated; and bringing back what was read with its evidence. */
import { checkRestorable } from '../../core/commit.ts'
import { parseContent } from '../../core/content.ts'
import { InvalidArgument } from '../../core/errors.ts'
import { entryOf } from '../../core/leaf.ts'
import { limits } from '../../core/limits.ts'
import { streamTypeOf } from '../../core/name.ts'
import type { EraseProgress, LogRecord, Revision } from '../../core/storage.ts'
import { findStream, type Head } from './commit.ts'
import type { Stub } from './read.ts'
import {
  eventKind,
  forgotten,
  forgottenKind,
  kindNumber,
  type Session,
  stored,
  tombstone,
  tombstoneKind,
  trimmed,
} from './session.ts'

interface Row {
  readonly position: number
  readonly revision: number
  readonly time: number
  readonly kind_no: number
  readonly state: number
  readonly id: string
  readonly content: string
  readonly commitment: Uint8Array
}

/** Keeps what retries, conditions and proofs ask for; the content is in the segment. */
export function trimEvents(
  session: Session,
  stream: string,
  from: Revision,
  to: Revision,
  segment: string,
): EraseProgress {
  return eraseRange(session, stream, from, to, (row) => {
    if (row.state !== stored) return false
    const { id, type, tags } = parseContent(row.content)
    const stub: Stub = { id, type, tags, segment }
    session.sql.trimEvent.run(JSON.stringify(stub), entryOf({ ...row, stream }), row.position)
    return true
  })
}

/** Leaves stream, revision, position, time and entry of every event before the tombstone. */
export function forgetEvents(session: Session, stream: string, from: Revision): EraseProgress {
  const { sql } = session
  const found = findStream(session, stream)
  if (!found?.closed) throw new InvalidArgument('stream', `"${stream}" has no tombstone, so its events stay`)
  const kindNo = kindNumber(session, streamTypeOf(stream), '', forgottenKind)
  const kindsLeft = new Set<number>()
  const progress = eraseRange(session, stream, from, found.revision - 1, (row) => {
    if (row.state === forgotten) return false
    const { tags } = row.state === trimmed ? (JSON.parse(row.content) as Stub) : parseContent(row.content)
    for (const tag of tags) sql.deleteTag.run(tag, row.position)
    sql.forgetEvent.run(kindNo, entryOf({ ...row, stream }), row.position)
    kindsLeft.add(row.kind_no)
    return true
  })
  // A type's name goes with its last event.
  for (const kindNo of kindsLeft) sql.deleteUnusedKind.run(kindNo)
  session.kinds.clear()
  return progress
}

function eraseRange(
  session: Session,
  stream: string,
  from: Revision,
  to: Revision,
  empty: (row: Row) => boolean,
): EraseProgress {
  const streamNo = findStream(session, stream)?.stream_no
  if (streamNo === undefined) return { erased: 0, done: true }
  const rows = session.sql.eraseRange.all(streamNo, from, to, limits.eraseRecords) as unknown as Row[]
  const erased = rows.filter(empty).length
  const last = rows.at(-1)?.revision ?? to
  return last < to ? { erased, next: last + 1, done: false } : { erased, done: true }
}

/** Takes a record as it is, into a log that nothing was committed to. */
export function restoreOne(session: Session, record: LogRecord, head: Head): void {
  const { sql } = session
  const { stream, revision, time, evidence } = record
  const row = findStream(session, stream)
  const live = head.position > 0 && sql.getMeta.get('restoring') === undefined
  checkRestorable(record, { live, position: head.position + 1, revision: (row?.revision ?? 0) + 1 })
  if (head.position === 0) sql.putMeta.run('restoring', '1')
  head.position++
  const closed = record.state === 'tombstone' ? 1 : 0
  const type = streamTypeOf(stream)
  if (row) sql.updateStream.run(revision, head.position, time, closed, row.stream_no)
  const streamNo =
    row?.stream_no ?? Number(sql.insertStream.run(stream, type, revision, head.position, time, closed).lastInsertRowid)
  const { state, kind, id, tags, content } = rowOf(record)
  const kindNo = kindNumber(session, type, kind.type, kind.class)
  const proof =
    state === forgotten ? ([null, null] as const) : ([evidence?.salt ?? null, evidence?.commitment ?? null] as const)
  sql.insertEvent.run(head.position, streamNo, revision, time, kindNo, state, id, content, ...proof)
  if (evidence?.entry) sql.setEntry.run(evidence.entry, head.position)
  for (const tag of tags) sql.insertTag.run(tag, head.position, kindNo)
}

function rowOf(record: LogRecord) {
  switch (record.state) {
    case 'forgotten':
      return { state: forgotten, kind: { type: '', class: forgottenKind }, id: null, tags: [], content: null }
    case 'trimmed': {
      const { id, type, tags, segment } = record
      const stub: Stub = { id, type, tags, segment }
      return { state: trimmed, kind: { type, class: eventKind }, id, tags, content: JSON.stringify(stub) }
    }
    case 'stored':
    case 'tombstone': {
      const { id, type, tags } = parseContent(record.content)
      const [state, kindClass] = record.state === 'stored' ? [stored, eventKind] : [tombstone, tombstoneKind]
      return { state, kind: { type, class: kindClass }, id, tags, content: record.content }
    }
  }
}
