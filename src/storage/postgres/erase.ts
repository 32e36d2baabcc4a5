/** Trimming and forgetting, in bounded steps that can be repeated; and bringing back what was read with its evidence. */
import { checkRestorable } from '../../core/commit.ts'
import { parseContent } from '../../core/content.ts'
import { InvalidArgument } from '../../core/errors.ts'
import { entryOf } from '../../core/leaf.ts'
import { limits } from '../../core/limits.ts'
import { streamTypeOf } from '../../core/name.ts'
import type { EraseProgress, EraseStep, LogRecord, Revision } from '../../core/storage.ts'
import { sleep } from '../../core/turn.ts'
import { eraseCollection, eraseHeld } from './documents.ts'
import { type PostgresClient, rowsOf, transact } from './driver.ts'
import type { Stub } from './record.ts'
import {
  eventKind,
  forgotten,
  forgottenKind,
  type Session,
  stored,
  tombstone,
  tombstoneKind,
  trimmed,
} from './session.ts'

interface StreamRow {
  readonly stream_no: number
  readonly revision: number
  readonly closed: boolean
  readonly type: string
}

interface Row {
  readonly position: number
  readonly revision: number
  readonly time: number
  readonly kind_no: number
  readonly state: number
  readonly content: string
  readonly commitment: Uint8Array
}

export function erase(session: Session, step: EraseStep): Promise<EraseProgress> {
  switch (step.erase) {
    case 'trim':
      return trimEvents(session, step)
    case 'events':
      return forgetEvents(session, step.stream, step.from)
    case 'documents':
      return eraseHeld(session, step.stream)
    case 'collection':
      return eraseCollection(session, step.collection)
    case 'scrub':
      return scrub(session)
  }
}

/** Keeps what retries, conditions and proofs ask for; the content is in the segment. */
function trimEvents(session: Session, { stream, from, to, segment }: EraseStep & { erase: 'trim' }) {
  return withLog(session, async (client) => {
    const found = await findStream(session, client, stream)
    if (found === undefined) return { erased: 0, done: true }
    const { rows, progress } = await eraseRange(session, client, found, { from, to, empty: stored })
    const stubs = rows.map(({ content }) => {
      const { id, type, tags } = parseContent(content)
      return JSON.stringify({ id, type, tags, segment } satisfies Stub)
    })
    const values = [rows.map(({ position }) => position), stubs, rows.map((row) => entryOf({ ...row, stream }))]
    await rowsOf(client, session.sql.trimEvents, values)
    return progress
  })
}

/** Leaves stream, revision, position, time and entry of every event before the tombstone. */
function forgetEvents(session: Session, stream: string, from: Revision): Promise<EraseProgress> {
  const { sql } = session
  return withLog(session, async (client) => {
    const found = await findStream(session, client, stream)
    if (!found?.closed) throw new InvalidArgument('stream', `"${stream}" has no tombstone, so its events stay`)
    const range = { from, to: found.revision - 1, empty: undefined }
    const { rows, progress } = await eraseRange(session, client, found, range)
    const tags = rows.flatMap(({ state, content, position }) => {
      const { tags } = state === trimmed ? (JSON.parse(content) as Stub) : parseContent(content)
      return tags.map((tag) => ({ tag, position }))
    })
    await rowsOf(client, sql.deleteTags, [tags.map(({ tag }) => tag), tags.map(({ position }) => position)])
    const entries = rows.map((row) => entryOf({ ...row, stream }))
    const positions = rows.map(({ position }) => position)
    await rowsOf(client, sql.forgetEvents, [positions, entries, found.stream_no, found.type])
    // A type's name goes with its last event.
    await rowsOf(client, sql.deleteUnusedKinds, [[...new Set(rows.map(({ kind_no }) => kind_no))]])
    return progress
  })
}

/** The rows of one step that are still to be emptied: those in one state, or all that are not forgotten. */
async function eraseRange(
  { sql }: Session,
  client: PostgresClient,
  stream: StreamRow,
  { from, to, empty }: { readonly from: Revision; readonly to: Revision; readonly empty: number | undefined },
): Promise<{ readonly rows: readonly Row[]; readonly progress: EraseProgress }> {
  const all = await rowsOf<Row>(client, sql.eraseRange, [stream.stream_no, from, to, limits.eraseRecords])
  const rows = all.filter(({ state }) => (empty === undefined ? state !== forgotten : state === empty))
  const last = all.at(-1)?.revision ?? to
  const erased = rows.length
  return { rows, progress: last < to ? { erased, next: last + 1, done: false } : { erased, done: true } }
}

/** Nobody appends meanwhile. */
function withLog<Result>({ pool, sql }: Session, run: (client: PostgresClient) => Promise<Result>): Promise<Result> {
  return transact(pool, async (client) => {
    await rowsOf(client, sql.lockLog)
    return run(client)
  })
}

async function findStream({ sql }: Session, client: PostgresClient, stream: string): Promise<StreamRow | undefined> {
  const [row] = await rowsOf<StreamRow>(client, sql.findStream, [stream])
  return row
}

/**
 * Takes erased rows out of tables and indexes, unless somebody's snapshot still needs them. What the server's files,
 * standbys and archives hold of them beyond that is out of reach here. A role that may not do it leaves it to the server's
 * own vacuuming, and does not say that it is done.
 */
async function scrub({ pool, sql }: Session): Promise<EraseProgress> {
  const [now] = await rowsOf<{ xid: string }>(pool, sql.horizon)
  const isHeldUp = async () => (await rowsOf<{ held_up: boolean }>(pool, sql.heldUp, [now?.xid]))[0]?.held_up !== false
  let heldUp = await isHeldUp()
  // Most reads are short, as the engine's own are.
  for (let looks = 0; heldUp && looks < 10; looks++) {
    await sleep(50)
    heldUp = await isHeldUp()
  }
  const [role] = await rowsOf<{ may_vacuum: boolean }>(pool, sql.mayVacuum)
  if (role?.may_vacuum !== true) return { erased: 0, done: false }
  await pool.query({ text: sql.vacuum })
  return { erased: 0, done: !heldUp }
}

/** Takes records as they are, into a log that nothing was committed to. */
export function restore(session: Session, records: readonly LogRecord[]): Promise<void> {
  const { sql } = session
  return withLog(session, async (client) => {
    const [end] = await rowsOf<{ head: number; restoring: boolean }>(client, sql.findEnd)
    const { head = 0, restoring = false } = end ?? {}
    const names = [...new Set(records.map(({ stream }) => stream))]
    const found = await rowsOf<{ name: string; revision: number }>(client, sql.findRevisions, [names])
    const revisions = new Map(found.map(({ name, revision }) => [name, revision]))
    for (const [index, record] of records.entries()) {
      const revision = (revisions.get(record.stream) ?? 0) + 1
      checkRestorable(record, { live: head > 0 && !restoring, position: head + 1 + index, revision })
      revisions.set(record.stream, revision)
    }
    await rowsOf(client, sql.startRestoring)
    const last = [...new Map(records.map((record) => [record.stream, record])).values()]
    await rowsOf(client, sql.restoreStreams, [
      last.map(({ stream }) => stream),
      last.map(({ stream }) => streamTypeOf(stream)),
      last.map(({ revision }) => revision),
      last.map(({ position }) => position),
      last.map(({ time }) => time),
      last.map(({ state }) => state === 'tombstone'),
    ])
    const rows = records.map(rowOf)
    await rowsOf(client, sql.restoreEvents, [
      records.map(({ position }) => position),
      records.map(({ stream }) => stream),
      records.map(({ revision }) => revision),
      records.map(({ time }) => time),
      rows.map(({ kind }) => kind.type),
      rows.map(({ kind }) => kind.class),
      rows.map(({ state }) => state),
      rows.map(({ id }) => id),
      rows.map(({ content }) => content),
      records.map(({ state, evidence }) => (state === 'forgotten' ? null : (evidence?.salt ?? null))),
      records.map(({ state, evidence }) => (state === 'forgotten' ? null : (evidence?.commitment ?? null))),
      records.map(({ evidence }) => evidence?.entry ?? null),
    ])
    const tags = rows.flatMap(({ tags }, index) => tags.map((tag) => ({ tag, position: records[index]?.position })))
    await rowsOf(client, sql.restoreTags, [tags.map(({ tag }) => tag), tags.map(({ position }) => position)])
  })
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
