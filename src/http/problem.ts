/** Errors on the wire: which status an error has, and its body (RFC 9457, with the fields of the reference API beside). */
import {
  type ErrorCode,
  type InvalidArgument,
  isStoreError,
  type LimitExceeded,
  type SchemaViolation,
} from '../core/errors.ts'

/** What a client can rely on: `type` and `status`, `requestId` for asking the operator, `details` by kind. */
export interface Problem {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly message: string
  readonly requestId: string
  /** For 400: `{ messages: { "<field path>": ["<rule>"] } }`. */
  readonly details: unknown
  /** The error's own facts: a conflict's `stream`, `expected` and `actual`. */
  readonly [fact: string]: unknown
}

/** Thrown by routes for what HTTP itself has an answer to. */
export class HttpError extends Error {
  readonly status: number
  readonly kind: ProblemKind
  readonly details: unknown
  readonly headers: Readonly<Record<string, string>>

  constructor(
    kind: ProblemKind,
    message: string,
    more: { details?: unknown; headers?: Readonly<Record<string, string>> } = {},
  ) {
    super(message)
    this.status = problemKinds[kind].status
    this.kind = kind
    this.details = more.details ?? null
    this.headers = more.headers ?? {}
  }
}

/** Bad input, field by field. */
export function invalid(messages: Readonly<Record<string, readonly string[]>>): HttpError {
  const [first = ['request', ['is invalid']]] = Object.entries(messages)
  return new HttpError('invalid-argument', `${first[0]}: ${first[1][0]}`, { details: { messages } })
}

interface Kind {
  readonly status: number
  /** What it means, for `title` and the reference. */
  readonly title: string
}

/** Every kind of problem there is: what `type` ends with, its status, and what it means. */
export const problemKinds = {
  'invalid-argument': { status: 400, title: 'Something in the request cannot be used' },
  'schema-violation': { status: 400, title: "The schema of the event's type refuses its data" },
  'limit-exceeded': { status: 400, title: 'A limit would be broken' },
  unauthenticated: { status: 401, title: 'Who asks is not known' },
  forbidden: { status: 403, title: 'Who asks may not do this' },
  'foreign-origin': { status: 403, title: 'A page of another origin asks' },
  'store-read-only': { status: 403, title: 'The store is open for reading only' },
  'stream-not-found': { status: 404, title: 'There is no such stream' },
  'view-not-found': { status: 404, title: 'There is no such view' },
  'projection-not-found': { status: 404, title: 'There is no such projection' },
  'event-type-not-found': { status: 404, title: 'No such event type is declared' },
  'consumer-not-found': { status: 404, title: 'There is no such consumer' },
  'job-not-found': { status: 404, title: 'There is no such job' },
  'unknown-path': { status: 404, title: 'There is nothing at this path' },
  'method-not-allowed': { status: 405, title: 'The method is not allowed here' },
  'revision-conflict': { status: 409, title: 'The stream is at another revision; read it again' },
  'condition-failed': { status: 409, title: 'An event that must not be there is there; read the boundary again' },
  'document-conflict': { status: 409, title: 'A document has changed since it was read' },
  'collection-clash': { status: 409, title: 'A collection is stored with other indexes' },
  'projection-clash': { status: 409, title: 'A version of a projection is stored otherwise than it is defined' },
  'value-taken': { status: 409, title: 'Another view has a value that is unique' },
  'definition-clash': { status: 409, title: 'The name is stored with another definition' },
  'job-not-parked': { status: 409, title: 'Only a parked job can be retried' },
  'not-sealed': { status: 409, title: 'No signed digest covers the event yet' },
  'foreign-log': { status: 409, title: 'The checkpoint belongs to another log' },
  'position-beyond-head': { status: 409, title: 'The log does not reach that far' },
  'log-diverged': { status: 409, title: 'The log is not what was read' },
  'stream-forgotten': { status: 410, title: 'The stream was forgotten for good' },
  'request-too-large': { status: 413, title: 'The body is too large' },
  'unsupported-encoding': { status: 415, title: 'The body is encoded in a way that is not taken' },
  'proof-invalid': { status: 422, title: 'What a proof, a digest or a signature says is not so' },
  'event-id-reused': { status: 422, title: 'The same key or id came with other content' },
  'rate-limited': { status: 429, title: 'Too many requests' },
  internal: { status: 500, title: 'Something went wrong here' },
  'ledger-broken': { status: 500, title: 'What the ledger has stored does not fit together' },
  'not-a-store': { status: 500, title: 'What the server has opened is no store' },
  'storage-failed': { status: 500, title: 'The storage failed' },
  'object-damaged': { status: 500, title: 'An object of the archive is damaged or missing' },
  'projection-failed': { status: 500, title: 'A projection failed at an event' },
  unsupported: { status: 501, title: 'What is asked for cannot be done here' },
  'event-archived': { status: 501, title: 'The event is in an archive that is not at hand' },
  'server-unreachable': { status: 502, title: 'A server behind this one gives no answer' },
  'request-failed': { status: 502, title: 'A server behind this one failed' },
  'issuer-unreachable': { status: 503, title: "The token issuer's keys cannot be had now" },
  'not-ready': { status: 503, title: 'The store does not answer' },
  'projection-missing': { status: 503, title: 'The server lacks a projection that is in use' },
  'view-not-ready': { status: 503, title: 'The views are not built yet' },
  'view-behind': { status: 503, title: 'The view has not got that far in time' },
  'outcome-unknown': { status: 503, title: 'The storage failed before it answered; repeat with the same ids or key' },
  'schema-too-new': { status: 503, title: 'The store was written by a newer Daybook' },
  'restore-unfinished': { status: 503, title: 'A backup is being restored into the store' },
  'store-busy': { status: 503, title: 'Too much is waiting; try again later' },
  'store-closed': { status: 503, title: 'The server is stopping' },
  'store-missing': { status: 503, title: 'There is no store where the server looks' },
} as const satisfies Record<string, Kind> & Record<ErrorCode, Kind>

export type ProblemKind = keyof typeof problemKinds

export function typeOf(kind: ProblemKind): string {
  return `urn:daybook:problem:${kind}`
}

export interface Answered {
  readonly problem: Problem
  readonly headers: Readonly<Record<string, string>>
  /** Not the client's doing: to be logged with its cause. */
  readonly unexpected: boolean
}

export function problemOf(error: unknown, requestId: string): Answered {
  if (error instanceof HttpError) {
    const { status, kind, message, details, headers } = error
    return { problem: { ...about(kind, status), message, requestId, details }, headers, unexpected: status >= 500 }
  }
  if (!isStoreError(error)) {
    const message = `Something went wrong here; it was logged under ${requestId}`
    return { problem: { ...about('internal', 500), message, requestId, details: null }, headers: {}, unexpected: true }
  }
  const { code, message } = error
  const status = isTooLarge(error) ? 413 : problemKinds[code].status
  const problem: Problem = {
    ...about(code, status),
    // What is behind this server (the engine's own words, places) is for the log.
    message: inner.has(code) ? problemKinds[code].title : message,
    requestId,
    details: detailsOf(error),
    ...factsOf(error),
  }
  return { problem, headers: headersOf(error), unexpected: status >= 500 }
}

const inner = new Set<ErrorCode>([
  'storage-failed',
  'object-damaged',
  'not-a-store',
  'schema-too-new',
  'restore-unfinished',
  'store-missing',
  'server-unreachable',
  'request-failed',
])

function about(kind: ProblemKind, status: number) {
  return { type: typeOf(kind), title: problemKinds[kind].title, status }
}

function headersOf(error: Error): Readonly<Record<string, string>> {
  if (isStoreError(error, 'unauthenticated')) return { 'www-authenticate': 'Bearer realm="daybook"' }
  if (!('retryAfterMs' in error)) return {}
  return { 'retry-after': String(Math.ceil(Number(error.retryAfterMs) / 1_000)) }
}

function isTooLarge(error: Error): boolean {
  return isStoreError(error, 'limit-exceeded') && (error as LimitExceeded).limit.endsWith('Bytes')
}

function detailsOf(error: Error): unknown {
  if (isStoreError(error, 'invalid-argument')) {
    const { path, reason } = error as InvalidArgument
    return { messages: { [path]: [reason] } }
  }
  if (!isStoreError(error, 'schema-violation')) return null
  const { path, issues } = error as SchemaViolation
  return { messages: { [path]: issues.map((issue) => `${issue.path}: ${issue.message}`) } }
}

/** What the error knows, but for what is said already or is nobody's business. */
function factsOf(error: Error): Readonly<Record<string, unknown>> {
  const {
    name: _,
    code,
    path: __,
    reason,
    cause: ___,
    place: ____,
    url: _____,
    // Of a request that failed behind this server.
    status: ______,
    requestId: _______,
    ...facts
  } = error as Error & Record<string, unknown>
  return code === 'unauthenticated' ? { reason } : facts
}
