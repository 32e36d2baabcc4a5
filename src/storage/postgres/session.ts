/** What every part of the storage works with: the pool, the statements of the schema, the log's id. */
import { isStoreError, StorageFailed, StoreBusy } from '../../core/errors.ts'
import { backoffMs, sleep } from '../../core/turn.ts'
import { failureOf, type PostgresPool, rowsOf } from './driver.ts'
import type { Statements } from './statements.ts'

export interface Session {
  /** The storage's name: engine and place, without a password. */
  readonly place: string
  readonly pool: PostgresPool
  readonly sql: Statements
  readonly logId: string
  /** What an error of a statement comes from, where more can be said than the server does. */
  readonly explain: (error: unknown) => Promise<unknown>
}

/** For what only asks: on the pool, or on a client whose transaction it is to see. */
export type Asking = Omit<Session, 'pool'> & { readonly pool: Pick<PostgresPool, 'query'> }

/** Kinds of a class: events, tombstones, forgotten events. */
export const eventKind = 0
export const tombstoneKind = 1
export const forgottenKind = 2

/** States of a log row. */
export const stored = 0
export const tombstone = 1
export const trimmed = 2
export const forgotten = 3

/** How often a read is tried again on another connection, when the server is busy or its connection was lost. */
const readTries = 3
const readBackoffMs = 20

/**
 * The rows of a statement that only reads, which therefore may be asked again. Throws `StorageFailed` where the server refuses
 * it, `StoreBusy` where it has not answered.
 */
export async function read<Row>(
  { pool, place, explain }: Asking,
  statement: string,
  values: readonly unknown[] = [],
): Promise<readonly Row[]> {
  for (let tries = 1; ; tries++) {
    try {
      return await rowsOf<Row>(pool, statement, values)
    } catch (error) {
      if (failureOf(error) === 'refused') {
        const cause = await explain(error)
        throw isStoreError(cause) ? cause : new StorageFailed(`read from ${place}`, cause)
      }
      if (tries === readTries)
        throw new StoreBusy(
          `${place} cannot be read: ${error instanceof Error ? error.message : String(error)}`,
          1_000,
          error,
        )
      await sleep(backoffMs(tries, readBackoffMs, 1_000))
    }
  }
}
