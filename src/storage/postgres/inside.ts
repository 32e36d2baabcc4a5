/** Commits that bring statements of others: each in a transaction of its own, in which those come before the append. */
import type { Commit, CommitOutcome } from '../../core/storage.ts'
import type { Clock } from '../../core/time.ts'
import { commit } from './commit.ts'
import { failureOf, type PostgresClient, rowsOf } from './driver.ts'
import type { Session } from './session.ts'

/** In their order; those between that bring none are one batch. */
export async function commitInTurn(
  session: Session,
  commits: readonly Commit[],
  clock: Clock,
): Promise<readonly CommitOutcome[]> {
  const outcomes: CommitOutcome[] = []
  let batch: Commit[] = []
  for (const one of commits) {
    if (one.inside === undefined) batch.push(one)
    else {
      outcomes.push(...(await commit(session, batch, clock)), await commitInside(session, one, clock))
      batch = []
    }
  }
  return [...outcomes, ...(await commit(session, batch, clock))]
}

/** The log is held from the append on only, however long the statements before it take. */
async function commitInside(session: Session, one: Commit, clock: Clock): Promise<CommitOutcome> {
  const client = await session.pool.connect()
  // Where it breaks between two statements, the next one says so.
  const broken = () => {}
  client.on('error', broken)
  let lost = true
  try {
    await rowsOf(client, 'BEGIN ISOLATION LEVEL READ COMMITTED')
    const outcome = await runInside(session, { client, one, clock })
    const written = outcome.outcome === 'committed' && !outcome.repeated
    // Where the connection is gone, this says so, whatever has shown it first.
    await rowsOf(client, written ? 'COMMIT' : 'ROLLBACK')
    lost = false
    return outcome
  } finally {
    if (!lost) client.removeListener('error', broken)
    client.release(lost)
  }
}

const retryAfterMs = 100

async function runInside(
  session: Session,
  { client, one, clock }: { readonly client: PostgresClient; readonly one: Commit; readonly clock: Clock },
): Promise<CommitOutcome> {
  try {
    await one.inside?.(client)
  } catch (cause) {
    const own = cause instanceof Error && cause.cause ? cause.cause : cause
    const busy = typeof own === 'object' && own !== null && failureOf(own) === 'busy'
    return busy ? { outcome: 'busy', retryAfterMs } : { outcome: 'failed', cause }
  }
  const [outcome] = await commit({ ...session, pool: client }, [one], clock)
  if (outcome === undefined) throw new Error('A commit was not answered')
  return outcome
}
