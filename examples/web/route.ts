/** A row for each route: what a request holds, what it is answered, and the function between. */
import type { Store } from 'daybook'
import type * as z from 'zod/mini'

export interface Route<Body extends z.ZodMiniType = z.ZodMiniType, Query extends Fields = Fields> {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE'
  /** With `{names}` for its parameters. */
  readonly path: string
  /** In the OpenAPI document; no two rows have the same. */
  readonly operationId: string
  readonly tag: string
  readonly summary: string
  readonly description?: string
  readonly query?: Query
  /** A query parameter without which a request is none of this row. */
  readonly needs?: keyof Query & string
  readonly body?: { readonly schema: Body; readonly example: z.input<Body> }
  /** `Idempotency-Key` is taken. */
  readonly idempotent?: true
  /** Left out, the answer has no body. */
  readonly answer?: {
    readonly schema: z.ZodMiniType
    readonly example: unknown
    /** An example of what is answered instead, unless `Accept` names `application/json`. */
    readonly text?: string
  }
  /** What a 400 means here. */
  readonly refusal?: string
  /** What a 404 means here. */
  readonly missing?: string
  /** Of what fails in the server; default 500. */
  readonly failure?: 400
  /** An object is answered as JSON, a text as it is. */
  readonly handle: (
    asked: Asked<z.output<Body>, z.output<z.ZodMiniObject<Query>>>,
  ) => Promise<object | string | undefined>
}

export interface Asked<Body = unknown, Query = unknown> {
  readonly store: Store
  /** The parameters of the path. */
  readonly path: Readonly<Record<string, string>>
  readonly query: Query
  readonly body: Body
  /** The same for each request with one `Idempotency-Key`; undefined without. */
  readonly request: string | undefined
  readonly url: URL
  readonly headers: Headers
  /** Of the answer. */
  readonly answerHeaders: Headers
}

/** Schemas by the names of query parameters. */
export type Fields = Readonly<Record<string, z.ZodMiniType>>

/** The types of query and body, from their schemas to the function; what lists rows need not know them. */
export function row<Body extends z.ZodMiniType, Query extends Fields>(route: Route<Body, Query>): Route {
  return route as unknown as Route
}
