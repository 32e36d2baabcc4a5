/**
 * Forgetting a subject. One commit destroys its key and leaves a job: from then on nothing that concerns it is recorded, and
 * what other streams hold of it reads as its mask. The job then forgets the streams that are its own, folds anew the views of the
 * other ones, and has the engine overwrite what is left of the key. Every step can be repeated; the next opening goes on.
 */
import { errorOf } from './append.ts'
import { checkObject } from './argument.ts'
import { allIndexed, deleteDocument, guardOf } from './document.ts'
import { SubjectExposed } from './encryption-errors.ts'
import type { Erasing } from './erasure.ts'
import { isStoreError, StoreBusy, StoreReadOnly, StreamNotFound } from './errors.ts'
import { type ForgetOptions, type ForgetReport, forget } from './forget.ts'
import { heldJob, type JobBody, jobBodyOf, jobId, jobKey, jobs, putJob } from './job.ts'
import { limits } from './limits.ts'
import { checkName, checkStream } from './name.ts'
import type { DocumentKey } from './storage.ts'
import {
  putForgottenMark,
  putSubject,
  type SubjectBody,
  type SubjectKeys,
  type SubjectStream,
  subjectBodyOf,
  subjectId,
  subjectKey,
  subjectStreamKey,
  subjectStreams,
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
  /** Versions of projections that hold what they made of those, until they are rebuilt. */
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

export const forgetSubjectKind = '$forget-subject'

export interface ForgettingSubjects {
  readonly forgetting: Erasing
  readonly keys: Pick<SubjectKeys, 'expire'>
  /** Makes anew, or drops, what was made of a stream that reads otherwise by now; gives what it cannot reach. */
  readonly renew: (stream: string) => Promise<readonly string[]>
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

type Done = Omit<SubjectReport, 'subject' | 'time' | 'scrub'>

interface Input extends Pick<ForgetOptions, 'reasonCode' | 'principal' | 'tombstone'> {
  readonly had: SubjectReport['key']
}

async function forgetSubject(of: ForgettingSubjects, options: ForgetSubject): Promise<SubjectReport> {
  const { forgetting } = of
  checkObject(options, 'options')
  const { subject, reasonCode, principal, tombstone, signal } = options
  checkStream(subject, 'subject')
  checkName(reasonCode, 'reasonCode', 'reason code', limits.reasonCodeCharacters)
  if (principal !== undefined) checkName(principal, 'principal', 'principal', limits.reasonCodeCharacters)
  signal?.throwIfAborted()
  await refuseExposed(of, subject)
  const at = formatInstant(forgetting.clock())
  for (let tries = 1; tries <= limits.executeTries; tries++) {
    const [document, job] = await forgetting.storage.getDocuments([subjectKey(subjectId(subject)), jobKeyOf(subject)])
    const body = document && subjectBodyOf(document)
    if (body?.forgotten && job) return finish(of, jobBodyOf(job))
    if (body === undefined && !(await isKnown(of, subject))) throw new StreamNotFound(subject)
    const had = body?.key === undefined ? 'none' : 'destroyed'
    const asked = { reasonCode, ...(principal !== undefined && { principal }) }
    const input: Input = { ...asked, ...(tombstone && { tombstone }), had }
    const { making, clock } = forgetting
    const added = heldJob({ kind: forgetSubjectKind, key: subject, input }, { newId: making.newId, now: clock() })
    const forgotten: SubjectBody = {
      subject,
      master: '',
      forgotten: body?.forgotten ?? { reasonCode, at },
    }
    const documents = [
      ...putSubject(forgotten, guardOf(document)),
      ...putJob(added, guardOf(job)),
      putForgottenMark(subjectId(subject)),
    ]
    const trail = subjectForgotten(forgetting.making, { subject: subjectId(subject), ...asked, key: had })
    const appends = body?.forgotten ? [] : [trail]
    const outcome = await forgetting.queue.add({ id: forgetting.making.newId(), appends, documents })
    if (outcome.outcome === 'committed') {
      of.keys.expire(subjectId(subject))
      return finish(of, added)
    }
    if (outcome.outcome !== 'document-conflict') throw errorOf(outcome)
    await sleep(backoffMs(tries, 5, 200))
  }
  throw new StoreBusy(`Others change what is known of subject "${subject}" all the time`, 1_000)
}

/** What an earlier process left undone. */
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

const left: ReadonlySet<string> = new Set([
  'projection-missing',
  'event-archived',
  'subject-exposed',
  'master-key-missing',
])

/** For workers. */
export function forgetSubjectHandler(of: ForgettingSubjects): JobHandler {
  return async ({ job, heartbeat }) => {
    const done = await erase(of, job.key, job.input as Input, job.progress as Done | undefined, heartbeat)
    const { done: scrubbed } = await of.forgetting.storage.erase({ erase: 'scrub' })
    return scrubbed ? { result: done } : { result: done, againInMs: limits.scrubAgainMs }
  }
}

/** At once, and without a lease, as forgetting a stream is. */
async function finish(of: ForgettingSubjects, job: JobBody): Promise<SubjectReport> {
  const { storage, queue, making, clock } = of.forgetting
  const subject = job.key
  const put = async (body: JobBody) => {
    const outcome = await queue.add({ id: making.newId(), appends: [], documents: putJob(body, { is: 'anything' }) })
    if (outcome.outcome !== 'committed') throw errorOf(outcome)
  }
  let scrub: SubjectReport['scrub'] = 'done'
  let done = job.result as Done
  if (job.state !== 'done') {
    const save = (progress: unknown) => put({ ...job, state: 'running', at: clock(), progress })
    done = await erase(of, subject, job.input as Input, job.progress as Done | undefined, save)
    const scrubbed = (await storage.erase({ erase: 'scrub' })).done
    const ended = { ...job, held: undefined, error: undefined, progress: done, result: done }
    if (scrubbed) await put({ ...ended, state: 'done', at: undefined })
    else await put({ ...ended, state: 'waiting', at: clock() + limits.scrubAgainMs, tries: 0 })
    scrub = scrubbed ? 'done' : 'pending'
  }
  const [document] = await storage.getDocuments([subjectKey(subjectId(subject))])
  const time = (document && subjectBodyOf(document).forgotten?.at) ?? formatInstant(job.addedAt)
  return { subject, time, ...done, scrub }
}

/** All its streams, one after the other; what is done with one loses its link, so that the next try begins behind it. */
async function erase(
  of: ForgettingSubjects,
  subject: string,
  { had, ...options }: Input,
  before: Done | undefined,
  save: (progress: unknown) => Promise<unknown>,
): Promise<Done> {
  await refuseExposed(of, subject)
  let done: Done = before ?? { ...nothing, key: had }
  const own = async (stream: string) => {
    const report = await forget(of.forgetting, stream, options).catch((error) => {
      // It has none of its own name, or was forgotten for itself.
      if (isStoreError(error, 'stream-not-found') || isStoreError(error, 'stream-forgotten')) return undefined
      throw error
    })
    if (report === undefined) return
    done = withStream(done, report)
    await save(done)
  }
  if (done.streams === 0) await own(subject)
  for await (const link of linksOf(of, subject, 'own')) {
    await own(link.stream)
    await unlink(of, link)
  }
  for await (const link of linksOf(of, subject, 'encrypted')) {
    const rebuild = await of.renew(link.stream)
    done = { ...done, masked: done.masked + 1, rebuild: [...new Set([...done.rebuild, ...rebuild])].sort() }
    await unlink(of, link)
    await save(done)
  }
  return done
}

const nothing: Omit<Done, 'key'> = {
  ...{ streams: 0, events: 0, documents: 0, kinds: {}, segments: 0, backups: 0 },
  ...{ masked: 0, rebuild: [], remains: [] },
}

function withStream(done: Done, report: ForgetReport): Done {
  const kinds = { ...done.kinds }
  for (const [kind, count] of Object.entries(report.kinds)) kinds[kind] = (kinds[kind] ?? 0) + count
  // The same of each stream is told once.
  const remains = new Map([...done.remains, ...report.remains].map((remnant) => [JSON.stringify(remnant), remnant]))
  return {
    ...{ ...done, kinds, remains: [...remains.values()] },
    streams: done.streams + 1,
    events: done.events + report.events,
    documents: done.documents + report.documents,
    segments: done.segments + report.segments,
    backups: done.backups + report.backups,
  }
}

/** Throws `SubjectExposed` where plain text would be left. */
async function refuseExposed({ forgetting }: ForgettingSubjects, subject: string): Promise<void> {
  const exposed: string[] = []
  for await (const { stream } of linksOf({ forgetting }, subject, 'plain')) {
    const { head } = await forgetting.storage.readStream(stream, { after: 0, direction: 'backwards', limit: 1 })
    if (head && !head.closed) exposed.push(stream)
    if (exposed.length >= limits.exposedStreams) break
  }
  if (exposed.length > 0) throw new SubjectExposed(subject, exposed)
}

async function isKnown(of: ForgettingSubjects, subject: string): Promise<boolean> {
  const { head } = await of.forgetting.storage.readStream(subject, { after: 0, direction: 'backwards', limit: 1 })
  return head !== undefined
}

async function* linksOf(
  { forgetting }: Pick<ForgettingSubjects, 'forgetting'>,
  subject: string,
  holds: SubjectStream['holds'],
): AsyncGenerator<SubjectStream> {
  const query = { index: 'subject', equals: [subject, holds], limit: limits.pageRecords }
  for await (const { body } of allIndexed(forgetting.storage, subjectStreams, query)) {
    yield JSON.parse(body) as SubjectStream
  }
}

async function unlink({ forgetting }: ForgettingSubjects, link: SubjectStream): Promise<void> {
  const documents = deleteDocument(subjectStreams, { key: subjectStreamKey(link), if: { is: 'anything' } })
  const outcome = await forgetting.queue.add({ id: forgetting.making.newId(), appends: [], documents })
  if (outcome.outcome !== 'committed') throw errorOf(outcome)
}

function jobKeyOf(subject: string): DocumentKey {
  return jobKey(jobId({ kind: forgetSubjectKind, key: subject }))
}
