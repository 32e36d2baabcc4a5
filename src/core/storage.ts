/**
 * The port: what makes a store durable. Four storages keep it (memory, SQLite, PostgreSQL, DynamoDB), the conformance
 * suite holds them to it. A storage offers a log of events and a set of documents, and commits both together; everything
 * else is written once, above it.
 *
 * Expected outcomes are values. A rejected promise means "outcome unknown: repeat with the same ids".
 */
import type { Expected } from './errors.ts'
import type { Auditors } from './finding.ts'
import type { AppendCondition, EventQuery, LogFilter } from './query.ts'
import type { EngineRemnant } from './remnant.ts'

/** Ordinal of an event in the whole log, from 1, without gaps; 0 is before everything. */
export type Position = number
/** Ordinal of an event in its stream, from 1, without gaps; an absent stream is at 0. */
export type Revision = number
export type Direction = 'forwards' | 'backwards'

export interface Storage {
  /** For messages and logs: the engine and the place, never a password. */
  readonly name: string
  readonly limits: StorageLimits
  readonly abilities: StorageAbilities
  /** The only way to write. Each commit is atomic alone; all are durable when it resolves; same length and order. */
  commit(commits: readonly Commit[]): Promise<readonly CommitOutcome[]>
  /**
   * Commits as a part of a transaction of the caller's, which decides whether and when it is recorded. What does not end
   * as a new commit leaves the transaction as it was. Only where the engine has such transactions.
   */
  commitWithin?(transaction: Transaction, commit: Commit): Promise<CommitOutcome>
  /** Reads as the transaction sees it, with what it has written itself. Given where `commitWithin` is. */
  readWithin?(transaction: Transaction): Pick<Storage, 'getDocuments' | 'readStream'>
  /** Strongly consistent. Once the stream is forgotten: its tombstone alone. */
  readStream(stream: string, range: RevisionRange): Promise<StreamPage>
  /** Strongly consistent, events without a position too. Neither tombstones nor forgotten events. */
  readBoundary(query: EventQuery, from: Position, limit: number): Promise<BoundaryPage>
  /** Bounded by records scanned, so that a page may be short or empty and yet not the last: go on from `scannedTo`. */
  readLog(query: LogQuery): Promise<LogPage>
  /** Least recently updated first; may lag. A stream that is written meanwhile may come twice, never not at all. */
  listStreams(query: StreamListQuery): Promise<StreamListPage>
  /** In order of UTF-8 bytes; may lag. */
  listStreamTypes(): Promise<readonly string[]>
  /** Strongly consistent; same length and order as the keys. */
  getDocuments(keys: readonly DocumentKey[]): Promise<readonly (Document | undefined)[]>
  /** By one declared index, or by words; may lag. All of a collection: strongly consistent, and for those who can wait. */
  queryDocuments(query: DocumentQuery): Promise<DocumentPage>
  /** Throws `Unsupported` for what it cannot serve, `CollectionClash` for what is stored otherwise. */
  declare(collections: readonly CollectionSpec[]): Promise<void>
  positionOf(stream: string, revision: Revision): Promise<Position | undefined>
  /** One bounded step of trimming or forgetting; idempotent and resumable. */
  erase(step: EraseStep): Promise<EraseProgress>
  /** Into an empty log, in order of position, in as many calls as it takes until the first commit; keeps all that is given. */
  restore(records: readonly LogRecord[]): Promise<void>
  /** Yields once at start, after each reconnect, and when something may have come. Carries no events. */
  wake(signal: AbortSignal): AsyncIterable<void>
  /** Audits pieces elsewhere than on this thread, at most so many at the same time; where the storage can. */
  auditors?(most: number): Auditors
  /** Numbers for metrics, by name and unit (`walBytes`). */
  gauges(): Readonly<Record<string, number>>
  close(): Promise<void>
}

export interface StorageLimits {
  /** Per commit. */
  readonly commitStreams: number
  readonly commitEvents: number
  readonly commitDocuments: number
  /** Bytes of content and document bodies together. */
  readonly commitBytes: number
  readonly eventBytes: number
  readonly documentBytes: number
  /** Per page: it ends at whichever comes first, and holds at least one record. */
  readonly pageRecords: number
  readonly pageBytes: number
}

export interface StorageAbilities {
  /** When a position is known: when the append returns, or soon after. */
  readonly positions: 'at-commit' | 'later'
  /** Where a re-used event id is noticed: anywhere in the log, or where this append would go. */
  readonly ids: 'everywhere' | 'per-append'
  /** Whether every item of a condition must name a boundary tag. */
  readonly conditions: 'any' | 'tagged'
  readonly search: boolean
  /** Whether statements of others can run in a commit's transaction. */
  readonly statements: boolean
  /** Where the engine itself may still hold what was erased. */
  readonly remnants: readonly EngineRemnant[]
}

/** As the driver has it: for PostgreSQL the client of `pg` on which it was begun. */
export type Transaction = object

export interface Commit {
  /** Unique; the version of every document that it writes. */
  readonly id: string
  /** Zero or more; a stream at most once. */
  readonly appends: readonly StreamAppend[]
  /** Needs at least one append with events. */
  readonly condition?: AppendCondition
  /** A key at most once; at least one put where there are no events. */
  readonly documents?: readonly DocumentWrite[]
  /**
   * Runs in the storage's own transaction, where the ability `statements` is there: its statements are recorded if and only if
   * the commit is, and not again for a repeat. What it throws fails the commit.
   */
  readonly inside?: (sql: Transaction) => void | Promise<void>
}

/** Without events it only checks `expected` (a number or 'exists'); it is left out of the outcome's streams. */
export interface StreamAppend {
  readonly stream: string
  readonly expected: Expected
  /**
   * Where the writer takes the stream's end to be, beside what is expected: documents of the commit were made for it. A
   * repeat is none the less one; else the outcome is a conflict where the end is elsewhere.
   */
  readonly at?: Revision
  readonly events: readonly PreparedEvent[]
  /** Its one event closes the stream for good. */
  readonly tombstone?: true
}

export interface PreparedEvent {
  readonly id: string
  readonly type: string
  /** Unique, in order of UTF-8 bytes. */
  readonly tags: readonly string[]
  /** Canonical form of [id, type, tags, data, meta]: the bytes that are stored and hashed. */
  readonly content: string
  readonly contentBytes: number
  readonly salt: Uint8Array
  readonly commitment: Uint8Array
}

export type CommitOutcome =
  | { readonly outcome: 'committed'; readonly repeated: boolean; readonly streams: readonly StreamAppended[] }
  | { readonly outcome: 'conflict'; readonly stream: string; readonly expected: Expected; readonly actual: Revision }
  | { readonly outcome: 'forgotten'; readonly stream: string }
  | {
      readonly outcome: 'condition-failed'
      readonly stream: string
      readonly revision: Revision
      readonly position?: Position
    }
  | { readonly outcome: 'document-conflict'; readonly key: DocumentKey; readonly version?: string }
  | { readonly outcome: 'id-reused'; readonly id: string; readonly stream: string; readonly revision: Revision }
  | { readonly outcome: 'limit'; readonly limit: string; readonly allowed: number; readonly actual: number }
  | { readonly outcome: 'busy'; readonly retryAfterMs: number }
  /** This commit alone met an error that nothing expects, and was rolled back; its neighbours stand. */
  | { readonly outcome: 'failed'; readonly cause: unknown }

export interface StreamAppended {
  readonly stream: string
  readonly first: Revision
  readonly last: Revision
  /** Epoch milliseconds. */
  readonly time: number
  /** Of the last event; the others stand right before it. */
  readonly position?: Position
}

interface RecordKey {
  readonly stream: string
  readonly revision: Revision
  readonly position?: Position
  /** Epoch milliseconds. */
  readonly time: number
  /** Only where it was asked for. */
  readonly evidence?: Evidence | undefined
}

/** What binds the record into the ledger. An entry is given where the content has gone; else it follows from the rest. */
export interface Evidence {
  readonly salt?: Uint8Array | undefined
  readonly commitment?: Uint8Array | undefined
  readonly entry?: Uint8Array | undefined
  /** Of no storage: what an encrypted event decrypts to, where its keys are at hand. Its `salt` is the commitment of that. */
  readonly plain?: { readonly content: string; readonly salt: Uint8Array } | 'damaged'
}

export interface StoredEvent extends RecordKey {
  readonly state: 'stored'
  readonly content: string
}
/** Its content is in an archive segment. */
export interface TrimmedEvent extends RecordKey {
  readonly state: 'trimmed'
  readonly id: string
  readonly type: string
  readonly tags: readonly string[]
  readonly segment: string
}
export interface ForgottenEvent extends RecordKey {
  readonly state: 'forgotten'
}
export interface Tombstone extends RecordKey {
  readonly state: 'tombstone'
  readonly content: string
}
export type LogRecord = StoredEvent | TrimmedEvent | ForgottenEvent | Tombstone

/** Revisions after `after`, up to and with `until`, recorded at or before `asOf`; `backwards` begins at the far end. */
export interface RevisionRange {
  readonly after: Revision
  readonly until?: Revision
  /** Epoch milliseconds. */
  readonly asOf?: number
  readonly direction: Direction
  readonly limit: number
}

export interface StreamHead {
  readonly stream: string
  readonly revision: Revision
  /** Epoch milliseconds. */
  readonly time: number
  readonly position?: Position
  readonly closed: boolean
}

export interface StreamPage {
  /** Absent: the stream has no event. */
  readonly head?: StreamHead
  readonly records: readonly LogRecord[]
  /** There is more of the range. */
  readonly more: boolean
}

export interface BoundaryPage {
  readonly records: readonly (StoredEvent | TrimmedEvent)[]
  /** What a condition takes as `guard`. The last page's covers all that the pages before it have read. */
  readonly guard: string
  readonly scannedTo: Position
  readonly more: boolean
}

/** Positions after `after`, up to and with `until`, recorded at or before `asOf`. */
export interface LogQuery extends LogFilter {
  readonly after: Position
  readonly until?: Position
  /** Epoch milliseconds. */
  readonly asOf?: number
  readonly direction: Direction
  readonly limit: number
  readonly evidence?: true
}

export interface LogPage {
  readonly logId: string
  /** Position of the newest event. */
  readonly head: Position
  readonly records: readonly LogRecord[]
  /** Everything of the range from its beginning to here was looked at. */
  readonly scannedTo: Position
  readonly more: boolean
}

export interface StreamListQuery {
  readonly type: string
  /** Updated at or after, in epoch milliseconds. */
  readonly updatedFrom?: number
  /** `next` of the page before. */
  readonly cursor?: string
  readonly limit: number
}

export interface StreamListPage {
  readonly streams: readonly StreamHead[]
  readonly next?: string
}

export interface DocumentKey {
  readonly collection: string
  readonly key: string
}

export interface Document extends DocumentKey {
  /** Id of the commit that wrote it. */
  readonly version: string
  /** Canonical JSON. */
  readonly body: string
}

export type DocumentWrite = DocumentPut | DocumentDelete | DocumentCheck
export interface DocumentPut {
  readonly kind: 'put'
  readonly key: DocumentKey
  readonly body: string
  readonly index: readonly IndexEntry[]
  /** Words to be found by, in the form that `document.ts` gives them. */
  readonly words?: readonly string[]
  /** Streams whose content it holds: forgetting one of them deletes the document. */
  readonly streams?: readonly string[]
  readonly if: Guard
}
export interface DocumentDelete {
  readonly kind: 'delete'
  readonly key: DocumentKey
  readonly if: Guard
}
export interface DocumentCheck {
  readonly kind: 'check'
  readonly key: DocumentKey
  readonly if: Guard
}
export type Guard =
  | { readonly is: 'anything' }
  | { readonly is: 'absent' }
  | { readonly is: 'version'; readonly version: string }

/** Texts that sort by UTF-8 bytes as their values do; made by `document.ts`. */
export interface IndexEntry {
  readonly index: string
  readonly equals: string
  readonly order: string
}

export interface CollectionSpec {
  readonly collection: string
  readonly indexes: readonly IndexSpec[]
  /** Fields whose words are searched. */
  readonly search?: readonly string[]
}

export interface IndexSpec {
  readonly name: string
  /** Fields whose values a query must give, all of them. */
  readonly equals: readonly string[]
  /** The field of which a query may give a range, and by which it sorts; else by key. */
  readonly order?: string
  /** No two documents may have the same values. */
  readonly unique?: true
}

export type DocumentQuery =
  | {
      readonly by: 'index'
      readonly collection: string
      readonly index: string
      readonly equals: string
      /** Inclusive bounds on `order`. */
      readonly from?: string
      readonly to?: string
      readonly direction: Direction
      readonly cursor?: string
      readonly limit: number
    }
  /**
   * All of a collection, in an order that means nothing; a page may be short or empty and yet not the last. What is there all
   * the while comes once; what is written or deleted meanwhile may be as it was before or after.
   */
  | { readonly by: 'collection'; readonly collection: string; readonly cursor?: string; readonly limit: number }
  /** Documents that hold all the words, the last one as a beginning; in an order that holds still, but means nothing. */
  | {
      readonly by: 'words'
      readonly collection: string
      readonly words: readonly string[]
      readonly cursor?: string
      readonly limit: number
    }

export interface DocumentPage {
  readonly documents: readonly Document[]
  readonly next?: string
}

/** Each looks at no more than `limits.eraseRecords` records or documents. */
export type EraseStep =
  /** Empties the events of a range whose segment is confirmed. */
  | {
      readonly erase: 'trim'
      readonly stream: string
      readonly from: Revision
      readonly to: Revision
      readonly segment: string
    }
  /** Empties the events of a closed stream, from `from` on. */
  | { readonly erase: 'events'; readonly stream: string; readonly from: Revision }
  /** Deletes the documents that hold content of a closed stream. */
  | { readonly erase: 'documents'; readonly stream: string }
  /** Deletes the documents of a collection, from `cursor` on; with the last of them its declaration. */
  | { readonly erase: 'collection'; readonly collection: string; readonly cursor?: string | undefined }
  /** Overwrites what the engine still holds of erased bytes; not done while somebody's long read holds it up. */
  | { readonly erase: 'scrub' }

export interface EraseProgress {
  /** Records or documents that this step has emptied; those found empty do not count. */
  readonly erased: number
  /** Of documents that held content of a stream: the collection of each. */
  readonly collections?: readonly string[]
  /** Revision from which the next step goes on. */
  readonly next?: Revision
  /** Of scrubbing: where the engine may still hold something, beside what its abilities say. */
  readonly remnants?: readonly EngineRemnant[]
  /** Of a collection, where the next step goes on, for a storage that has to know. */
  readonly cursor?: string
  readonly done: boolean
}
