/**
 * Group commit. What arrives while a commit is under way is handed over together by the next one, so that many callers
 * share one wait for the disk; each has its own outcome. No timer: idle, an append waits for one turn of the event loop.
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

interface Waiting {
  readonly commit: Commit
  readonly bytes: number
  readonly resolve: (outcome: CommitOutcome) => void
  readonly reject: (error: unknown) => void
}

export function createCommitQueue(storage: Storage): CommitQueue {
  let waiting: Waiting[] = []
  let waitingBytes = 0
  let running: Promise<void> | undefined
  let closed = false

  async function run(): Promise<void> {
    await turn()
    while (waiting.length > 0) {
      const batch = takeBatch()
      await handOver(storage, batch)
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

/** A rejection says nothing about what was written; the ids make it safe to hand the same commits over again. */
async function handOver(storage: Storage, batch: readonly Waiting[]): Promise<void> {
  const commits = batch.map(({ commit }) => commit)
  for (let tries = 1, lost: unknown; ; tries++) {
    try {
      const outcomes = await storage.commit(commits)
      for (const [index, waiting] of batch.entries()) settle(waiting, outcomes[index] as CommitOutcome, lost)
      return
    } catch (error) {
      const known = isStoreError(error)
      if (!known && tries < limits.commitTries) {
        lost ??= error
        await sleep(backoffMs(tries, limits.commitBackoffMs, 1_000))
        continue
      }
      for (const { commit, reject } of batch) {
        reject(known && lost === undefined ? error : new OutcomeUnknown(eventIdsOf(commit), error))
      }
      return
    }
  }
}

/** Other outcomes would tell of a lost try that came through; these two speak of the last try alone. */
function settle({ commit, resolve, reject }: Waiting, outcome: CommitOutcome, lost: unknown): void {
  const unwritten = outcome.outcome === 'busy' || outcome.outcome === 'failed'
  if (unwritten && lost !== undefined) reject(new OutcomeUnknown(eventIdsOf(commit), lost))
  else resolve(outcome)
}
