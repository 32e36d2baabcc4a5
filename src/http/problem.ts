/** Errors on the wire: which status an error has, and its body (RFC 9457, with the fields of the reference API beside). */
import { type ErrorCode, isStoreError, type LimitExceeded } from '../core/errors.ts'

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
  readonly slug: string
  readonly details: unknown
  readonly headers: Readonly<Record<string, string>>

  constructor(
    status: number,
    slug: string,
    message: string,
    more: { details?: unknown; headers?: Readonly<Record<string, string>> } = {},
  ) {
    super(message)
    this.status = status
    this.slug = slug
    this.details = more.details ?? null
    this.headers = more.headers ?? {}
  }
}

/** Bad input, field by field. */
export function invalid(messages: Readonly<Record<string, readonly string[]>>): HttpError {
  const [first = ['request', ['is invalid']]] = Object.entries(messages)
  return new HttpError(400, 'invalid-argument', `${first[0]}: ${first[1][0]}`, { details: { messages } })
}

const statuses: Readonly<Record<ErrorCode, number>> = {
  'invalid-argument': 400,
  'schema-violation': 400,
  'limit-exceeded': 400,
  'revision-conflict': 409,
  'stream-not-found': 404,
  'stream-forgotten': 410,
  'condition-failed': 409,
  'event-id-reused': 422,
  'event-archived': 501,
  'document-conflict': 409,
  'position-beyond-head': 409,
  'foreign-log': 409,
  unsupported: 501,
  'collection-clash': 409,
  'store-busy': 503,
  'store-closed': 503,
  'store-missing': 503,
  'store-read-only': 403,
  'not-a-store': 500,
  'schema-too-new': 503,
  'outcome-unknown': 503,
  'storage-failed': 500,
}

const titles: Readonly<Record<number, string>> = {
  400: 'The request is invalid',
  403: 'Not allowed',
  404: 'Not found',
  405: 'The method is not allowed here',
  409: 'The request does not fit what is recorded; read again',
  410: 'Forgotten for good',
  413: 'Too large',
  415: 'The body is encoded in a way that is not taken',
  422: 'The same key or id came with other content',
  500: 'Something went wrong here',
  501: 'This store cannot do that',
  503: 'Not now; try again later',
}

export interface Answered {
  readonly problem: Problem
  readonly headers: Readonly<Record<string, string>>
  /** Not the client's doing: to be logged with its cause. */
  readonly unexpected: boolean
}

export function problemOf(error: unknown, requestId: string): Answered {
  if (error instanceof HttpError) {
    const { status, slug, message, details, headers } = error
    return { problem: { ...about(slug, status), message, requestId, details }, headers, unexpected: false }
  }
  if (!isStoreError(error)) {
    const message = `Something went wrong here; it was logged under ${requestId}`
    return { problem: { ...about('internal', 500), message, requestId, details: null }, headers: {}, unexpected: true }
  }
  const { code, message } = error
  const status = isTooLarge(error) ? 413 : statuses[code]
  const problem: Problem = {
    ...about(code, status),
    message: status >= 500 && code === 'storage-failed' ? 'The storage failed; nothing was written' : message,
    requestId,
    details: detailsOf(error),
    ...factsOf(error),
  }
  const headers =
    'retryAfterMs' in error ? { 'retry-after': String(Math.ceil(Number(error.retryAfterMs) / 1_000)) } : {}
  return { problem, headers: headers as Record<string, string>, unexpected: status >= 500 }
}

export function statusTitle(status: number): string {
  return titles[status] ?? 'Error'
}

function about(slug: string, status: number) {
  return { type: `urn:daybook:problem:${slug}`, title: statusTitle(status), status }
}

function isTooLarge(error: Error): boolean {
  return isStoreError(error, 'limit-exceeded') && (error as LimitExceeded).limit.endsWith('Bytes')
}

function detailsOf(error: Error): unknown {
  if (!('path' in error)) return null
  const messages = 'reason' in error ? [String(error.reason)] : [error.message]
  return { messages: { [String(error.path)]: messages } }
}

/** What the error knows, but for what is said already or is nobody's business. */
function factsOf(error: Error): Readonly<Record<string, unknown>> {
  const {
    name: _,
    code: __,
    path: ___,
    reason: ____,
    cause: _____,
    ...facts
  } = error as Error & Record<string, unknown>
  return facts
}
