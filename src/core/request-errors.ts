/** What a server refuses a request for, and what becomes of one that it does not answer. */
import { StoreError } from './errors.ts'

/** Nobody is known by what the request brought: no credential, a wrong one, or one that has run out. */
export class Unauthenticated extends StoreError {
  override readonly code = 'unauthenticated'
  declare readonly reason: string
  constructor(reason: string) {
    super(`Not authenticated: ${reason}`, { reason })
  }
}

/** The caller is known, and may not do this. `scope` is the one that would allow it. */
export class Forbidden extends StoreError {
  override readonly code = 'forbidden'
  declare readonly scope: string
  constructor(scope: string) {
    super(`This needs the scope "${scope}"`, { scope })
  }
}

/** The caller asks more often than it may. Nothing was done; try again after `retryAfterMs`. */
export class RateLimited extends StoreError {
  override readonly code = 'rate-limited'
  declare readonly retryAfterMs: number
  constructor(retryAfterMs: number) {
    super(`Too many requests; try again in ${retryAfterMs} ms`, { retryAfterMs })
  }
}

/** No answer came from the server, however often it was asked. Appends end otherwise: see `OutcomeUnknown`. */
export class ServerUnreachable extends StoreError {
  override readonly code = 'server-unreachable'
  declare readonly url: string
  constructor(url: string, cause: unknown) {
    super(`No answer from ${url}: ${cause instanceof Error ? cause.message : String(cause)}`, { url }, cause)
  }
}

/** The server answered with something that has no error of its own here. */
export class RequestFailed extends StoreError {
  override readonly code = 'request-failed'
  declare readonly status: number
  constructor(message: string, status: number) {
    super(message, { status })
  }
}
