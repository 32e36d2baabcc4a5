/** Errors as plain data, for ways on which classes get lost: between threads, and over a wire. */
import {
  CollectionClash,
  ConditionFailed,
  DocumentConflict,
  type ErrorCode,
  EventArchived,
  EventIdReused,
  Forbidden,
  ForeignLog,
  InvalidArgument,
  LimitExceeded,
  LogDiverged,
  NotAStore,
  ObjectDamaged,
  OutcomeUnknown,
  PositionBeyondHead,
  RateLimited,
  RequestFailed,
  RestoreUnfinished,
  RevisionConflict,
  SchemaTooNew,
  SchemaViolation,
  ServerUnreachable,
  StorageFailed,
  StoreBusy,
  StoreClosed,
  type StoreError,
  StoreMissing,
  StoreReadOnly,
  StreamForgotten,
  StreamNotFound,
  Unauthenticated,
  Unsupported,
} from './errors.ts'
import { LedgerBroken, NotSealed, ProofInvalid } from './ledger-errors.ts'
import {
  ProjectionClash,
  ProjectionFailed,
  ProjectionMissing,
  ProjectionNotFound,
  ValueTaken,
  ViewBehind,
  ViewNotReady,
} from './projection-errors.ts'
import { ConsumerNotFound, DefinitionClash, EventTypeNotFound, JobNotFound, JobNotParked } from './work-errors.ts'

const classes: Readonly<Record<ErrorCode, { readonly name: string; readonly prototype: StoreError }>> = {
  'invalid-argument': InvalidArgument,
  'schema-violation': SchemaViolation,
  'limit-exceeded': LimitExceeded,
  'revision-conflict': RevisionConflict,
  'stream-not-found': StreamNotFound,
  'stream-forgotten': StreamForgotten,
  'condition-failed': ConditionFailed,
  'event-id-reused': EventIdReused,
  'event-archived': EventArchived,
  'object-damaged': ObjectDamaged,
  'document-conflict': DocumentConflict,
  'position-beyond-head': PositionBeyondHead,
  'log-diverged': LogDiverged,
  'foreign-log': ForeignLog,
  unsupported: Unsupported,
  'collection-clash': CollectionClash,
  'projection-not-found': ProjectionNotFound,
  'projection-clash': ProjectionClash,
  'projection-missing': ProjectionMissing,
  'projection-failed': ProjectionFailed,
  'value-taken': ValueTaken,
  'view-not-ready': ViewNotReady,
  'view-behind': ViewBehind,
  'definition-clash': DefinitionClash,
  'event-type-not-found': EventTypeNotFound,
  'consumer-not-found': ConsumerNotFound,
  'job-not-found': JobNotFound,
  'job-not-parked': JobNotParked,
  'not-sealed': NotSealed,
  'proof-invalid': ProofInvalid,
  'ledger-broken': LedgerBroken,
  'store-busy': StoreBusy,
  'store-closed': StoreClosed,
  'store-missing': StoreMissing,
  'store-read-only': StoreReadOnly,
  'not-a-store': NotAStore,
  'schema-too-new': SchemaTooNew,
  'restore-unfinished': RestoreUnfinished,
  'outcome-unknown': OutcomeUnknown,
  'storage-failed': StorageFailed,
  unauthenticated: Unauthenticated,
  forbidden: Forbidden,
  'rate-limited': RateLimited,
  'server-unreachable': ServerUnreachable,
  'request-failed': RequestFailed,
}

/** All that an error knows as plain data, for a way on which classes get lost. */
export function plainError(error: unknown): Readonly<Record<string, unknown>> {
  if (!(error instanceof Error)) return { message: String(error) }
  const { name, message, stack, cause } = error
  return { ...error, name, message, stack, ...(cause !== undefined && { cause: plainError(cause) }) }
}

/** The error that `plainError` was made from, of its class again where it is one of ours. */
export function reviveError(plain: unknown): Error {
  const { cause, ...facts } = plain as Readonly<Record<string, unknown>>
  const known = classes[facts['code'] as ErrorCode]
  const bare = new Error(String(facts['message']))
  const error = known ? Object.create(known.prototype) : bare
  const all = { name: known?.name ?? bare.name, stack: bare.stack, ...facts }
  for (const [name, value] of Object.entries(all)) {
    Object.defineProperty(error, name, { value, configurable: true, writable: true, enumerable: !hidden.has(name) })
  }
  if (cause !== undefined) Object.defineProperty(error, 'cause', { value: reviveError(cause), configurable: true })
  return error
}

/** As on an error that was thrown here. */
const hidden = new Set(['name', 'message', 'stack'])
