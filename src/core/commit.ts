/** What is the same of a commit on every storage: its size against the limits, and how a repeat is told from a clash. */
import { utf8Length } from './encoding.ts'
import { InvalidArgument, PositionBeyondHead } from './errors.ts'
import { limits } from './limits.ts'
import type { AppendCondition } from './query.ts'
import type {
  Commit,
  CommitOutcome,
  LogRecord,
  Position,
  PreparedEvent,
  Revision,
  StorageLimits,
  StreamAppend,
} from './storage.ts'

/** Where the event of a given id lies in the log, and whether it has the content that the append brings. */
export interface Found {
  readonly stream: string
  readonly revision: Revision
  readonly same: boolean
}

export type CommitSize = Omit<StorageLimits, 'pageRecords' | 'pageBytes'>

/** Of a storage that has none narrower than Daybook's own. */
export const widestLimits: StorageLimits = {
  commitStreams: limits.appendStreams,
  commitEvents: limits.appendEvents,
  commitDocuments: limits.commitDocuments,
  commitBytes: limits.commitBytes,
  eventBytes: limits.eventBytes,
  documentBytes: limits.documentBytes,
  pageRecords: limits.pageRecords,
  pageBytes: limits.pageBytes,
}

/** `eventBytes` and `documentBytes` are those of the largest. */
export function sizeOf(commit: Commit): CommitSize {
  let commitEvents = 0
  let commitBytes = 0
  let eventBytes = 0
  for (const { events } of commit.appends) {
    commitEvents += events.length
    for (const { contentBytes } of events) {
      commitBytes += contentBytes
      if (contentBytes > eventBytes) eventBytes = contentBytes
    }
  }
  const documents = commit.documents ?? []
  let documentBytes = 0
  for (const write of documents) {
    if (write.kind !== 'put') continue
    const bytes = utf8Length(write.body)
    commitBytes += bytes
    if (bytes > documentBytes) documentBytes = bytes
  }
  return {
    commitStreams: commit.appends.length,
    commitEvents,
    commitDocuments: documents.length,
    commitBytes,
    eventBytes,
    documentBytes,
  }
}

/** The storage's own limits; those of `limits.ts` were checked above. */
export function limitBroken(size: CommitSize, allowed: StorageLimits): CommitOutcome | undefined {
  for (const limit in size) {
    const name = limit as keyof CommitSize
    if (size[name] > allowed[name]) return { outcome: 'limit', limit, allowed: allowed[name], actual: size[name] }
  }
  return undefined
}

/**
 * Whether the commit's events are in the log already: none of them (`'new'`), all of them just where this commit would
 * have put them (`'repeated'`), or in some other way, which is an error that names the first offender.
 */
export function compareIds(
  commit: Commit,
  find: (event: PreparedEvent) => Found | undefined,
): 'new' | 'repeated' | CommitOutcome {
  let missing = false
  let known: CommitOutcome | undefined
  let misplaced: CommitOutcome | undefined
  for (const append of commit.appends) {
    let next = typeof append.expected === 'number' ? append.expected + 1 : undefined
    for (const event of append.events) {
      const found = find(event)
      if (found === undefined) {
        missing = true
        if (next !== undefined) next++
        continue
      }
      const { stream, revision, same } = found
      known ??= { outcome: 'id-reused', id: event.id, stream, revision }
      if (stream !== append.stream || !same || (next !== undefined && revision !== next)) {
        misplaced ??= { outcome: 'id-reused', id: event.id, stream, revision }
      }
      next = revision + 1
    }
  }
  if (known === undefined) return 'new'
  return misplaced ?? (missing ? known : 'repeated')
}

/** True where the stream is at what the writer expects, and where its documents were made for. */
export function asExpected({ expected, at }: StreamAppend, actual: Revision): boolean {
  if (at !== undefined && at !== actual) return false
  if (expected === 'any') return true
  return expected === 'exists' ? actual > 0 : expected === actual
}

/** The guard of a decision read, where commits are known by their positions. */
export function positionGuard(position: Position): string {
  return String(position)
}

/** The position after which nothing may match; an outcome where the log has no such position. */
export function conditionAfter({ after = 0, guard = '0' }: AppendCondition, head: Position): Position | CommitOutcome {
  if (!/^(0|[1-9]\d{0,14})$/.test(guard)) {
    const cause = new InvalidArgument('condition.guard', 'was not given by a decision read of this store')
    return { outcome: 'failed', cause }
  }
  const position = Math.max(after, Number(guard))
  // Nothing can match there, so that a log which has lost its tail would take everything.
  return position <= head ? position : { outcome: 'failed', cause: new PositionBeyondHead({ position, head }) }
}

/** Restoring takes each record where it was: the next position, the next revision, with what binds it into the ledger. */
export function checkRestorable(
  record: LogRecord,
  log: { readonly live: boolean; readonly position: Position; readonly revision: Revision },
): void {
  const place = `record ${record.position} (${record.stream}, revision ${record.revision})`
  if (log.live) throw new InvalidArgument(place, 'cannot be restored: the log is not empty')
  if (record.position !== log.position) {
    throw new InvalidArgument(place, `must be at position ${log.position}, the log's next`)
  }
  if (record.revision !== log.revision) {
    throw new InvalidArgument(place, `must be at revision ${log.revision}, the stream's next`)
  }
  const { salt, commitment, entry } = record.evidence ?? {}
  const given = record.state === 'forgotten' ? entry : salt && commitment
  if (given === undefined) {
    throw new InvalidArgument(place, 'lacks its evidence; read the log with evidence to restore it')
  }
}

export function eventIdsOf({ appends }: Commit): readonly string[] {
  return appends.flatMap(({ events }) => events.map(({ id }) => id))
}
