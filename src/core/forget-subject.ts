/**
 * Forgetting a subject. One commit destroys its key and leaves a job: from then on nothing that concerns it is recorded, and
 * what other streams hold of it reads as its mask. The job does the rest (`subject-erasure.ts`); the next opening goes on with it.
 */
import { errorOf } from './append.ts'
import { checkObject } from './argument.ts'
import { allIndexed, guardOf } from './document.ts'
import { SubjectExposed } from './encryption-errors.ts'
import { copiesErased, noCopies } from './erasure.ts'
import { isStoreError, StoreBusy, StoreReadOnly, StreamNotFound } from './errors.ts'
import {
  checkForget,
  checkPlaces,
  endJob,
  type ForgetOptions,
  type ForgetReport,
  forget,
  isDone,
  placesOf,
  saveJob,
} from './forget.ts'
import { forgetSubjectKind, heldJob, type JobBody, jobBodyOf, jobId, jobKey, jobs, putJob } from './job.ts'
import { limits } from './limits.ts'
import { checkStream, refuseTrail, streamTypeOf } from './name.ts'
import type { Remnant } from './remnant.ts'
import type { DocumentKey } from './storage.ts'
import {
  type ErasedSubject,
  eraseSubject,
  exposedStreams,
  hasWork,
  type SubjectErasing,
  type SubjectStep,
} from './subject-erasure.ts'
import {
  putForgottenMark,
  putSubject,
  type SubjectBody,
  type SubjectKeys,
  subjectBodyOf,
  subjectId,
  subjectKey,
} from './subject-keys.ts'
import { formatInstant } from './time.ts'
import { subjectForgotten } from './trail.ts'
import { backoffMs, sleep } from './turn.ts'
import type { JobHandler } from './worker.ts'

export interface ForgetSubject extends ForgetOptions {
  /** Its name, as the declaration of subjects gives it: `customer/42`. */
  readonly subject: string
}

export interface SubjectReport {
  readonly subject: string
  readonly time: string
  /** What became of its key: nothing was ever encrypted for it where it had none. */
  readonly key: 'destroyed' | 'none'
  /** Of its own that were forgotten, and what of them was erased. */
  readonly streams: number
  readonly events: number
  /** Documents that were deleted, also by what they were; archive segments and objects of backups that were written anew. */
  readonly documents: number
  readonly kinds: ForgetReport['kinds']
  readonly segments: number
  readonly backups: number
  /** Other streams in which it reads as its mask by now. */
  readonly masked: number
  /**
   * Versions of projections, `name@version`, that are to be rebuilt: their handlers fail at the mask, and what they made is empty;
   * or they are not defined here and hold what they made, until a process that defines them is opened or works, and goes on.
   */
  readonly rebuild: readonly string[]
  /** `'pending'`: a long read keeps the engine from overwriting the last copies; the next opening tries again. */
  readonly scrub: 'done' | 'pending'
  /** Where content may still be, and until when; what was encrypted cannot be read there any more. */
  readonly remains: ForgetReport['remains']
}

export interface Forget {
  /** Closes the stream with a tombstone and erases its content; resolves when that is done. Safe to repeat. */
  (stream: string, options: ForgetOptions): Promise<ForgetReport>
  /**
   * Forgets a subject: all streams that are its own, and its key, so that what other streams hold of it is never read again.
   * Safe to repeat. Throws `SubjectExposed` where other streams hold it as plain text; nothing is forgotten then.
   */
  (subject: ForgetSubject): Promise<SubjectReport>
}

export interface ForgettingSubjects extends SubjectErasing {
  readonly keys: Pick<SubjectKeys, 'expire'>
}

export function createForget(of: ForgettingSubjects, { readOnly }: { readonly readOnly: boolean }): Forget {
  async function either(stream: string, options: ForgetOptions): Promise<ForgetReport>
  async function either(subject: ForgetSubject): Promise<SubjectReport>
  async function either(what: string | ForgetSubject, options?: ForgetOptions): Promise<ForgetReport | SubjectReport> {
    if (readOnly) throw new StoreReadOnly()
    return typeof what === 'object' ? forgetSubject(of, what) : forget(of.forgetting, what, options as ForgetOptions)
  }
  return either
}

interface Input extends Pick<ForgetOptions, 'reasonCode' | 'principal' | 'tombstone'> {
  readonly had: SubjectReport['key']
  /** Names of backups that were within reach when it was asked for. */
  readonly backups?: readonly string[]
}

/** What the job leaves when it is done, or put off. */
interface Result extends Omit<SubjectReport, 'subject' | 'time' | 'scrub'> {
  /** Of backups that it has reached, by name. */
  readonly places: readonly string[]
  /** Whether what was recorded before subjects were declared had been looked through. */
  readonly searched: boolean
  /** Nothing was left but what others define. */
  readonly whole: boolean
}

async function forgetSubject(of: ForgettingSubjects, options: ForgetSubject): Promise<SubjectReport> {
  const { forgetting } = of
  checkObject(options, 'options')
  const { subject, signal } = options
  checkStream(subject, 'subject')
  refuseTrail(streamTypeOf(subject), 'subject')
  checkForget(options)
  await checkPlaces(forgetting)
  signal?.throwIfAborted()
  const { report, failure } = await finish(of, await begin(of, options))
  if (failure !== undefined) throw failure
  return report
}

/** The commit that destroys the key; what was begun before is gone on with. */
async function begin(of: ForgettingSubjects, options: ForgetSubject): Promise<JobBody> {
  const { storage, queue, making, clock, backups } = of.forgetting
  const { subject, reasonCode, principal, tombstone } = options
  const id = subjectId(subject)
  const at = formatInstant(clock())
  for (let tries = 1; tries <= limits.executeTries; tries++) {
    const [document, job] = await storage.getDocuments([subjectKey(id), jobKeyOf(subject)])
    const body = document && subjectBodyOf(document)
    if (body?.forgotten && job) return jobBodyOf(job)
    if (body === undefined && !(await isKnown(of, subject))) throw new StreamNotFound(subject)
    const exposed = body?.forgotten ? [] : await exposedStreams(of.forgetting, subject)
    if (exposed.length > 0) throw new SubjectExposed(subject, exposed)
    const had = body?.key === undefined ? 'none' : 'destroyed'
    const asked = { reasonCode, ...(principal !== undefined && { principal }) }
    const places = backups.length > 0 && { backups: backups.map(({ name }) => name) }
    const input: Input = { ...asked, ...(tombstone && { tombstone }), had, ...places }
    const added = heldJob({ kind: forgetSubjectKind, key: subject, input }, { newId: making.newId, now: clock() })
    const forgotten: SubjectBody = { subject, master: '', forgotten: body?.forgotten ?? { reasonCode, at } }
    const documents = [
      ...putSubject(forgotten, guardOf(document)),
      ...putJob(added, guardOf(job)),
      putForgottenMark(id),
    ]
    const appends = body?.forgotten ? [] : [subjectForgotten(making, { subject: id, ...asked, key: had })]
    const outcome = await queue.add({ id: making.newId(), appends, documents })
    if (outcome.outcome === 'committed') {
      of.keys.expire(id)
      return added
    }
    if (outcome.outcome !== 'document-conflict') throw errorOf(outcome)
    await sleep(backoffMs(tries, 5, 200))
  }
  throw new StoreBusy(`Others change what is known of subject "${subject}" all the time`, 1_000)
}

/** What an earlier process left undone. What fails with an archive or a backup stays with the job, and holds nobody up. */
export async function resumeForgettingSubjects(of: ForgettingSubjects): Promise<void> {
  for (const state of ['running', 'waiting']) {
    const query = { index: 'kind', equals: [forgetSubjectKind, state] }
    for await (const document of allIndexed(of.forgetting.storage, jobs, query)) {
      await finish(of, jobBodyOf(document)).catch((error) => {
        // Who can go on is somebody else, or has to do something first.
        if (!isStoreError(error) || !left.has(error.code)) throw error
      })
    }
  }
}

const left: ReadonlySet<string> = new Set(['projection-missing', 'event-archived', 'master-key-missing'])

/** For workers. */
export function forgetSubjectHandler(of: ForgettingSubjects): JobHandler {
  return async ({ job, signal, heartbeat }) => {
    // Twice the term after which who has gone is known to have.
    const step = { ...stepOf(job), save: heartbeat, signal, patienceMs: 2 * limits.leaseMs }
    const before = await resultThatHolds(of, job)
    if (before) return { result: before, againInMs: limits.scrubAgainMs }
    const erased = await eraseSubject(of, job.key, step)
    if (erased.failure !== undefined) throw erased.failure
    const result = resultOf(job, erased, await of.isSearched())
    return isDone(erased) ? { result } : { result, againInMs: limits.scrubAgainMs }
  }
}

/** At once, and without a lease, as forgetting a stream is. */
async function finish(
  of: ForgettingSubjects,
  job: JobBody,
): Promise<{ readonly report: SubjectReport; readonly failure?: unknown }> {
  const { storage } = of.forgetting
  const reportOf = async ({ places: _, searched: __, whole: ___, ...done }: Result, scrub: SubjectReport['scrub']) => {
    const [document] = await storage.getDocuments([subjectKey(subjectId(job.key))])
    const time = (document && subjectBodyOf(document).forgotten?.at) ?? formatInstant(job.addedAt)
    return { subject: job.key, time, ...done, scrub }
  }
  const before = await resultThatHolds(of, job)
  if (before) return { report: await reportOf(before, 'done') }
  const save = (progress: unknown) => saveJob(of.forgetting, job, progress)
  const erased = await eraseSubject(of, job.key, { ...stepOf(job), save, patienceMs: 0 })
  const { scrubbed, failure } = erased
  const result = resultOf(job, erased, await of.isSearched())
  await endJob(of.forgetting, job, { ...erased, result })
  const report = await reportOf(result, scrubbed ? 'done' : 'pending')
  return { report, ...(failure !== undefined && { failure }) }
}

/** Undefined where there is something to be done here: what others have to do is not begun again and again. */
async function resultThatHolds(
  of: ForgettingSubjects,
  job: Pick<JobBody, 'key' | 'result'>,
): Promise<Result | undefined> {
  const before = job.result as Result | undefined
  if (!before?.whole || of.forgetting.backups.some(({ name }) => !before.places.includes(name))) return undefined
  if (await hasWork(of, job.key)) return undefined
  return before.searched || !(await of.isSearched()) ? before : undefined
}

function stepOf(job: Pick<JobBody, 'input' | 'progress'>): Pick<SubjectStep, 'options' | 'progress' | 'places'> {
  const progress = { ...noCopies, ...(job.progress as Partial<SubjectStep['progress']> | undefined) }
  return { options: job.input as Input, progress, places: placesOf(job) }
}

function resultOf({ input }: Pick<JobBody, 'input'>, erased: ErasedSubject, searched: boolean): Result {
  const { progress } = erased
  const { tables, ...tally } = erased.tally
  const ends = 'its rows are yours: write those anew that were made of streams in which the subject is masked'
  const remains = [
    ...erased.remains,
    ...tables.map((name) => ({ where: `rows of "${name}"`, ends })),
    ...(searched ? [] : [unsearched]),
  ]
  const places = Object.keys(progress.backups)
  return {
    key: (input as Input).had,
    ...tally,
    ...copiesErased(progress),
    remains,
    places,
    searched,
    whole: erased.whole,
  }
}

const unsearched: Remnant = {
  where: 'events that were recorded before it was declared whom they concern',
  ends: 'look through them (`store.encryption.findSubjects`, `daybook encryption find-subjects`), then forget again',
}

/** Or may be, by what nobody has looked through. */
async function isKnown({ forgetting, isSearched }: ForgettingSubjects, subject: string): Promise<boolean> {
  const { head } = await forgetting.storage.readStream(subject, { after: 0, direction: 'backwards', limit: 1 })
  return head !== undefined || !(await isSearched())
}

function jobKeyOf(subject: string): DocumentKey {
  return jobKey(jobId({ kind: forgetSubjectKind, key: subject }))
}
