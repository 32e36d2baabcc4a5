/** One commit inside a transaction: all checks first, in the order that every storage keeps; then the rows. */
import { asExpected, compareIds, conditionAfter, limitBroken, sizeOf, widestLimits } from '../../core/commit.ts'
import { InvalidArgument } from '../../core/errors.ts'
import { commitmentOf } from '../../core/leaf.ts'
import { streamTypeOf } from '../../core/name.ts'
import type { Commit, CommitOutcome, PreparedEvent, StreamAppend, StreamAppended } from '../../core/storage.ts'
import { checkDocuments, type DocumentRows, findDocuments, writeDocuments } from './documents.ts'
import { forgottenAfter, matchOf } from './search.ts'
import { eventKind, kindNumber, type Session, stored, tombstone, tombstoneKind, trimmed } from './session.ts'

/** The log's end, moved on by each commit of a batch. */
export interface Head {
  position: number
  time: number
}

interface StreamRow {
  readonly stream_no: number
  readonly revision: number
  readonly position: number
  readonly time: number
  readonly closed: number
}

interface EventRow {
  readonly stream: string
  readonly revision: number
  readonly position: number
  readonly time: number
  readonly state: number
  readonly content: string
  readonly salt: Uint8Array
  readonly commitment: Uint8Array
}

/** An append with what is known of its stream. */
interface Target {
  readonly append: StreamAppend
  readonly row: StreamRow | undefined
}

export function commitOne(session: Session, commit: Commit, head: Head, now: number): CommitOutcome {
  const targets = commit.appends.map((append) => ({ append, row: findStream(session, append.stream) }))
  const rows = findDocuments(session, commit)
  return (
    limitBroken(sizeOf(commit), widestLimits) ??
    checkClosed(session, targets) ??
    checkRepeat(session, commit) ??
    checkExpected(targets) ??
    checkCondition(session, commit, head) ??
    checkDocuments(commit, rows) ??
    runInside(session, commit) ??
    write(session, commit, { targets, rows }, { head, now })
  )
}

export function findStream({ sql }: Session, stream: string): StreamRow | undefined {
  return sql.findStream.get(stream) as StreamRow | undefined
}

function findEvent({ sql }: Session, id: string): EventRow | undefined {
  return sql.findEvent.get(id) as EventRow | undefined
}

function checkClosed(session: Session, targets: readonly Target[]): CommitOutcome | undefined {
  const closed = targets.find(({ row }) => row?.closed)
  if (closed === undefined) return undefined
  const { append } = closed
  const [event] = append.events
  const found = event && findEvent(session, event.id)
  const again = append.tombstone && found?.state === tombstone && found.content === event?.content
  return again
    ? { outcome: 'committed', repeated: true, streams: [appendedBefore(session, append)] }
    : { outcome: 'forgotten', stream: append.stream }
}

function checkRepeat(session: Session, commit: Commit): CommitOutcome | undefined {
  const verdict = compareIds(commit, (event) => {
    const found = findEvent(session, event.id)
    return found && { stream: found.stream, revision: found.revision, same: sameContent(found, event) }
  })
  if (verdict === 'new') return undefined
  if (verdict !== 'repeated') return verdict
  const written = commit.appends.filter(({ events }) => events.length > 0)
  return { outcome: 'committed', repeated: true, streams: written.map((append) => appendedBefore(session, append)) }
}

/** The first salt wins: content that has gone to the archive is compared through its commitment. */
function sameContent(found: EventRow, event: PreparedEvent): boolean {
  if (found.state !== trimmed) return found.content === event.content
  const commitment = commitmentOf(found.salt, event.content)
  return commitment.every((byte, index) => byte === found.commitment[index])
}

function appendedBefore(session: Session, { stream, events }: StreamAppend): StreamAppended {
  const last = findEvent(session, events.at(-1)?.id ?? '')
  if (last === undefined) throw new Error(`The repeated append to ${stream} has no last event`)
  const { revision, time, position } = last
  return { stream, first: revision - events.length + 1, last: revision, time, position }
}

function checkExpected(targets: readonly Target[]): CommitOutcome | undefined {
  for (const { append, row } of targets) {
    const actual = row?.revision ?? 0
    if (asExpected(append, actual)) continue
    return { outcome: 'conflict', stream: append.stream, expected: append.expected, actual }
  }
  return undefined
}

/** Beyond a position a forgotten event fails the condition, for it can no longer be asked; of the whole log it matches nothing. */
function checkCondition(session: Session, { condition }: Commit, head: Head): CommitOutcome | undefined {
  if (condition === undefined) return undefined
  const after = conditionAfter(condition, head.position)
  if (typeof after !== 'number') return after
  const match = after > 0 ? forgottenAfter(session, after) : undefined
  const found = match ?? matchOf(session, condition.query, after, head.position)
  return found && { outcome: 'condition-failed', ...found }
}

/** Before anything of the commit is written: what it throws takes its own statements back, and nothing else. */
function runInside({ db, sql }: Session, { inside }: Commit): CommitOutcome | undefined {
  if (inside === undefined) return undefined
  sql.savepoint.run()
  try {
    const running = inside(db)
    if (running instanceof Promise) {
      running.catch(() => {})
      throw new InvalidArgument('tables', 'must be synchronous on SQLite, whose transactions wait for nobody')
    }
    sql.release.run()
    return undefined
  } catch (cause) {
    sql.rollbackTo.run()
    sql.release.run()
    return { outcome: 'failed', cause }
  }
}

function write(
  session: Session,
  commit: Commit,
  { targets, rows }: { readonly targets: readonly Target[]; readonly rows: DocumentRows },
  { head, now }: { readonly head: Head; readonly now: number },
): CommitOutcome {
  const streams: StreamAppended[] = []
  const time = Math.max(now, head.time)
  for (const { append, row } of targets) {
    if (append.events.length > 0) streams.push(writeEvents(session, append, row, head, time))
  }
  writeDocuments(session, commit, rows)
  if (streams.length > 0 && !session.live) {
    session.sql.deleteMeta.run('restoring')
    session.live = true
  }
  return { outcome: 'committed', repeated: false, streams }
}

function writeEvents(
  session: Session,
  { stream, events, tombstone: closing }: StreamAppend,
  row: StreamRow | undefined,
  head: Head,
  time: number,
): StreamAppended {
  const { sql } = session
  const type = streamTypeOf(stream)
  const before = row?.revision ?? 0
  const last = before + events.length
  const position = head.position + events.length
  const closed = closing ? 1 : 0
  if (row) sql.updateStream.run(last, position, time, closed, row.stream_no)
  const streamNo =
    row?.stream_no ?? Number(sql.insertStream.run(stream, type, last, position, time, closed).lastInsertRowid)
  for (const [index, event] of events.entries()) {
    const { id, tags, content, salt, commitment } = event
    const at = head.position + 1 + index
    const kindNo = kindNumber(session, type, event.type, closing ? tombstoneKind : eventKind)
    const state = closing ? tombstone : stored
    sql.insertEvent.run(at, streamNo, before + 1 + index, time, kindNo, state, id, content, salt, commitment)
    for (const tag of tags) sql.insertTag.run(tag, at, kindNo)
  }
  head.position = position
  head.time = time
  return { stream, first: before + 1, last, time, position }
}
