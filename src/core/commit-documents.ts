/** Commits of documents alone. */
import { errorOf, type Making } from './append.ts'
import type { CommitQueue } from './commit-queue.ts'
import type { CommitOutcome, DocumentWrite } from './storage.ts'

export interface Committing {
  readonly queue: Pick<CommitQueue, 'add'>
  readonly making: Pick<Making, 'newId'>
}

/** Throws the typed error of whatever stands against them. */
export async function commitDocuments(by: Committing, documents: readonly DocumentWrite[]): Promise<void> {
  const outcome = await add(by, documents)
  if (outcome.outcome !== 'committed') throw errorOf(outcome)
}

/** False where somebody else was faster: one of them is not as it was found. */
export async function offerDocuments(by: Committing, documents: readonly DocumentWrite[]): Promise<boolean> {
  const outcome = await add(by, documents)
  if (outcome.outcome === 'committed') return true
  if (outcome.outcome === 'document-conflict') return false
  throw errorOf(outcome)
}

function add({ queue, making }: Committing, documents: readonly DocumentWrite[]): Promise<CommitOutcome> {
  return queue.add({ id: making.newId(), appends: [], documents })
}
