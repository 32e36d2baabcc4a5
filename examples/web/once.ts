/**
 * What keeps an `Idempotency-Key` good for one request, on every storage: a view by the ids of requests, which commits with
 * their events. The first event of a request says in `meta.request` which one it is.
 */
import type { Meta } from 'daybook'
import { keyReused } from './refused.ts'

export interface Request {
  readonly stream: string
  readonly revision: number
}

export function requestOf({ meta }: { readonly meta: Meta | null }): string | undefined {
  return meta?.['request'] as string | undefined
}

/** The same request again is a repeat to the store, and comes by here once; another one under its key is refused. */
export function once(earlier: Request | undefined, { stream, revision }: Request): Request {
  if (earlier) throw keyReused()
  return { stream, revision }
}
