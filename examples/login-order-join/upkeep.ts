/**
 * Snapshots and trims, as jobs of the queue. What a view's fold costs asks for a snapshot, once what it read is settled; a
 * snapshot asks for a trim, which moves to the archive what lies before it.
 */
import { derivedId, isStoreError, type JobHandlers, type RunnerOptions, type Store } from 'daybook'
import { userStream } from './domain.ts'
import type { Settings } from './settings.ts'
import type { UserViews } from './views.ts'

export interface Upkeep {
  /** For the runner of the views. */
  readonly onFolded: NonNullable<RunnerOptions['onFolded']>
  readonly handlers: JobHandlers
}

/** Users of whom it is remembered when a snapshot was asked for. */
const usersMost = 10_000
/** Trims that are asked for within such a time are one. */
const trimEveryMs = 1_000
/** Beyond the lateness, so that what was just recorded is settled surely. */
const marginMs = 100

export function upkeepOf(
  store: Store,
  { users, settled }: UserViews,
  settings: Settings,
  log: { error(facts: object, message: string): void },
): Upkeep {
  const { latenessMs, snapshotEvery, snapshotSlowerMs } = settings
  const settledInMs = latenessMs + marginMs
  /** By user, the revision at which it was asked, and until when no more is asked; those asked for longest ago first. */
  const asked = new Map<string, { readonly revision: number; readonly until: number }>()

  function isAsked(id: string, revision: number, now: number): void {
    asked.delete(id)
    asked.set(id, { revision, until: now + settledInMs })
    for (const oldest of asked.keys()) {
      if (asked.size <= usersMost) break
      asked.delete(oldest)
    }
  }

  /** One that waits already comes after whatever is there now. */
  async function askForTrim(): Promise<void> {
    const { jobs } = await store.jobs.list({ kind: 'user-trim', state: 'waiting', limit: 1 })
    if (jobs.length > 0) return
    const at = new Date((Math.floor(Date.now() / trimEveryMs) + 1) * trimEveryMs)
    await store.jobs.add('user-trim', { key: at.toISOString(), at })
  }

  return {
    onFolded({ projection, key: id, stream, revision, ms }) {
      if (projection !== users.name) return
      const now = Date.now()
      const last = asked.get(id) ?? { revision: 0, until: 0 }
      if (now < last.until || (revision - last.revision < snapshotEvery && ms < snapshotSlowerMs)) return
      isAsked(id, revision, now)
      const job = { key: derivedId([stream, revision]), input: { id }, streams: [stream], delayMs: settledInMs }
      // Where this fails, a later fold asks again.
      store.jobs.add('user-snapshot', job).catch((error) => {
        asked.delete(id)
        log.error({ err: error, id }, 'snapshot not asked for')
      })
    },
    handlers: {
      async 'user-snapshot'({ job }) {
        const { id } = job.input as { readonly id: string }
        const taken = await takeSnapshot(store, settled, id)
        if (taken !== undefined) await askForTrim()
        const details = await store.details(userStream(id))
        // What has come while it waited may be as much again.
        const left = details?.forgotten ? 0 : (details?.revision ?? 0) - (taken ?? 0)
        return left >= snapshotEvery ? { againInMs: settledInMs } : { result: taken ?? null }
      },
      async 'user-trim'({ signal }) {
        return { result: await store.archive.run({ streamTypes: ['user'], signal }) }
      },
    },
  }
}

/** The revision up to which it reaches; `undefined` where nothing of the user is settled, or there is none. */
export async function takeSnapshot(
  store: Store,
  { name }: UserViews['settled'],
  id: string,
): Promise<number | undefined> {
  try {
    return (await store.snapshots.take(name, userStream(id))).revision
  } catch (error) {
    if (isStoreError(error, 'stream-not-found') || isStoreError(error, 'stream-forgotten')) return undefined
    if (isStoreError(error, 'invalid-argument')) return undefined
    throw error
  }
}
