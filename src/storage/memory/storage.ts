/**
 * The memory storage: the port in its shortest form, to be read before the others, and what tests run on. It keeps
 * every promise but the one that needs a disk.
 */
import { cursorOrdinal } from '../../core/argument.ts'
import {
  asExpected,
  checkRestorable,
  compareIds,
  conditionAfter,
  limitBroken,
  positionGuard,
  sizeOf,
  widestLimits,
} from '../../core/commit.ts'
import { parseContent } from '../../core/content.ts'
import { InvalidArgument } from '../../core/errors.ts'
import { commitmentOf, entryOf } from '../../core/leaf.ts'
import { limits } from '../../core/limits.ts'
import { streamTypeOf } from '../../core/name.ts'
import { type EventQuery, matchesFilter, matchesQuery, passesForgotten, passesTombstone } from '../../core/query.ts'
import type {
  BoundaryPage,
  Commit,
  CommitOutcome,
  EraseProgress,
  EraseStep,
  LogPage,
  LogQuery,
  LogRecord,
  PreparedEvent,
  RevisionRange,
  Storage,
  StreamAppended,
  StreamHead,
  StreamListPage,
  StreamListQuery,
  StreamPage,
} from '../../core/storage.ts'
import type { Clock } from '../../core/time.ts'
import { type Bell, createBell } from '../../core/wake.ts'
import { type MemoryDocuments, memoryDocuments } from './documents.ts'

/** What storages that share it have in common, as a file or a server would be. */
export interface MemoryLog {
  readonly id: string
  readonly rows: Row[]
  readonly streams: Map<string, Row[]>
  readonly ids: Map<string, Row>
  readonly documents: MemoryDocuments
  readonly bell: Bell
  /** Set by the first commit: from then on nothing can be restored into it. */
  live: boolean
}

interface Row {
  readonly stream: string
  readonly revision: number
  readonly position: number
  readonly time: number
  state: LogRecord['state']
  /** Gone once forgotten; without content while trimmed. */
  event?: Omit<PreparedEvent, 'contentBytes'> | undefined
  segment?: string
  entry?: Uint8Array | undefined
}

export function memoryLog(): MemoryLog {
  return {
    id: crypto.randomUUID(),
    rows: [],
    streams: new Map(),
    ids: new Map(),
    documents: memoryDocuments(),
    bell: createBell(),
    live: false,
  }
}

export function memoryStorage({
  log = memoryLog(),
  clock = Date.now,
}: {
  log?: MemoryLog
  clock?: Clock
} = {}): Storage {
  return {
    name: 'memory',
    limits: widestLimits,
    abilities: { positions: 'at-commit', ids: 'everywhere', conditions: 'any', search: true, statements: false },
    async commit(commits) {
      await undefined // Where another storage waits for its disk, so that races show here too.
      const outcomes = commits.map((commit) => commitOne(log, commit, clock))
      log.bell.ring()
      return outcomes
    },
    readStream: async (stream, range) => readStream(log, stream, range),
    readBoundary: async (query, from, limit) => readBoundary(log, query, from, limit),
    readLog: async (query) => readLog(log, query),
    listStreams: async (query) => listStreams(log, query),
    listStreamTypes: async () => [...new Set([...log.streams.keys()].map(streamTypeOf))].sort(),
    getDocuments: async (keys) => keys.map((key) => log.documents.get(key)),
    queryDocuments: async (query) => log.documents.query(query),
    declare: async (collections) => log.documents.declare(collections),
    positionOf: async (stream, revision) => log.streams.get(stream)?.[revision - 1]?.position,
    erase: async (step) => erase(log, step),
    async restore(records) {
      for (const record of records) restoreOne(log, record)
      log.bell.ring()
    },
    wake: (signal) => log.bell.listen(signal),
    gauges: () => ({}),
    async close() {},
  }
}

/** Checks everything first, in the order that every storage keeps; then writes. */
function commitOne(log: MemoryLog, commit: Commit, clock: Clock): CommitOutcome {
  return (
    limitBroken(sizeOf(commit), widestLimits) ??
    checkClosed(log, commit) ??
    checkRepeat(log, commit) ??
    checkExpected(log, commit) ??
    checkCondition(log, commit) ??
    log.documents.check(commit) ??
    write(log, commit, clock)
  )
}

function checkClosed(log: MemoryLog, commit: Commit): CommitOutcome | undefined {
  const append = commit.appends.find(({ stream }) => headOf(log, stream)?.closed)
  if (append === undefined) return undefined
  const tombstone = log.streams.get(append.stream)?.at(-1)?.event
  const [event] = append.events
  const again = append.tombstone && event?.id === tombstone?.id && event?.content === tombstone?.content
  return again ? committed(log, commit, true) : { outcome: 'forgotten', stream: append.stream }
}

function checkRepeat(log: MemoryLog, commit: Commit): CommitOutcome | undefined {
  const verdict = compareIds(commit, (event) => {
    const row = log.ids.get(event.id)
    return row && { stream: row.stream, revision: row.revision, same: sameContent(row, event) }
  })
  if (verdict === 'new') return undefined
  return verdict === 'repeated' ? committed(log, commit, true) : verdict
}

/** The first salt wins: content that has gone to the archive is compared through its commitment. */
function sameContent({ state, event }: Row, again: PreparedEvent): boolean {
  if (event === undefined) return false
  if (state !== 'trimmed') return event.content === again.content
  const commitment = commitmentOf(event.salt, again.content)
  return event.commitment.every((byte, index) => byte === commitment[index])
}

function checkExpected(log: MemoryLog, commit: Commit): CommitOutcome | undefined {
  for (const append of commit.appends) {
    const actual = headOf(log, append.stream)?.revision ?? 0
    if (asExpected(append, actual)) continue
    return { outcome: 'conflict', stream: append.stream, expected: append.expected, actual }
  }
  return undefined
}

/** Beyond a position a forgotten record fails the condition, for it can no longer be asked; of the whole log it matches nothing. */
function checkCondition(log: MemoryLog, { condition }: Commit): CommitOutcome | undefined {
  if (condition === undefined) return undefined
  const after = conditionAfter(condition, log.rows.length)
  if (typeof after !== 'number') return after
  const row = log.rows.slice(after).find((row) => {
    const state = visibleState(log, row)
    if (state === 'forgotten') return after > 0
    return state !== 'tombstone' && row.event !== undefined && matchesQuery(condition.query, row.event)
  })
  return row && { outcome: 'condition-failed', stream: row.stream, revision: row.revision, position: row.position }
}

function write(log: MemoryLog, commit: Commit, clock: Clock): CommitOutcome {
  const time = Math.max(clock(), log.rows.at(-1)?.time ?? 0)
  for (const { stream, events, tombstone } of commit.appends) {
    for (const event of events) {
      const revision = (log.streams.get(stream)?.length ?? 0) + 1
      add(log, {
        stream,
        revision,
        position: log.rows.length + 1,
        time,
        state: tombstone ? 'tombstone' : 'stored',
        event,
      })
    }
  }
  log.documents.write(commit)
  if (commit.appends.some(({ events }) => events.length > 0)) log.live = true
  return committed(log, commit, false)
}

function add(log: MemoryLog, row: Row): void {
  log.rows.push(row)
  const stream = log.streams.get(row.stream)
  if (stream) stream.push(row)
  else log.streams.set(row.stream, [row])
  if (row.event) log.ids.set(row.event.id, row)
}

function committed(log: MemoryLog, commit: Commit, repeated: boolean): CommitOutcome {
  const streams = commit.appends.flatMap(({ stream, events }): StreamAppended[] => {
    const row = log.ids.get(events.at(-1)?.id ?? '')
    if (row === undefined) return []
    const { revision, time, position } = row
    return [{ stream, first: revision - events.length + 1, last: revision, time, position }]
  })
  return { outcome: 'committed', repeated, streams }
}

function headOf(log: MemoryLog, stream: string): StreamHead | undefined {
  const row = log.streams.get(stream)?.at(-1)
  return (
    row && { stream, revision: row.revision, time: row.time, position: row.position, closed: row.state === 'tombstone' }
  )
}

/** From the tombstone on a stream's events are forgotten, whether or not they were emptied yet. */
function visibleState(log: MemoryLog, row: Row): Row['state'] {
  return row.state !== 'tombstone' && headOf(log, row.stream)?.closed ? 'forgotten' : row.state
}

function readStream(log: MemoryLog, stream: string, range: RevisionRange): StreamPage {
  const head = headOf(log, stream)
  if (head === undefined) return { records: [], more: false }
  const { after, until = head.revision, asOf = Number.POSITIVE_INFINITY } = range
  const rows = (log.streams.get(stream) ?? [])
    .slice(after, until)
    .filter((row) => row.time <= asOf && (!head.closed || row.state === 'tombstone'))
  if (range.direction === 'backwards') rows.reverse()
  const page = cutPage(rows, range.limit)
  return { head, records: page.map((row) => recordOf(log, row)), more: page.length < rows.length }
}

function readLog(log: MemoryLog, query: LogQuery): LogPage {
  const head = log.rows.length
  const { after, until = head, asOf = Number.POSITIVE_INFINITY } = query
  const range = log.rows.slice(after, until).filter((row) => row.time <= asOf)
  if (query.direction === 'backwards') range.reverse()
  const scanned = range.slice(0, limits.scanRecords)
  const matching = scanned.filter((row) => passes(log, query, row))
  const page = cutPage(matching, query.limit)
  const last = page.length < matching.length ? page.at(-1) : scanned.at(-1)
  return {
    logId: log.id,
    head,
    records: page.map((row) => recordOf(log, row, query.evidence)),
    scannedTo: last?.position ?? after,
    more: page.length < matching.length || scanned.length < range.length,
  }
}

function passes(log: MemoryLog, query: LogQuery, row: Row): boolean {
  switch (visibleState(log, row)) {
    case 'tombstone':
      return passesTombstone(query, row.stream)
    case 'forgotten':
      return passesForgotten(query, row.stream)
    case 'stored':
    case 'trimmed':
      return row.event !== undefined && matchesFilter(query, row.stream, row.event)
  }
}

function readBoundary(log: MemoryLog, query: EventQuery, from: number, limit: number): BoundaryPage {
  const rows = log.rows.slice(from).filter((row) => row.event && matchesQuery(query, row.event))
  const records = rows
    .map((row) => recordOf(log, row))
    .filter((record) => record.state === 'stored' || record.state === 'trimmed')
  const page = records.slice(0, limit)
  const more = page.length < records.length
  const scannedTo = more ? (page.at(-1)?.position ?? from) : log.rows.length
  return { records: page, guard: positionGuard(scannedTo), scannedTo, more }
}

function listStreams(log: MemoryLog, { type, updatedFrom = 0, cursor = '0', limit }: StreamListQuery): StreamListPage {
  const start = cursorOrdinal(cursor)
  const heads = [...log.streams.keys()]
    .filter((stream) => streamTypeOf(stream) === type)
    .flatMap((stream) => headOf(log, stream) ?? [])
    .filter(({ time, position = 0 }) => time >= updatedFrom && position > start)
    .sort((a, b) => (a.position ?? 0) - (b.position ?? 0))
  const streams = heads.slice(0, limit)
  return streams.length < heads.length ? { streams, next: String(streams.at(-1)?.position) } : { streams }
}

/** A page ends at its number of records or bytes, and holds at least one record. */
function cutPage(rows: readonly Row[], limit: number): readonly Row[] {
  let bytes = 0
  const end = rows.findIndex((row, index) => {
    bytes += row.event?.content.length ?? 0
    return index > 0 && (index >= limit || bytes > limits.pageBytes)
  })
  return end < 0 ? rows : rows.slice(0, end)
}

function recordOf(log: MemoryLog, row: Row, evidence?: true): LogRecord {
  const { stream, revision, position, time, event, entry } = row
  const state = visibleState(log, row)
  const key = { stream, revision, position, time }
  if (state === 'forgotten' || event === undefined) {
    return { ...key, state: 'forgotten', evidence: evidence && { entry: entry ?? entryOfRow(row) } }
  }
  const { id, type, tags, content, salt, commitment } = event
  const proof = evidence && { salt, commitment, entry }
  return state === 'trimmed'
    ? { ...key, state, id, type, tags, segment: row.segment ?? '', evidence: proof }
    : { ...key, state, content, evidence: proof }
}

function entryOfRow({ stream, revision, time, event }: Row): Uint8Array | undefined {
  return event && entryOf({ stream, revision, time, commitment: event.commitment })
}

function erase(log: MemoryLog, step: EraseStep): EraseProgress {
  switch (step.erase) {
    case 'trim':
      return eraseRows(log, step.stream, step.from, step.to, (row) => {
        if (row.state !== 'stored' || row.event === undefined) return false
        row.entry = entryOfRow(row)
        row.event = { ...row.event, content: '' }
        row.segment = step.segment
        row.state = 'trimmed'
        return true
      })
    case 'events': {
      const head = headOf(log, step.stream)
      if (!head?.closed) throw new InvalidArgument('stream', `"${step.stream}" has no tombstone, so its events stay`)
      return eraseRows(log, step.stream, step.from, head.revision - 1, (row) => {
        if (row.event === undefined) return false
        row.entry ??= entryOfRow(row)
        log.ids.delete(row.event.id)
        row.event = undefined
        row.state = 'forgotten'
        return true
      })
    }
    case 'documents':
      return { erased: log.documents.eraseStream(step.stream), done: true }
    case 'collection': {
      const erased = log.documents.eraseCollection(step.collection, limits.eraseRecords)
      return { erased, done: erased < limits.eraseRecords }
    }
    case 'scrub':
      return { erased: 0, done: true }
  }
}

function eraseRows(
  log: MemoryLog,
  stream: string,
  from: number,
  to: number,
  empty: (row: Row) => boolean,
): EraseProgress {
  const rows = (log.streams.get(stream) ?? []).slice(from - 1, to)
  const step = rows.slice(0, limits.eraseRecords)
  const erased = step.filter(empty).length
  return step.length < rows.length ? { erased, next: from + step.length, done: false } : { erased, done: true }
}

/** Takes a record as it is, into a log that nothing was committed to. */
function restoreOne(log: MemoryLog, record: LogRecord): void {
  const { stream, revision, time, evidence } = record
  const position = log.rows.length + 1
  checkRestorable(record, { live: log.live, position, revision: (log.streams.get(stream)?.length ?? 0) + 1 })
  const segment = record.state === 'trimmed' ? { segment: record.segment } : {}
  const event = restoredEvent(record)
  add(log, { stream, revision, position, time, state: record.state, entry: evidence?.entry, event, ...segment })
}

function restoredEvent(record: LogRecord): Row['event'] {
  if (record.state === 'forgotten') return undefined
  const { salt = new Uint8Array(), commitment = new Uint8Array() } = record.evidence ?? {}
  const content = record.state === 'trimmed' ? '' : record.content
  const { id, type, tags } = record.state === 'trimmed' ? record : parseContent(record.content)
  return { id, type, tags, content, salt, commitment }
}
