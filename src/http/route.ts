/** A route is a row: what it takes, what it answers, and the function between; app and OpenAPI document are made of it. */
import type * as z from 'zod/mini'
import type { NewEvent } from '../core/event.ts'
import type { Store } from '../core/store.ts'
import type { Need } from './access.ts'
import type { ProblemKind } from './problem.ts'
import type { Param } from './wire.ts'

export type Params = Readonly<Record<string, string | number>>
/** A parameter that may stand several times comes as a list. */
export type Query = Readonly<Record<string, string | number | readonly string[]>>

export interface Route {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE'
  /** With names in braces: `/streams/{streamType}`; `{+path}` is the rest of it, slashes too. */
  readonly path: string
  readonly summary: string
  readonly description?: string
  readonly tag: string
  readonly params?: Readonly<Record<string, Param>>
  readonly query?: Readonly<Record<string, Param>>
  readonly headers?: Readonly<Record<string, Param>>
  readonly body?: {
    readonly schema: z.ZodMiniType
    readonly example: unknown
    /** No body is an empty object. */
    readonly optional?: true
  }
  /** `Idempotency-Key` is taken. */
  readonly idempotent?: true
  /** What the caller must be allowed to do; left out, anybody may ask. */
  readonly needs?: (asked: Asked) => readonly Need[]
  readonly answer: Answer
  /** Problems that it may answer beside those of every route. */
  readonly problems: readonly ProblemKind[]
  /** What fields of the core's errors are called here, by beginning: `events[0].data` → `event.payload`. */
  readonly fields?: Readonly<Record<string, string>>
  /** Gives what is printed as JSON, or a response of its own. */
  handle(asked: Asked): Promise<unknown>
  /** What an answer says was written, for the audit line. */
  wrote?(answer: unknown): readonly Written[]
  /** It changes what the server does, and not the log: the audit line has the parts of its path. */
  readonly manages?: true
}

export interface Answer {
  readonly status: 200 | 201
  /** Of the JSON; left out, there is none. */
  readonly schema?: z.ZodMiniType
  readonly description: string
  readonly example?: unknown
  /** A page of what does not change but by forgetting: it gets an ETag, and may be asked for conditionally. */
  readonly page?: true
  /** Other media types, by their names; which one is wanted comes as `asked.media`. */
  readonly media?: Readonly<Record<string, { readonly description: string; readonly example: string }>>
}

export interface Written {
  readonly stream: string
  readonly revision: number
}

/** A request as a route gets it: everything validated by the row's own schemas. */
export interface Asked {
  readonly store: Store
  readonly params: Params
  readonly query: Query
  readonly headers: Params
  readonly body: unknown
  /** `application/json`, or the one of the row's other media types that the client would rather have. */
  readonly media: string
  readonly requestId: string
  /** The id that a retry with the same key derives again; undefined without a key. */
  readonly keyed: ((kind: 'stream' | 'event' | 'job', ordinal: number) => string) | undefined
  /** Lays what the request itself says (ids by its key, trace, principal) under the events that it brought. */
  prepare(events: readonly NewEvent[]): readonly NewEvent[]
  /** Throws once the caller is not known or not allowed any more: what lasts must ask again. */
  authorize(): Promise<void>
  /** Aborts when the client has gone or the server stops. */
  readonly signal: AbortSignal
  /** Where a feed tells how far it is. */
  readonly feeds: Set<Feed>
  /** Prometheus text, where the host keeps metrics. */
  readonly printMetrics: (() => Promise<Response>) | undefined
}

export interface Feed {
  /** The last position that was handed to the client's connection. */
  position: number
}
