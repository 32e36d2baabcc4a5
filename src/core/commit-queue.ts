/**
 * Group commit. What arrives while a commit is under way is handed over together by the next one, so that many callers
 * share one wait for the disk; each has its own outcome. Inline views are folded for all of them together. No timer: idle,
 * an append waits for one turn of the event loop.
 */
import { eventIdsOf, sizeOf } from './commit.ts'
import { isStoreError, OutcomeUnknown, StoreBusy, StoreClosed } from './errors.ts'
import { limits } from './limits.ts'
import type { Commit, CommitOutcome, Storage } from './storage.ts'
import { backoffMs, sleep, turn } from './turn.ts'

export interface CommitQueue {
  /** Rejects with `StoreBusy` or `StoreClosed` before anything was handed over, else with `OutcomeUnknown`. */
  add(commit: Commit): Promise<CommitOutcome>
  /** Takes nothing more, and resolves when all that was taken has its outcome. */
  close(): Promise<void>
}

/** What folding reads; of a transaction, as it sees it. */
export type FoldReads = Pick<Storage, 'getDocuments' | 'readStream'>

/** A commit as it is handed over, and what its outcome is told by. */
export interface Folded {
  readonly commit: Commit
  /** As it was asked for. */
  readonly asked: Commit
  readonly fold?: {
    /** Documents that were written or checked for views. */
    readonly keys: ReadonlySet<string>
    /** Why it must not be written, unless it has been before. */
    readonly refusal?: unknown
  }
}

/** What a queue does to commits before it hands them over; see `inline.ts`. */
export interface CommitFolder {
  /** The commits with the views that their events make; same length and order. Rejects where it could not read. */
  fold(commits: readonly Commit[], reads: FoldReads): Promise<readonly Folded[]>
  /** The outcome of what was asked for; `'again'`: others were in the way of its views, and it is to be folded anew. */
  judge(folded: Folded, outcome: CommitOutcome): CommitOutcome | 'again'
}

/** Of a queue whose commits belong into no views. */
export const foldsNothing: CommitFolder = {
  fold: async (commits) => commits.map((commit) => ({ commit, asked: commit })),
  judge: (_, outcome) => outcome,
}

/** Where commits are handed over to, and what inline views are folded on. */
export interface Committing extends FoldReads, Pick<Storage, 'commit'> {}

interface HandingOver {
  readonly storage: Committing
  readonly folder: CommitFolder
  /** How often a commit is handed over whose outcome is unknown. */
  readonly tries: number
}

interface Waiting {
  readonly commit: Commit
  readonly bytes: number
  readonly resolve: (outcome: CommitOutcome) => void
  readonly reject: (error: unknown) => void
}

export function createCommitQueue(storage: Committing, folder: CommitFolder = foldsNothing): CommitQueue {
  const handing: HandingOver = { storage, folder, tries: limits.commitTries }
  let waiting: Waiting[] = []
  let waitingBytes = 0
  let running: Promise<void> | undefined
  let closed = false

  async function run(): Promise<void> {
    await turn()
    while (waiting.length > 0) {
      const batch = takeBatch()
      await handOver(handing, batch)
      await turn()
    }
    running = undefined
  }

  function takeBatch(): readonly Waiting[] {
    let bytes = 0
    let end = 0
    while (end < waiting.length && end < limits.batchCommits) {
      bytes += waiting[end]?.bytes ?? 0
      if (end > 0 && bytes > limits.batchBytes) break
      end++
    }
    const batch = waiting.slice(0, end)
    waiting = waiting.slice(end)
    for (const { bytes } of batch) waitingBytes -= bytes
    return batch
  }

  return {
    add(commit) {
      if (closed) return Promise.reject(new StoreClosed())
      const bytes = sizeOf(commit).commitBytes
      if (waiting.length >= limits.queueCommits || (waiting.length > 0 && waitingBytes + bytes > limits.queueBytes)) {
        return Promise.reject(new StoreBusy(`${waiting.length} commits are waiting already; write less at a time`, 100))
      }
      return new Promise((resolve, reject) => {
        waiting.push({ commit, bytes, resolve, reject })
        waitingBytes += bytes
        running ??= run()
      })
    },
    async close() {
      closed = true
      await running
    },
  }
}

/** One commit by itself, handed over to where its caller decides what becomes of it. */
export function commitAlone(storage: Committing, folder: CommitFolder, commit: Commit): Promise<CommitOutcome> {
  return new Promise((resolve, reject) => {
    void handOver({ storage, folder, tries: 1 }, [{ commit, bytes: 0, resolve, reject }])
  })
}

/** Until all have their outcome; those in whose way others were fold again, together with what followed from them. */
async function handOver(handing: HandingOver, batch: readonly Waiting[]): Promise<void> {
  let left = batch
  const lost: unknown[] = []
  for (let tries = 1; left.length > 0; tries++) {
    if (tries > 1) await sleep(backoffMs(tries - 1, limits.foldBackoffMs, limits.foldBackoffMsMax))
    try {
      const { folded, outcomes } = await commitOnce(handing, left, lost)
      const judged = folded.map((one, index) => handing.folder.judge(one, outcomes[index] as CommitOutcome))
      const last = tries >= limits.foldTries
      left = left.filter((waiting, index) => {
        const outcome = judged[index]
        if (outcome === 'again' && !last) return true
        settle(waiting, outcome === undefined || outcome === 'again' ? crowded : outcome, lost)
        return false
      })
    } catch (error) {
      for (const { commit, reject } of left) {
        reject(isStoreError(error) && lost.length === 0 ? error : new OutcomeUnknown(eventIdsOf(commit), error))
      }
      return
    }
  }
}

const crowded: CommitOutcome = { outcome: 'busy', retryAfterMs: 100 }

/** A rejection says nothing about what was written; the ids make it safe to hand the same commits over again. */
async function commitOnce(
  { storage, folder, tries }: HandingOver,
  batch: readonly Waiting[],
  lost: unknown[],
): Promise<{ readonly folded: readonly Folded[]; readonly outcomes: readonly CommitOutcome[] }> {
  const asked = batch.map(({ commit }) => commit)
  const folded = await insist(tries, () => folder.fold(asked, storage)).catch((error) => {
    // Nothing of this was handed over, and whoever asks again may find the storage well.
    throw isStoreError(error) ? error : new StoreBusy('What inline views are folded on cannot be read', 100, error)
  })
  const commits = folded.map(({ commit }) => commit)
  const outcomes = await insist(tries, () => storage.commit(commits), lost)
  return { folded, outcomes }
}

/** Tries again what failed in no known way; `failures` takes in why. */
async function insist<Answer>(most: number, run: () => Promise<Answer>, failures: unknown[] = []): Promise<Answer> {
  for (let tries = 1; ; tries++) {
    try {
      return await run()
    } catch (error) {
      if (isStoreError(error)) throw error
      failures.push(error)
      if (tries >= most) throw error
      await sleep(backoffMs(tries, limits.commitBackoffMs, 1_000))
    }
  }
}

/** Other outcomes would tell of a lost try that came through; these two speak of the last try alone. */
function settle({ commit, resolve, reject }: Waiting, outcome: CommitOutcome, lost: readonly unknown[]): void {
  const unwritten = outcome.outcome === 'busy' || outcome.outcome === 'failed'
  if (unwritten && lost.length > 0) reject(new OutcomeUnknown(eventIdsOf(commit), lost[0]))
  else resolve(outcome)
}
