/** A route is a row: what it takes, what it answers, and the function between; app and OpenAPI document are made of it. */
import type * as z from 'zod/mini'
import type { Store } from '../core/store.ts'
import type { Param } from './wire.ts'

export interface Route {
  readonly method: 'GET' | 'POST' | 'PUT'
  /** With names in braces: `/streams/{streamType}`. */
  readonly path: string
  readonly summary: string
  readonly description?: string
  readonly tag: string
  readonly params?: Readonly<Record<string, Param>>
  readonly query?: Readonly<Record<string, Param>>
  readonly body?: { readonly schema: z.ZodMiniType; readonly example: unknown }
  /** `Idempotency-Key` is taken. */
  readonly idempotent?: true
  readonly answer: {
    readonly status: 200 | 201
    readonly schema: z.ZodMiniType
    readonly description: string
    readonly example?: unknown
  }
  /** Statuses of the problems that it may answer beside those of every route. */
  readonly problems: readonly number[]
  /** What fields of the core's errors are called here, by beginning: `events[0].data` → `event.payload`. */
  readonly fields?: Readonly<Record<string, string>>
  handle(asked: Asked): Promise<unknown>
}

/** A request as a route gets it: everything validated by the row's own schemas. */
export interface Asked {
  readonly store: Store
  readonly params: Readonly<Record<string, string | number>>
  readonly query: Readonly<Record<string, string | number>>
  readonly body: unknown
  /** The id that a retry with the same key derives again; undefined without a key. */
  readonly keyed: ((kind: 'stream' | 'event', ordinal: number) => string) | undefined
}
