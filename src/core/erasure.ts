/**
 * Erasing what closed streams have left. Of each: views and other documents, and its events. Of all together, once: archive
 * segments, backups, the trail, the bytes of the storage. Every step is bounded, and can be repeated. What cannot be reached
 * from here is told.
 */
import type { Making } from './append.ts'
import { forgetKey } from './backup-keys.ts'
import { across, type ClosedStreams, closedByType } from './closed-streams.ts'
import type { CommitQueue } from './commit-queue.ts'
import { type BackupProgress, forgetInBackups, noBackups } from './forget-backups.ts'
import { forgetInSegments, noSegments, type SegmentProgress, segmentsAbout } from './forget-segments.ts'
import { jobs } from './job.ts'
import { limits } from './limits.ts'
import type { ObjectStore } from './object-store.ts'
import { parkedItems } from './parked.ts'
import { type EngineRemnant, type Kept, keepingRemnants, type Remnant } from './remnant.ts'
import { snapshots } from './snapshot.ts'
import type { DocumentWrite, Storage } from './storage.ts'
import { type Clock, formatInstant } from './time.ts'
import { type ErasedFor, recordErasure } from './trail.ts'

export interface Erasing {
  readonly storage: Storage
  readonly queue: CommitQueue
  readonly making: Making
  readonly clock: Clock
  /** Takes the content of a closed stream out of inline views that hold other streams too. */
  readonly forgetInViews: (stream: string) => Promise<void>
  /** Deletes those that hold nothing else, for the commit that closes it. */
  readonly deletesOfViews: (stream: string) => Promise<readonly DocumentWrite[]>
  /** Absent where the store was opened without an archive. */
  readonly archive?: ErasingArchive | undefined
  /** Places of backups that are within reach. */
  readonly backups: readonly ObjectStore[]
}

export interface ErasingArchive {
  readonly objects: ObjectStore
  /** Told of segments that were written anew. */
  readonly drop: (segment: string) => void
  /** Finishes what an archiver has left that has gone; false where one may be at work. */
  readonly clearLeft: (
    streamType: string,
    patience: { readonly signal: AbortSignal | undefined; readonly ms: number },
  ) => Promise<boolean>
}

/** How far one stream is in the storage. */
export interface StreamProgress {
  /** Revision from which events are still to be emptied. */
  readonly from: number
  readonly documents: number
  /** The same, by what they were. */
  readonly kinds: Readonly<Record<string, number>>
}

export const nothingErased: StreamProgress = { from: 1, documents: 0, kinds: {} }

/** How far all of them are in the places of objects. */
export interface CopiesProgress {
  /** By stream type. */
  readonly segments: Readonly<Record<string, SegmentProgress>>
  /** By place. */
  readonly backups: Readonly<Record<string, BackupProgress>>
  /** What places keep of objects that were deleted there. */
  readonly kept: readonly Remnant[]
}

export const noCopies: CopiesProgress = { segments: {}, backups: {}, kept: [] }

interface Step<Progress> {
  readonly progress: Progress
  readonly save: (progress: Progress) => Promise<unknown>
  readonly signal?: AbortSignal | undefined
}

/** A closed stream in the storage itself. */
export async function eraseStream(
  { storage, forgetInViews }: Erasing,
  stream: string,
  { progress, save, signal }: Step<StreamProgress>,
): Promise<StreamProgress> {
  let known = progress
  const keep = async (next: Partial<StreamProgress>) => {
    signal?.throwIfAborted()
    known = { ...known, ...next }
    await save(known)
  }
  // First what is read by many: from the tombstone on the events themselves are hidden.
  await forgetInViews(stream)
  for (let done = false; !done; ) {
    const { erased, collections = [], done: last } = await storage.erase({ erase: 'documents', stream })
    done = last
    if (erased > 0) await keep({ documents: known.documents + erased, kinds: withKinds(known.kinds, collections) })
  }
  for (let done = false; !done; ) {
    const { next, done: last } = await storage.erase({ erase: 'events', stream, from: known.from })
    done = last
    if (!done) await keep({ from: next ?? known.from })
  }
  return known
}

export interface CopiesStep extends Step<CopiesProgress> {
  /** Names of the places that it must reach. */
  readonly places: readonly string[]
  /** How long an archiver is waited for that may have gone. */
  readonly patienceMs: number
  /** What the trail tells it by. */
  readonly trail: ErasedFor
  /** Streams that stay, in which a subject is masked by now. */
  readonly masked?: readonly string[]
}

export interface Erased {
  readonly progress: CopiesProgress
  readonly scrubbed: boolean
  /** What is still somewhere. */
  readonly remains: readonly Remnant[]
  /** Something of it goes once another is at it, or with another try. */
  readonly pending: boolean
  /** What went wrong with segments or backups; all the rest was done. */
  readonly failure?: unknown
}

/** Copies of streams that were erased in the storage itself; then its bytes. */
export async function eraseCopies(erasing: Erasing, streams: readonly string[], step: CopiesStep): Promise<Erased> {
  const { storage } = erasing
  const kept = keepingRemnants(step.progress.kept)
  const erasure: Erasure = { erasing, step, kept, known: step.progress }
  const failures: unknown[] = []
  const remains: Remnant[] = []
  const attempt = async (run: () => Promise<Remnant | undefined>) => {
    try {
      const left = await run()
      if (left) remains.push(left)
    } catch (error) {
      step.signal?.throwIfAborted()
      failures.push(error)
    }
  }
  const closed = await closedByType(storage, streams)
  await attempt(() => eraseSegments(erasure, closed))
  for (const place of new Set([...step.places, ...erasing.backups.map(({ name }) => name)])) {
    await attempt(() => eraseBackup(erasure, closed, place))
  }
  const pending = remains.length > 0 || failures.length > 0
  if (!pending) await recordTrail(erasure)
  const { done: scrubbed, remnants = [] } = await storage.erase({ erase: 'scrub' })
  return {
    ...{ progress: { ...erasure.known, kept: kept.remnants }, scrubbed, pending },
    remains: [...remains, ...kept.remnants, ...remnantsOf(erasing, scrubbed, remnants)],
    ...(failures.length > 0 && { failure: failures[0] }),
  }
}

interface Erasure {
  readonly erasing: Erasing
  readonly step: CopiesStep
  readonly kept: Kept
  known: CopiesProgress
}

async function keep(erasure: Erasure, next: Partial<CopiesProgress>): Promise<void> {
  const { step, kept } = erasure
  step.signal?.throwIfAborted()
  erasure.known = { ...erasure.known, ...next, kept: kept.remnants }
  await step.save(erasure.known)
}

async function eraseSegments(erasure: Erasure, closed: readonly ClosedStreams[]): Promise<Remnant | undefined> {
  const { archive, storage } = erasure.erasing
  if (archive === undefined) {
    let objects = 0
    for (const some of closed) for await (const _ of segmentsAbout(storage, some)) objects++
    if (objects === 0) return undefined
    return { where: 'archive segments', objects, ends: 'open the store with its archive' }
  }
  let pending = false
  for (const some of closed) if (await eraseSegmentsOf(erasure, some, archive)) pending = true
  const place = archive.objects.name
  const ends = 'it ends when the archiver goes on, or within a minute after he has gone'
  return pending ? { where: 'a segment that is being written', place, ends } : undefined
}

/** True where somebody is writing one. */
async function eraseSegmentsOf(erasure: Erasure, closed: ClosedStreams, archive: ErasingArchive): Promise<boolean> {
  const { erasing, step, kept } = erasure
  const { type } = closed
  const known = () => erasure.known.segments[type] ?? noSegments
  const save = (progress: SegmentProgress) =>
    keep(erasure, { segments: { ...erasure.known.segments, [type]: progress } })
  const run = () => forgetInSegments({ ...erasing, ...archive, kept }, closed, { progress: known(), save })
  let { progress, pending } = await run()
  if (pending && (await archive.clearLeft(type, { signal: step.signal, ms: step.patienceMs }))) {
    ;({ progress, pending } = await run())
  }
  if (progress !== known()) await save(progress)
  return pending
}

async function eraseBackup(
  erasure: Erasure,
  closed: readonly ClosedStreams[],
  place: string,
): Promise<Remnant | undefined> {
  const { erasing, step, kept } = erasure
  const objects = erasing.backups.find(({ name }) => name === place)
  if (objects === undefined) return { where: 'backups', place, ends: 'open the store with this place in `backups`' }
  const save = (progress: BackupProgress) => keep(erasure, { backups: { ...erasure.known.backups, [place]: progress } })
  const progress = erasure.known.backups[place] ?? noBackups
  const streams = new Set(closed.flatMap((some) => [...some.streams]))
  const range = across(closed.map((some) => some.range))
  const masked = new Set(step.masked)
  await save(await forgetInBackups({ ...erasing, kept }, { streams, range, masked, objects }, { progress, save }))
  if ('tombstone' in step.trail) return undefined
  const held = await forgetKey(erasing.storage, objects, step.trail.subject)
  if (held !== undefined) await kept.note(objects, held)
  return undefined
}

/** Nothing where no place outside the log was touched: the tombstones say the rest. */
async function recordTrail({ erasing, step, known }: Erasure): Promise<void> {
  const { segments, backups } = copiesErased(known)
  if (segments + backups === 0) return
  const names = [
    ...Object.entries(known.segments).flatMap(([type, { names }]) => names.map((id) => `segments/${type}/${id}`)),
    ...Object.values(known.backups).flatMap(({ names }) => names),
  ]
  await recordErasure(erasing, { ...step.trail, segments, backups, names: names.slice(0, limits.trailNames) })
}

/** Segments and objects of backups that were written anew. */
export function copiesErased({ segments, backups }: CopiesProgress) {
  const sum = (all: Readonly<Record<string, { readonly rewritten: number }>>) =>
    Object.values(all).reduce((sum, { rewritten }) => sum + rewritten, 0)
  return { segments: sum(segments), backups: sum(backups) }
}

function remnantsOf(
  { storage, clock }: Erasing,
  scrubbed: boolean,
  more: readonly EngineRemnant[],
): readonly Remnant[] {
  const engine = [...storage.abilities.remnants, ...more].map(({ goneAfterMs, ...remnant }): Remnant => {
    return { ...remnant, ...(goneAfterMs !== undefined && { until: formatInstant(clock() + goneAfterMs) }) }
  })
  const ends = 'a long read of another holds it up; it is tried again within a minute'
  return scrubbed ? engine : [{ where: 'bytes of the storage that are not overwritten yet', ends }, ...engine]
}

export function withKinds(kinds: Readonly<Record<string, number>>, collections: readonly string[]) {
  const counted = { ...kinds }
  for (const collection of collections) {
    const kind = kindOf(collection)
    counted[kind] = (counted[kind] ?? 0) + 1
  }
  return counted
}

/** What its documents are to those who use the store. */
function kindOf(collection: string): string {
  if (collection === jobs.collection) return 'jobs'
  if (collection === snapshots.collection) return 'snapshots'
  if (collection === parkedItems.collection || collection.endsWith('~parked')) return 'parked'
  if (collection.endsWith('~links')) return 'links'
  if (collection.includes('\u0001')) return 'unique values'
  return collection.includes('@') ? 'views' : collection
}
