/** What a PostgreSQL storage is opened with. */
import type { Clock } from '../../core/time.ts'
import type { PostgresPool } from './driver.ts'

export type PostgresOptions = PostgresPlace & {
  /** Holds all that is Daybook's in the database; made if it is not there. Default `daybook`. */
  readonly schema?: string
  /** Neither makes nor changes anything. */
  readonly readOnly?: boolean
  readonly clock?: Clock
}

/** A URL, or a pool of `pg`, which stays open when the storage is closed. */
export type PostgresPlace = { readonly url: string } | { readonly pool: PostgresPool }
