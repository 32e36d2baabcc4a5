/**
 * Erasing what a closed stream has left: views and other documents, its events, archive segments, backups; then the trail, and
 * the bytes. Every step is bounded, and can be repeated. What cannot be reached from here is told.
 */
import type { Making } from './append.ts'
import type { CommitQueue } from './commit-queue.ts'
import { type BackupProgress, forgetInBackups, noBackups } from './forget-backups.ts'
import { forgetInSegments, noSegments, type SegmentProgress, segmentsAbout } from './forget-segments.ts'
import { derivedId } from './id.ts'
import { jobs } from './job.ts'
import { streamTypeOf } from './name.ts'
import type { ObjectStore } from './object-store.ts'
import { parkedItems } from './parked.ts'
import { type EngineRemnant, type Kept, keepingRemnants, type Remnant } from './remnant.ts'
import { snapshots } from './snapshot.ts'
import type { DocumentWrite, Storage } from './storage.ts'
import { type Clock, formatInstant } from './time.ts'
import { recordErasure } from './trail.ts'

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

/** How far it is: kept with the job. */
export interface ErasureProgress {
  /** Revision from which events are still to be emptied. */
  readonly from: number
  readonly documents: number
  /** The same, by what they were. */
  readonly kinds: Readonly<Record<string, number>>
  readonly segments: SegmentProgress
  /** By place. */
  readonly backups: Readonly<Record<string, BackupProgress>>
  /** What places keep of objects that were deleted there. */
  readonly kept: readonly Remnant[]
}

export const nothingErased: ErasureProgress = {
  ...{ from: 1, documents: 0, kinds: {}, segments: noSegments, backups: {}, kept: [] },
}

export interface Erased {
  readonly progress: ErasureProgress
  readonly scrubbed: boolean
  /** What is still somewhere. */
  readonly remains: readonly Remnant[]
  /** Something of it goes once another is at it, or with another try. */
  readonly pending: boolean
  /** What went wrong with segments or backups; all the rest was done. */
  readonly failure?: unknown
}

export interface ErasureStep {
  readonly progress: ErasureProgress
  /** Names of the places that it must reach. */
  readonly places: readonly string[]
  readonly save: (progress: ErasureProgress) => Promise<void>
  readonly signal?: AbortSignal
  /** How long an archiver is waited for that may have gone. */
  readonly patienceMs: number
}

export async function erase(erasing: Erasing, stream: string, step: ErasureStep): Promise<Erased> {
  const { storage } = erasing
  let known = step.progress
  const kept = keepingRemnants(known.kept)
  const keep = async (next: Partial<ErasureProgress>) => {
    step.signal?.throwIfAborted()
    known = { ...known, ...next, kept: kept.remnants }
    await step.save(known)
  }
  // First what is read by many: from the tombstone on the events themselves are hidden.
  await erasing.forgetInViews(stream)
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
  await attempt(() => eraseSegments(erasing, stream, { step, kept, known: () => known, keep }))
  for (const place of new Set([...step.places, ...erasing.backups.map(({ name }) => name)])) {
    await attempt(() => eraseBackup(erasing, stream, { place, kept, known: () => known, keep }))
  }
  const pending = remains.length > 0 || failures.length > 0
  if (!pending) await recordTrail(erasing, stream, known)
  const { done: scrubbed, remnants = [] } = await storage.erase({ erase: 'scrub' })
  return {
    ...{ progress: { ...known, kept: kept.remnants }, scrubbed, pending },
    remains: [...remains, ...kept.remnants, ...remnantsOf(erasing, scrubbed, remnants)],
    ...(failures.length > 0 && { failure: failures[0] }),
  }
}

interface Erasure {
  readonly kept: Kept
  readonly known: () => ErasureProgress
  readonly keep: (next: Partial<ErasureProgress>) => Promise<void>
}

async function eraseSegments(
  erasing: Erasing,
  stream: string,
  { step, kept, known, keep }: Erasure & { readonly step: ErasureStep },
): Promise<Remnant | undefined> {
  const { archive } = erasing
  if (archive === undefined) {
    let objects = 0
    for await (const _ of segmentsAbout(erasing.storage, stream)) objects++
    if (objects === 0) return undefined
    return { where: 'archive segments', objects, ends: 'open the store with its archive' }
  }
  const save = (segments: SegmentProgress) => keep({ segments })
  const run = () => forgetInSegments({ ...erasing, ...archive, kept }, stream, { progress: known().segments, save })
  let { progress, pending } = await run()
  if (pending && (await archive.clearLeft(streamTypeOf(stream), { signal: step.signal, ms: step.patienceMs }))) {
    ;({ progress, pending } = await run())
  }
  if (progress !== known().segments) await save(progress)
  const place = archive.objects.name
  const ends = 'it ends when the archiver goes on, or within a minute after he has gone'
  return pending ? { where: 'a segment that is being written', place, ends } : undefined
}

async function eraseBackup(
  erasing: Erasing,
  stream: string,
  { place, kept, known, keep }: Erasure & { readonly place: string },
): Promise<Remnant | undefined> {
  const objects = erasing.backups.find(({ name }) => name === place)
  if (objects === undefined) return { where: 'backups', place, ends: 'open the store with this place in `backups`' }
  const save = (progress: BackupProgress) => keep({ backups: { ...known().backups, [place]: progress } })
  const progress = known().backups[place] ?? noBackups
  const done = await forgetInBackups({ ...erasing, kept }, { stream, objects }, { progress, save })
  await save(done)
  return undefined
}

/** Nothing where no place outside the log was touched: the tombstone says the rest. */
async function recordTrail(erasing: Erasing, stream: string, { segments, backups }: ErasureProgress): Promise<void> {
  const objects = backupObjects(backups)
  if (segments.rewritten + objects === 0) return
  const names = [
    ...segments.names.map((id) => `segments/${streamTypeOf(stream)}/${id}`),
    ...Object.values(backups).flatMap(({ names }) => names),
  ]
  const tombstone = derivedId(['tombstone', stream])
  await recordErasure(erasing, { tombstone, segments: segments.rewritten, backups: objects, names })
}

export function backupObjects(backups: ErasureProgress['backups']): number {
  return Object.values(backups).reduce((sum, { rewritten }) => sum + rewritten, 0)
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
