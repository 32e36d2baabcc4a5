/**
 * Forgetting. One commit appends the tombstone, which closes the stream for good and hides its content at once, together
 * with a job; the job then erases every copy of its content that can be reached (`erasure.ts`). Every step is bounded and can
 * be repeated, so a crash anywhere loses nothing: the next opening for writing goes on.
 */

import { errorOf, makeEvent } from './append.ts'
import { checkObject } from './argument.ts'
import { checkBackups } from './backup.ts'
import { allIndexed } from './document.ts'
import {
  backupObjects,
  type Erased,
  type Erasing,
  type ErasureProgress,
  erase,
  nothingErased,
  withKinds,
} from './erasure.ts'
import { isStoreError, StreamNotFound } from './errors.ts'
import { failureOf } from './failure.ts'
import { derivedId } from './id.ts'
import { forgetKind, heldJob, type JobBody, jobBodyOf, jobId, jobKey, jobs, putJob } from './job.ts'
import { limits } from './limits.ts'
import { checkEventType, checkName, checkStream, refuseTrail, streamTypeOf } from './name.ts'
import type { Remnant } from './remnant.ts'
import type { PreparedEvent, Storage } from './storage.ts'
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
  checkObject(options, 'options')
  const { reasonCode, principal, tombstone = { type: '$forgotten' } } = options
  checkName(reasonCode, 'reasonCode', 'reason code', limits.reasonCodeCharacters)
  if (principal !== undefined) checkName(principal, 'principal', 'principal', limits.reasonCodeCharacters)
  checkObject(tombstone, 'tombstone')
  if (options.tombstone !== undefined) checkEventType(tombstone.type, 'tombstone.type')
  for (const objects of forgetting.backups) {
    await checkBackups(forgetting.storage, objects).catch((error) => {
      // A place that does not answer holds nothing up: it is tried again.
      if (!isStoreError(error, 'storage-failed')) throw error
    })
  }
  options.signal?.throwIfAborted()
  // The same id whenever it is asked, so that asking again is a retry, and finishes what a crash left.
  const id = derivedId(['tombstone', stream])
  const { type, data = null } = tombstone
  const meta = { reasonCode, ...(principal !== undefined && { principal }) }
  const event = makeEvent(forgetting.making, { type, data, meta, id }, 'tombstone')
  const { job, outcome } = await close(forgetting, stream, event)
  if (outcome.outcome === 'conflict') throw new StreamNotFound(stream)
  if (outcome.outcome !== 'committed') throw errorOf(outcome)
  const known = outcome.repeated ? ((await findJob(forgetting.storage, stream)) ?? job) : job
  const { report, failure } = await runNow(forgetting, known)
  if (failure !== undefined) throw failure
  return report
}

/** Writes the tombstone and the job; with them go the views that hold nothing else, unless others write them all the time. */
async function close(forgetting: Erasing, stream: string, event: PreparedEvent) {
  const { queue, making } = forgetting
  let alone = false
  for (let tries = 1; ; tries++) {
    const deletes = alone ? [] : await forgetting.deletesOfViews(stream)
    const collections = deletes.map(({ key }) => key.collection)
    const job = newForgetJob(forgetting, stream, collections)
    const outcome = await queue.add({
      id: making.newId(),
      appends: [{ stream, expected: 'exists', events: [event], tombstone: true }],
      documents: [...putJob(job, { is: 'anything' }), ...deletes],
    })
    const crowded = outcome.outcome === 'limit' || outcome.outcome === 'document-conflict'
    if (!crowded || deletes.length === 0) return { job, outcome }
    alone = outcome.outcome === 'limit' || tries >= limits.foldTries
  }
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
  const { storage, queue, making, clock } = forgetting
  const put = async (body: JobBody) => {
    const outcome = await queue.add({ id: making.newId(), appends: [], documents: putJob(body, { is: 'anything' }) })
    if (outcome.outcome !== 'committed') throw errorOf(outcome)
  }
  const before = { ...emptyResult, ...(job.result as Partial<Result> | undefined) }
  const reached = forgetting.backups.every(({ name }) => before.places.includes(name))
  if (job.state === 'done' && reached)
    return { report: await reportOf(storage, job.key, { result: before, scrubbed: true }) }
  const save = (progress: ErasureProgress) => put({ ...job, state: 'running', at: clock(), progress })
  const step = { progress: progressOf(job), places: placesOf(job), save, patienceMs: 0 }
  const erased = await erase(forgetting, job.key, step)
  const { progress, scrubbed, failure } = erased
  const result = resultOf(erased)
  const error = failure === undefined ? undefined : failureOf(failure, clock())
  const ended = { ...job, held: undefined, error, result, progress }
  if (isDone(erased)) await put({ ...ended, state: 'done', at: undefined })
  else await put({ ...ended, state: 'waiting', at: clock() + limits.scrubAgainMs, tries: 0 })
  const report = await reportOf(storage, job.key, { result, scrubbed })
  return { report, ...(failure !== undefined && { failure }) }
}

function isDone({ scrubbed, pending }: Erased): boolean {
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

function resultOf({ progress, remains }: Erased): Result {
  const { documents, kinds, segments, backups } = progress
  return {
    ...{ documents, kinds, segments: segments.rewritten, backups: backupObjects(backups), remains },
    places: Object.keys(backups),
  }
}

function progressOf({ progress }: Pick<JobBody, 'progress'>): ErasureProgress {
  return { ...nothingErased, ...(progress as Partial<ErasureProgress> | undefined) }
}

/** Of backups that were within reach when it was asked for. */
function placesOf({ input }: Pick<JobBody, 'input'>): readonly string[] {
  return (input as { readonly backups?: readonly string[] } | null)?.backups ?? []
}

function newForgetJob({ making, clock, backups }: Erasing, stream: string, deleted: readonly string[]): JobBody {
  const documents = deleted.length
  const progress: ErasureProgress = { ...nothingErased, documents, kinds: withKinds({}, deleted) }
  const input = backups.length === 0 ? null : { backups: backups.map(({ name }) => name) }
  return { ...heldJob({ kind: forgetKind, key: stream, input }, { newId: making.newId, now: clock() }), progress }
}

async function findJob(storage: Storage, stream: string): Promise<JobBody | undefined> {
  const [document] = await storage.getDocuments([jobKey(jobId({ kind: forgetKind, key: stream }))])
  return document && jobBodyOf(document)
}
