/**
 * Every error that Daybook throws, one class and one `code` each. The code is the identity: compare it rather than
 * the class, for two copies of a package, or a wire between, break `instanceof`. Facts are plain properties.
 */

/** What a writer believes a stream's revision to be: a number (0: it must be new), `'exists'`, or `'any'`. */
export type Expected = number | 'any' | 'exists'

export const errorCodes = [
  'invalid-argument',
  'schema-violation',
  'limit-exceeded',
  'revision-conflict',
  'stream-not-found',
  'stream-forgotten',
  'condition-failed',
  'event-id-reused',
  'event-archived',
  'object-damaged',
  'document-conflict',
  'position-beyond-head',
  'log-diverged',
  'foreign-log',
  'unsupported',
  'collection-clash',
  'projection-not-found',
  'projection-clash',
  'projection-missing',
  'projection-failed',
  'value-taken',
  'view-not-ready',
  'view-behind',
  'definition-clash',
  'event-type-not-found',
  'consumer-not-found',
  'job-not-found',
  'job-not-parked',
  'not-sealed',
  'proof-invalid',
  'ledger-broken',
  'subject-forgotten',
  'subject-exposed',
  'master-key-wrong',
  'master-key-missing',
  'encrypted-data-damaged',
  'store-busy',
  'store-closed',
  'store-missing',
  'store-read-only',
  'not-a-store',
  'schema-too-new',
  'restore-unfinished',
  'outcome-unknown',
  'storage-failed',
  'unauthenticated',
  'forbidden',
  'rate-limited',
  'server-unreachable',
  'request-failed',
] as const
export type ErrorCode = (typeof errorCodes)[number]

export abstract class StoreError extends Error {
  abstract readonly code: ErrorCode
  /** Of the request that a server answered with this error, for its log; on errors of a client. */
  declare readonly requestId?: string

  protected constructor(message: string, facts: object, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    Object.assign(this, facts)
    this.name = new.target.name
  }
}

/** True for an error of Daybook, whichever copy of the package threw it; with a code, only for that one. */
export function isStoreError(error: unknown, code?: ErrorCode): error is StoreError {
  if (!(error instanceof Error) || !('code' in error)) return false
  return code === undefined ? errorCodes.some((known) => known === error.code) : error.code === code
}

/** The storage could not answer, or did not: that says nothing of what it was asked for, and no handler is to blame. */
export function isStorageFault(error: unknown): boolean {
  return isStoreError(error) && storageFaults.has(error.code)
}

const storageFaults: ReadonlySet<ErrorCode> = new Set([
  'storage-failed',
  'store-busy',
  'store-closed',
  'outcome-unknown',
  // Content that is in the archive, and cannot be read there now.
  'event-archived',
  'object-damaged',
  // What is encrypted, and cannot be read here.
  'master-key-wrong',
  'master-key-missing',
  'encrypted-data-damaged',
])

/** Something that the caller gave cannot be used. `path` says where (`events[3].data.price`), the message how to mend it. */
export class InvalidArgument extends StoreError {
  override readonly code = 'invalid-argument'
  declare readonly path: string
  declare readonly reason: string
  constructor(path: string, reason: string) {
    super(`${path}: ${reason}`, { path, reason })
  }
}

/** An event's data is refused by the schema that is declared for its type. */
export class SchemaViolation extends StoreError {
  override readonly code = 'schema-violation'
  declare readonly path: string
  declare readonly eventType: string
  declare readonly issues: readonly { readonly path: string; readonly message: string }[]
  constructor(facts: Pick<SchemaViolation, 'path' | 'eventType' | 'issues'>) {
    const { path, eventType, issues } = facts
    const told = issues.map((issue) => `${issue.path}: ${issue.message}`).join('; ')
    super(`${path}: the schema of "${eventType}" refuses it: ${told}`, { path, eventType, issues })
  }
}

/** A named limit (`limits.ts`, or the storage's own) would be broken. Nothing was written. */
export class LimitExceeded extends StoreError {
  override readonly code = 'limit-exceeded'
  declare readonly limit: string
  declare readonly allowed: number
  declare readonly actual: number
  constructor({ limit, allowed, actual }: { limit: string; allowed: number; actual: number }, where = 'this') {
    super(`${where}: ${actual} is over the limit ${limit} = ${allowed}`, { limit, allowed, actual })
  }
}

/** The stream is not at the revision that the writer expected. Read it again, decide again. Nothing was written. */
export class RevisionConflict extends StoreError {
  override readonly code = 'revision-conflict'
  declare readonly stream: string
  declare readonly expected: Expected
  declare readonly actual: number
  constructor({ stream, expected, actual }: { stream: string; expected: Expected; actual: number }) {
    const wanted = expected === 'exists' ? 'to exist' : expected === 0 ? 'to be new' : `at revision ${expected}`
    super(`Stream "${stream}" was expected ${wanted}, and is at revision ${actual}`, { stream, expected, actual })
  }
}

export class StreamNotFound extends StoreError {
  override readonly code = 'stream-not-found'
  declare readonly stream: string
  constructor(stream: string) {
    super(`There is no stream "${stream}"`, { stream })
  }
}

/** The stream was forgotten: its content is gone for good, and its tombstone closes it. */
export class StreamForgotten extends StoreError {
  override readonly code = 'stream-forgotten'
  declare readonly stream: string
  constructor(stream: string) {
    super(`Stream "${stream}" was forgotten; nothing can be written to it any more`, { stream })
  }
}

/** An event that the condition says must not be there is there. Read the boundary again, decide again. */
export class ConditionFailed extends StoreError {
  override readonly code = 'condition-failed'
  declare readonly stream: string
  declare readonly revision: number
  declare readonly position?: number
  constructor({ stream, revision, position }: { stream: string; revision: number; position?: number }) {
    const facts = { stream, revision, ...(position !== undefined && { position }) }
    super(`The condition fails: revision ${revision} of "${stream}" matches its query, or was forgotten`, facts)
  }
}

/** The id belongs to another event, or the event has another content, or only a part of an earlier append came again. */
export class EventIdReused extends StoreError {
  override readonly code = 'event-id-reused'
  declare readonly id: string
  declare readonly stream: string
  declare readonly revision: number
  constructor({ id, stream, revision }: { id: string; stream: string; revision: number }) {
    const taken = `Event id "${id}" is taken by revision ${revision} of "${stream}"`
    super(`${taken}, and this append is no exact repeat of it`, { id, stream, revision })
  }
}

/** The event was moved to an archive segment that this store cannot read. */
export class EventArchived extends StoreError {
  override readonly code = 'event-archived'
  declare readonly stream: string
  declare readonly revision: number
  declare readonly segment: string
  constructor({ stream, revision, segment }: { stream: string; revision: number; segment: string }) {
    const facts = { stream, revision, segment }
    super(`Revision ${revision} of "${stream}" is in the archive segment "${segment}", which is not at hand`, facts)
  }
}

/** An object of an archive or a backup is missing, damaged, or of another log. Nothing was emptied or restored by it. */
export class ObjectDamaged extends StoreError {
  override readonly code = 'object-damaged'
  declare readonly key: string
  declare readonly place: string
  declare readonly reason: string
  constructor({ key, place, reason }: { key: string; place: string; reason: string }, cause?: unknown) {
    super(`"${key}" in ${place} cannot be used: ${reason}`, { key, place, reason }, cause)
  }
}

/** A document was written by somebody else since it was read. */
export class DocumentConflict extends StoreError {
  override readonly code = 'document-conflict'
  declare readonly collection: string
  declare readonly key: string
  declare readonly version?: string
  constructor({ collection, key, version }: { collection: string; key: string; version?: string | undefined }) {
    const facts = { collection, key, ...(version !== undefined && { version }) }
    super(`Document "${key}" of "${collection}" has changed since it was read`, facts)
  }
}

/** A checkpoint lies beyond the log's end: the log has lost its tail, or the checkpoint belongs to another log. */
export class PositionBeyondHead extends StoreError {
  override readonly code = 'position-beyond-head'
  declare readonly position: number
  declare readonly head: number
  /** Which object says so, where one does: its key and its place. */
  declare readonly object?: string
  constructor({ object, ...facts }: { position: number; head: number; object?: string }) {
    const whose = object === undefined ? '' : `, up to which ${object} goes,`
    const told = `Position ${facts.position}${whose} is beyond the head of the log, ${facts.head}`
    super(`${told}: the log has lost events, or is another one`, { ...facts, ...(object !== undefined && { object }) })
  }
}

/** Another record stands where the reader has read one: the log has lost its tail, and others have written since. */
export class LogDiverged extends StoreError {
  override readonly code = 'log-diverged'
  /** Of the record that was read, and its stream and revision. */
  declare readonly position: number
  declare readonly stream: string
  declare readonly revision: number
  /** Which object has another one there, where one has: its key and its place. */
  declare readonly object?: string
  constructor({ object, ...facts }: { position: number; stream: string; revision: number; object?: string }) {
    const { position, stream, revision } = facts
    const told =
      object === undefined
        ? `At position ${position} the log no longer holds revision ${revision} of "${stream}" as it was read`
        : `At position ${position} ${object} goes by another event than revision ${revision} of "${stream}" in the log`
    const why = object === undefined ? 'it has lost events' : 'it is of another log, or the log has lost events'
    super(`${told}: ${why}, and others stand in their place`, { ...facts, ...(object !== undefined && { object }) })
  }
}

/** The caller's checkpoint was taken from another log. */
export class ForeignLog extends StoreError {
  override readonly code = 'foreign-log'
  declare readonly logId: string
  declare readonly actual: string
  constructor({ logId, actual }: { logId: string; actual: string }) {
    super(`The checkpoint belongs to log ${logId}; this is log ${actual}`, { logId, actual })
  }
}

/** The storage lacks the ability; said when it is declared or asked for, never half-way. */
export class Unsupported extends StoreError {
  override readonly code = 'unsupported'
  declare readonly ability: string
  constructor(ability: string, message: string) {
    super(message, { ability })
  }
}

/** A collection of this name is stored with other indexes. */
export class CollectionClash extends StoreError {
  override readonly code = 'collection-clash'
  declare readonly collection: string
  constructor(collection: string) {
    super(`Collection "${collection}" is declared with other indexes than those stored; give it another name`, {
      collection,
    })
  }
}

/** Too much is waiting, or another process holds the store. Nothing was written; try again later. */
export class StoreBusy extends StoreError {
  override readonly code = 'store-busy'
  declare readonly retryAfterMs: number
  constructor(message: string, retryAfterMs: number, cause?: unknown) {
    super(message, { retryAfterMs }, cause)
  }
}

export class StoreClosed extends StoreError {
  override readonly code = 'store-closed'
  constructor() {
    super('The store is closed', {})
  }
}

/** There is no store at this place, and none is made by opening it so. */
export class StoreMissing extends StoreError {
  override readonly code = 'store-missing'
  declare readonly place: string
  constructor(place: string, cause?: unknown, mend?: string) {
    super(`There is no store at ${place}${mend === undefined ? '' : `: ${mend}`}`, { place }, cause)
  }
}

export class StoreReadOnly extends StoreError {
  override readonly code = 'store-read-only'
  constructor() {
    super('The store was opened for reading only', {})
  }
}

/** What lies at this place is something else than a store of Daybook. It was left as it is. */
export class NotAStore extends StoreError {
  override readonly code = 'not-a-store'
  declare readonly place: string
  constructor(place: string, reason: string, cause?: unknown) {
    super(`${place} is no store of Daybook: ${reason}`, { place }, cause)
  }
}

/** The store was written by a newer Daybook. Upgrade this one; nothing was changed. */
export class SchemaTooNew extends StoreError {
  override readonly code = 'schema-too-new'
  declare readonly place: string
  declare readonly found: number
  declare readonly known: number
  constructor(facts: { place: string; found: number; known: number }) {
    super(
      `${facts.place} has schema ${facts.found}, and this Daybook knows up to ${facts.known}: upgrade Daybook`,
      facts,
    )
  }
}

/** A backup is being restored into the storage, or was begun to be. Restore it again: it goes on; or take an empty storage. */
export class RestoreUnfinished extends StoreError {
  override readonly code = 'restore-unfinished'
  declare readonly place: string
  constructor(place: string) {
    super(`${place} holds a part of a backup: restore it again, which goes on, or take an empty storage`, { place })
  }
}

/** The storage failed before it answered. The append may be there or not: repeat it with these ids, which is safe. */
export class OutcomeUnknown extends StoreError {
  override readonly code = 'outcome-unknown'
  declare readonly ids: readonly string[]
  constructor(ids: readonly string[], cause: unknown) {
    super('The storage failed before it answered; repeat the append with the same event ids', { ids }, cause)
  }
}

/** The storage failed in a way that nothing here expects; `cause` has the engine's own words. Nothing was written. */
export class StorageFailed extends StoreError {
  override readonly code = 'storage-failed'
  declare readonly operation: string
  constructor(operation: string, cause: unknown) {
    super(
      `The storage failed to ${operation}: ${cause instanceof Error ? cause.message : String(cause)}`,
      { operation },
      cause,
    )
  }
}
