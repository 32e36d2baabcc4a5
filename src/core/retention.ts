/**
 * Retention: what of a stream type stays in the storage, and what goes to the archive. Each part of a policy says what it
 * keeps; what none of them keeps goes. Nothing is lost either way: archived events are read as before, and cost time.
 */
import { checkObject, checkOrdinal } from './argument.ts'
import { InvalidArgument } from './errors.ts'
import { limits } from './limits.ts'
import { checkStreamType, refuseTrail } from './name.ts'
import { checkPolicy, snapshotKey, snapshotOf } from './snapshot.ts'
import type { LogRecord, Storage, StoredEvent } from './storage.ts'

/** At least one of these. */
export interface RetentionPolicy {
  /** Events recorded in the last so many days stay; 0, or a part of a day, are possible. */
  readonly keepDays?: number
  /** The last so many events of each stream stay. */
  readonly keepEvents?: number
  /**
   * The last event in the stream's snapshot stays, and those behind it; without a snapshot all of them. Of a decider, by the
   * name and version of its `snapshot`.
   */
  readonly sinceSnapshot?: { readonly name: string; readonly version: number }
}

/** By stream type; what is not named stays whole. */
export type Retention = Readonly<Record<string, RetentionPolicy>>

export function checkRetention(retention: Retention, path: string): void {
  checkObject(retention, path)
  for (const [type, policy] of Object.entries(retention)) {
    checkStreamType(type, path)
    refuseTrail(type, path)
    const place = `${path}.${type}`
    checkObject(policy, place)
    const { keepDays, keepEvents, sinceSnapshot } = policy
    if (keepDays === undefined && keepEvents === undefined && sinceSnapshot === undefined) {
      throw new InvalidArgument(place, 'says nothing of what stays: give keepDays, keepEvents or sinceSnapshot')
    }
    if (keepDays !== undefined && !(Number.isFinite(keepDays) && keepDays >= 0)) {
      throw new InvalidArgument(`${place}.keepDays`, 'must be a number of days, 0 or more')
    }
    if (keepEvents !== undefined) checkOrdinal(keepEvents, `${place}.keepEvents`)
    if (sinceSnapshot !== undefined) checkPolicy(sinceSnapshot, `${place}.sinceSnapshot`)
  }
}

export interface Sorted {
  /** In order of position. */
  readonly going: readonly StoredEvent[]
  /** Of the first event that stays. */
  readonly firstStaying?: number
  /** Nothing after these records can go. */
  readonly atEnd: boolean
}

/** What of a page of the log's records goes; `now` in epoch milliseconds. Streams are asked for their ends as they are. */
export function createSorting(
  storage: Pick<Storage, 'readStream' | 'getDocuments' | 'abilities'>,
  { keepDays = 0, keepEvents = 0, sinceSnapshot }: RetentionPolicy,
  now: number,
): (records: readonly LogRecord[]) => Promise<Sorted> {
  const cut = now - keepDays * 86_400_000
  // Record time rises with positions where positions are given with it.
  const ordered = storage.abilities.positions === 'at-commit'

  async function lastGoing(stream: string): Promise<number> {
    const [end, [snapshot]] = await Promise.all([
      keepEvents === 0 ? undefined : storage.readStream(stream, { after: 0, direction: 'backwards', limit: 1 }),
      sinceSnapshot === undefined
        ? []
        : storage.getDocuments([snapshotKey({ decider: sinceSnapshot.name, version: sinceSnapshot.version, stream })]),
    ])
    const byCount = end === undefined ? Number.POSITIVE_INFINITY : (end.head?.revision ?? 0) - keepEvents
    const held = snapshot && snapshotOf(snapshot)?.revision
    // A load from the snapshot reads its last event, to see that the stream is still the one it was taken of.
    return sinceSnapshot === undefined ? byCount : Math.min(byCount, (held ?? 1) - 1)
  }

  return async (records) => {
    const stored = records.filter((record) => record.state === 'stored')
    const old = stored.filter(({ time }) => time <= cut)
    const streams = [...new Set(old.map(({ stream }) => stream))]
    const last = new Map<string, number>()
    for (let at = 0; at < streams.length; at += limits.archiveParallel) {
      const some = streams.slice(at, at + limits.archiveParallel)
      const found = await Promise.all(some.map(lastGoing))
      for (const [index, stream] of some.entries()) last.set(stream, found[index] ?? 0)
    }
    const goes = ({ stream, revision, time }: LogRecord) => time <= cut && revision <= (last.get(stream) ?? 0)
    const staying = stored.find((record) => !goes(record))?.position
    return {
      going: stored.filter(goes),
      ...(staying !== undefined && { firstStaying: staying }),
      atEnd: ordered && stored.some(({ time }) => time > cut),
    }
  }
}
