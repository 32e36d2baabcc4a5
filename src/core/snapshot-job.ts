/** Snapshots as jobs: asked for by a load that was dear, taken by whoever works for the decider. */
import type { Background } from './background.ts'
import { isStoreError } from './errors.ts'
import { type JobBody, jobBodyOf, jobId, jobKey, putJob } from './job.ts'
import { limits } from './limits.ts'
import { type Snapshot, type SnapshotKey, snapshotKey } from './snapshot.ts'
import type { JobHandler } from './worker.ts'

/** For a decider a kind of its own: a worker that does not know it leaves its jobs to others. */
export function snapshotKind(decider: string): string {
  return `$snapshot.${decider}`
}

/** Resolves when it is asked for, or is being done already; whatever goes wrong is left to the next load. */
export type AskForSnapshot = (key: SnapshotKey) => Promise<void>

export function createAsking(background: Background): AskForSnapshot {
  const { storage, queue, making, clock } = background
  /** By job, when it was asked for; the oldest first. */
  const asked = new Map<string, number>()

  function isNews(id: string): boolean {
    const now = performance.now()
    const last = asked.get(id)
    if (last !== undefined && now - last < limits.snapshotAskMs) return false
    asked.delete(id)
    asked.set(id, now)
    const [oldest = id] = asked.keys()
    if (asked.size > limits.snapshotsAsked) asked.delete(oldest)
    return true
  }

  async function add(body: JobBody): Promise<void> {
    const put = (guard: Parameters<typeof putJob>[1]) =>
      queue.add({ id: making.newId(), appends: [], documents: putJob(body, guard) })
    const { outcome } = await put({ is: 'absent' })
    if (outcome !== 'document-conflict') return
    const [document] = await storage.getDocuments([jobKey(jobId(body))])
    // What was done before is done anew; what waits, runs or is parked is left as it is.
    if (document && jobBodyOf(document).state === 'done') await put({ is: 'version', version: document.version })
  }

  return async (key) => {
    const { decider, version, stream } = key
    const now = clock()
    const body: JobBody = {
      ...{ kind: snapshotKind(decider), key: snapshotKey(key).key, state: 'waiting', at: now, addedAt: now },
      ...{ input: { decider, version, stream }, streams: [stream] },
      ...{ tries: 0, mostTries: limits.jobTriesDefault, backoffMs: limits.jobBackoffMs },
    }
    const id = jobId(body)
    if (background.readOnly || !isNews(id)) return
    await add(body).catch(() => asked.delete(id))
  }
}

/** Does nothing for another version than the worker's own, and where the stream has gone. */
export function snapshotHandler(version: number, take: (stream: string) => Promise<Snapshot | undefined>): JobHandler {
  return async ({ job }) => {
    const input = job.input as SnapshotKey
    if (input.version !== version) return { result: null }
    try {
      const snapshot = await take(input.stream)
      return { result: snapshot ? { revision: snapshot.revision } : null }
    } catch (error) {
      if (isStoreError(error, 'stream-forgotten') || isStoreError(error, 'stream-not-found')) return { result: null }
      throw error
    }
  }
}
