/**
 * Forgetting. One commit appends the tombstone, which closes the stream for good and hides its content at once, together
 * with a job; the job then erases every copy of its content that can be reached (`erasure.ts`). Every step is bounded and can
 * be repeated, so a crash anywhere loses nothing: the next opening for writing goes on.
 */

import { errorOf, makeEvent } from './append.ts'
import { checkObject } from './argument.ts'
import { checkBackups } from './backup.ts'
import { commitDocuments } from './commit-documents.ts'
import { allIndexed } from './document.ts'
import {
  type CopiesProgress,
  copiesErased,
  type Erased,
  type Erasing,
  eraseCopies,
  eraseStream,
  noCopies,
  nothingErased,
  type StreamProgress,
  withKinds,
} from './erasure.ts'
import { isStoreError, StreamNotFound } from './errors.ts'
import { failureOf } from './failure.ts'
import { derivedId } from './id.ts'
import { forgetKind, heldJob, type JobBody, jobBodyOf, jobId, jobKey, jobs, putJob } from './job.ts'
import { limits } from './limits.ts'
import { checkEventType, checkName, checkStream, refuseTrail, streamTypeOf } from './name.ts'
import type { Remnant } from './remnant.ts'
import type { CommitOutcome, DocumentWrite, Storage } from './storage.ts'
import { formatInstant } from './time.ts'
import type { JobHandler } from './worker.ts'

export interface ForgetOptions {
  /** Why, as a code that holds no personal data; it stays readable in the tombstone's `meta.reasonCode`. */
  readonly reasonCode: string
  /** Who asks, by a name that may stay readable, in the tombstone's `meta.principal`. */
  readonly principal?: string
  /** The one event that remains; by default of type `$forgotten`, with data null. */
  readonly tombstone?: { readonly type: string; readonly data?: unknown }
  /** Aborted before the tombstone is written, nothing is forgotten; afterwards all of it will be. */
  readonly signal?: AbortSignal
}

export interface ForgetReport {
  readonly stream: string
  /** Of the tombstone. */
  readonly revision: number
  readonly position?: number
  readonly time: string
  /** Events whose content is gone. */
  readonly events: number
  /** Documents that were deleted because they held their content. */
  readonly documents: number
  /** The same, by what they were: `views`, `snapshots`, `parked`, `jobs`, `links`. */
  readonly kinds: Readonly<Record<string, number>>
  /** Archive segments that held their content, and were written anew without it. */
  readonly segments: number
  /** Objects of backups likewise. */
  readonly backups: number
  /** `'pending'`: a long read keeps the engine from overwriting the last copies; it is tried again. */
  readonly scrub: 'done' | 'pending'
  /** Where content may still be, and until when. */
  readonly remains: readonly Remnant[]
}

/** What the job leaves when it is done, or put off. */
interface Result extends Pick<ForgetReport, 'documents' | 'kinds' | 'segments' | 'backups' | 'remains'> {
  /** Of backups, by name. */
  readonly places: readonly string[]
}

/**
 * Throws what is wrong with a backup within reach before anything is written; and what is wrong with a segment, or comes to
 * be wrong with a backup, after all the rest was erased: the job stays, and is tried again.
 */
export async function forget(forgetting: Erasing, stream: string, options: ForgetOptions): Promise<ForgetReport> {
  checkStream(stream)
  refuseTrail(streamTypeOf(stream), 'stream')
  checkForget(options)
  await checkPlaces(forgetting)
  options.signal?.throwIfAborted()
  const { with: added, outcome } = await closeStream(forgetting, stream, options, (deleted) => {
    const body = newForgetJob(forgetting, stream, deleted)
    return { body, documents: putJob(body, { is: 'anything' }) }
  })
  if (outcome.outcome === 'conflict') throw new StreamNotFound(stream)
  if (outcome.outcome !== 'committed') throw errorOf(outcome)
  const known = outcome.repeated ? ((await findJob(forgetting.storage, stream)) ?? added.body) : added.body
  const { report, failure } = await runNow(forgetting, known)
  if (failure !== undefined) throw failure
  return report
}

/** Throws `InvalidArgument`. */
export function checkForget(options: ForgetOptions): void {
  checkObject(options, 'options')
  const { reasonCode, principal, tombstone } = options
  checkName(reasonCode, 'reasonCode', 'reason code', limits.reasonCodeCharacters)
  if (principal !== undefined) checkName(principal, 'principal', 'principal', limits.reasonCodeCharacters)
  if (tombstone === undefined) return
  checkObject(tombstone, 'tombstone')
  checkEventType(tombstone.type, 'tombstone.type')
}

/** What is wrong with a backup within reach is thrown before anything is written. */
export async function checkPlaces({ storage, backups }: Erasing): Promise<void> {
  for (const objects of backups) {
    await checkBackups(storage, objects).catch((error) => {
      // A place that does not answer holds nothing up: it is tried again.
      if (!isStoreError(error, 'storage-failed')) throw error
    })
  }
}

/**
 * Writes the tombstone, and what goes with it; with them go the views that hold nothing else, unless others write them all the
 * time. `withThem` is told of which collections those are.
 */
export async function closeStream<With extends { readonly documents: readonly DocumentWrite[] }>(
  { queue, making, deletesOfViews }: Erasing,
  stream: string,
  { reasonCode, principal, tombstone }: ForgetOptions,
  withThem: (deleted: readonly string[]) => With,
): Promise<{ readonly with: With; readonly outcome: CommitOutcome }> {
  const { type, data = null } = tombstone ?? { type: '$forgotten' }
  const meta = { reasonCode, ...(principal !== undefined && { principal }) }
  // The same id whenever it is asked, so that asking again is a retry, and finishes what a crash left.
  const event = makeEvent(making, { type, data, meta, id: tombstoneId(stream) }, 'tombstone')
  let alone = false
  for (let tries = 1; ; tries++) {
    const deletes = alone ? [] : await deletesOfViews(stream)
    const added = withThem(deletes.map(({ key }) => key.collection))
    const outcome = await queue.add({
      id: making.newId(),
      appends: [{ stream, expected: 'exists', events: [event], tombstone: true }],
      documents: [...added.documents, ...deletes],
    })
    const crowded = outcome.outcome === 'limit' || outcome.outcome === 'document-conflict'
    if (!crowded || deletes.length === 0) return { with: added, outcome }
    alone = outcome.outcome === 'limit' || tries >= limits.foldTries
  }
}

export function tombstoneId(stream: string): string {
  return derivedId(['tombstone', stream])
}

/** What an earlier process left undone. What fails with an archive or a backup stays with the job, and holds nobody up. */
export async function resumeForgetting(forgetting: Erasing): Promise<void> {
  const { storage } = forgetting
  for (const state of ['running', 'waiting']) {
    for await (const document of allIndexed(storage, jobs, { index: 'kind', equals: [forgetKind, state] })) {
      await runNow(forgetting, jobBodyOf(document)).catch((error) => {
        // Somebody else knows the views that the stream is in, or has the archive that they are made of.
        if (!isStoreError(error) || !['projection-missing', 'event-archived'].includes(error.code)) throw error
      })
    }
  }
}

type Progress = StreamProgress & CopiesProgress

interface Erasure {
  readonly progress: Progress
  readonly places: readonly string[]
  readonly save: (progress: Progress) => Promise<unknown>
  readonly patienceMs: number
  readonly signal?: AbortSignal
}

/** What the stream was, and all its copies. */
async function erase(
  forgetting: Erasing,
  stream: string,
  { progress, save, ...step }: Erasure,
): Promise<Erased & { readonly progress: Progress }> {
  const { segments, backups, kept, ...before } = progress
  const copies: CopiesProgress = { segments, backups, kept }
  const there = await eraseStream(forgetting, stream, {
    ...{ progress: before, signal: step.signal },
    save: (known) => save({ ...copies, ...known }),
  })
  const erased = await eraseCopies(forgetting, [stream], {
    ...{ ...step, progress: copies, trail: { tombstone: tombstoneId(stream) } },
    save: (known) => save({ ...there, ...known }),
  })
  return { ...erased, progress: { ...there, ...erased.progress } }
}

/** For workers: takes over what the process that began it has left, and tries again what was put off. */
export function forgetHandler(forgetting: Erasing): JobHandler {
  return async ({ job, signal, heartbeat }) => {
    const step = { progress: progressOf(job), places: placesOf(job), save: heartbeat, signal }
    // Twice the term after which who has gone is known to have.
    const erased = await erase(forgetting, job.key, { ...step, patienceMs: 2 * limits.leaseMs })
    if (erased.failure !== undefined) throw erased.failure
    const result = resultOf(erased)
    return isDone(erased) ? { result } : { result, againInMs: limits.scrubAgainMs }
  }
}

/**
 * At once, and without a lease: each step can be repeated, also by two at the same time. A worker that is at it as well
 * finds that it has lost its lease.
 */
async function runNow(
  forgetting: Erasing,
  job: JobBody,
): Promise<{ readonly report: ForgetReport; readonly failure?: unknown }> {
  const { storage } = forgetting
  const before = { ...emptyResult, ...(job.result as Partial<Result> | undefined) }
  const reached = forgetting.backups.every(({ name }) => before.places.includes(name))
  if (job.state === 'done' && reached)
    return { report: await reportOf(storage, job.key, { result: before, scrubbed: true }) }
  const save = (progress: Progress) => saveJob(forgetting, job, progress)
  const step = { progress: progressOf(job), places: placesOf(job), save, patienceMs: 0 }
  const erased = await erase(forgetting, job.key, step)
  const { scrubbed, failure } = erased
  const result = resultOf(erased)
  await endJob(forgetting, job, { ...erased, result })
  const report = await reportOf(storage, job.key, { result, scrubbed })
  return { report, ...(failure !== undefined && { failure }) }
}

/** How far a job is that is run at once. */
export function saveJob(forgetting: Erasing, job: JobBody, progress: unknown): Promise<void> {
  return putAnyway(forgetting, { ...job, state: 'running', at: forgetting.clock(), progress })
}

/** Done; or put off, with what went wrong. */
export function endJob(
  forgetting: Erasing,
  job: JobBody,
  { progress, result, failure, ...erased }: Omit<Erased, 'progress'> & Pick<JobBody, 'progress' | 'result'>,
): Promise<void> {
  const now = forgetting.clock()
  const error = failure === undefined ? undefined : failureOf(failure, now)
  const ended = { ...job, held: undefined, error, result, progress }
  if (isDone(erased)) return putAnyway(forgetting, { ...ended, state: 'done', at: undefined })
  return putAnyway(forgetting, { ...ended, state: 'waiting', at: now + limits.scrubAgainMs, tries: 0 })
}

function putAnyway(forgetting: Erasing, body: JobBody): Promise<void> {
  return commitDocuments(forgetting, putJob(body, { is: 'anything' }))
}

export function isDone({ scrubbed, pending }: Pick<Erased, 'scrubbed' | 'pending'>): boolean {
  return scrubbed && !pending
}

async function reportOf(
  storage: Storage,
  stream: string,
  { result, scrubbed }: { readonly result: Result; readonly scrubbed: boolean },
): Promise<ForgetReport> {
  const { head } = await storage.readStream(stream, { after: 0, direction: 'backwards', limit: 1 })
  if (head === undefined) throw new StreamNotFound(stream)
  const { revision, position, time } = head
  const { places: _, remains, ...erased } = result
  return {
    stream,
    revision,
    ...(position !== undefined && { position }),
    time: formatInstant(time),
    events: revision - 1,
    ...erased,
    scrub: scrubbed ? 'done' : 'pending',
    remains,
  }
}

const emptyResult: Result = { documents: 0, kinds: {}, segments: 0, backups: 0, remains: [], places: [] }

function resultOf({ progress, remains }: Erased & { readonly progress: Progress }): Result {
  const { documents, kinds, backups } = progress
  return { documents, kinds, ...copiesErased(progress), remains, places: Object.keys(backups) }
}

function progressOf({ progress }: Pick<JobBody, 'progress'>): Progress {
  return { ...nothingErased, ...noCopies, ...(progress as Partial<Progress> | undefined) }
}

/** Of backups that were within reach when it was asked for. */
export function placesOf({ input }: Pick<JobBody, 'input'>): readonly string[] {
  return (input as { readonly backups?: readonly string[] } | null)?.backups ?? []
}

function newForgetJob({ making, clock, backups }: Erasing, stream: string, deleted: readonly string[]): JobBody {
  const documents = deleted.length
  const progress: Progress = { ...nothingErased, ...noCopies, documents, kinds: withKinds({}, deleted) }
  const input = backups.length === 0 ? null : { backups: backups.map(({ name }) => name) }
  return { ...heldJob({ kind: forgetKind, key: stream, input }, { newId: making.newId, now: clock() }), progress }
}

async function findJob(storage: Storage, stream: string): Promise<JobBody | undefined> {
  const [document] = await storage.getDocuments([jobKey(jobId({ kind: forgetKind, key: stream }))])
  return document && jobBodyOf(document)
}
