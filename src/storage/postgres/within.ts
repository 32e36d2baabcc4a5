/**
 * A commit as a part of a transaction that the application has begun on a client of its own, beside what it writes there
 * itself. A savepoint keeps the two apart: whatever goes wrong here, the transaction is as it was, and holds no lock of ours.
 */
import { InvalidArgument, isStoreError } from '../../core/errors.ts'
import type { Commit, CommitOutcome, Storage, Transaction } from '../../core/storage.ts'
import type { Clock } from '../../core/time.ts'
import { commit } from './commit.ts'
import { getDocuments } from './documents.ts'
import { failureOf, type PostgresClient, rowsOf } from './driver.ts'
import { readStream } from './read.ts'
import type { Asking, Session } from './session.ts'

type TransactionClient = Pick<PostgresClient, 'query'>

/** From the append on the transaction holds the log: how long it may do nothing before the server ends it. */
const idleTimeout = '5s'

const enter = 'SAVEPOINT daybook'
const undo = 'ROLLBACK TO SAVEPOINT daybook'
const leave = 'RELEASE SAVEPOINT daybook'

/** Throws `InvalidArgument` for a transaction that cannot carry an append; a rejection means that nothing is written. */
export async function commitWithin(
  session: Session,
  transaction: Transaction,
  one: { readonly commit: Commit; readonly clock: Clock },
): Promise<CommitOutcome> {
  return apart(session, transaction, async (within) => {
    await one.commit.inside?.(transaction)
    const [outcome] = await commit(within, [one.commit], one.clock)
    if (outcome === undefined) throw new Error('A commit was not answered')
    const written = outcome.outcome === 'committed' && !outcome.repeated
    if (!written) await rowsOf(within.pool, undo)
    return outcome
  })
}

/** What the transaction sees, with all that it has written. */
export function readWithin(session: Session, transaction: Transaction): Pick<Storage, 'getDocuments' | 'readStream'> {
  return {
    getDocuments: (keys) => apart(session, transaction, (within) => getDocuments(within, keys)),
    readStream: (stream, range) => apart(session, transaction, (within) => readStream(within, stream, range)),
  }
}

/** Behind a savepoint: an error leaves the transaction as it was. */
async function apart<Answer>(
  session: Session,
  transaction: Transaction,
  run: (within: Asking) => Promise<Answer>,
): Promise<Answer> {
  if (!isClient(transaction)) throw unusable('must be a client of "pg"')
  await begin(transaction)
  try {
    await check(session, transaction)
    const answer = await run({ ...session, pool: transaction })
    await rowsOf(transaction, leave)
    return answer
  } catch (error) {
    if (!isStoreError(error) && failureOf(error) === 'lost') throw error
    await rowsOf(transaction, undo)
    await rowsOf(transaction, leave)
    throw error
  }
}

function isClient(transaction: Transaction): transaction is TransactionClient {
  return 'query' in transaction && typeof transaction.query === 'function'
}

async function begin(client: TransactionClient): Promise<void> {
  try {
    await rowsOf(client, enter)
  } catch (error) {
    const { code } = error as { code?: unknown }
    if (code === '25P01') throw unusable('has not begun: run BEGIN on this client first, and give no pool')
    if (code === '25P02') throw unusable('was broken by a statement before: roll it back')
    throw error
  }
}

async function check({ sql, logId, place }: Session, client: TransactionClient): Promise<void> {
  const [row] = await rowsOf<{ isolation: string; read_only: boolean; log_id: string | null }>(client, sql.within, [
    idleTimeout,
  ]).catch((error) => {
    const { code } = error as { code?: unknown }
    throw code === '42P01' ? unusable(`is in another database than ${place}`) : error
  })
  // Other isolations look at the log as it was before they held it.
  if (row?.isolation !== 'read committed') throw unusable(`must be READ COMMITTED, and is ${row?.isolation}`)
  if (row.read_only) throw unusable('is READ ONLY')
  if (row.log_id !== logId) throw unusable(`is in another database than ${place}`)
}

function unusable(reason: string): InvalidArgument {
  return new InvalidArgument('transaction', reason)
}
