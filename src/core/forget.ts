/**
 * Forgetting. One commit appends the tombstone, which closes the stream for good and hides its content at once, together
 * with a job; the job then empties the events, deletes the documents that hold their content, and has the engine
 * overwrite what is left of the bytes. Every step is bounded and can be repeated, so a crash anywhere loses nothing: the
 * next opening for writing goes on.
 */

import { errorOf, type Making, makeEvent } from './append.ts'
import { checkObject } from './argument.ts'
import type { CommitQueue } from './commit-queue.ts'
import { indexQuery } from './document.ts'
import { isStoreError, StreamNotFound } from './errors.ts'
import { derivedId } from './id.ts'
import { forgetKind, type JobBody, jobBodyOf, jobId, jobKey, jobs, putJob } from './job.ts'
import { limits } from './limits.ts'
import { checkEventType, checkName, checkStream } from './name.ts'
import type { Storage } from './storage.ts'
import { type Clock, formatInstant } from './time.ts'
import type { JobHandler } from './worker.ts'

export interface ForgetOptions {
  /** Why, as a code that holds no personal data; it stays readable in the tombstone's `meta.reasonCode`. */
  readonly reasonCode: string
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
  /** `'pending'`: a long read keeps the engine from overwriting the last copies; the next opening tries again. */
  readonly scrub: 'done' | 'pending'
}

/** How far it is: kept with the job. */
interface Progress {
  /** Revision from which events are still to be emptied. */
  readonly from: number
  readonly documents: number
}

export interface Forgetting {
  readonly storage: Storage
  readonly queue: CommitQueue
  readonly making: Making
  readonly clock: Clock
  /** Takes the content of a closed stream out of inline views that hold other streams too. */
  readonly forgetInViews: (stream: string) => Promise<void>
}

type Erasing = Pick<Forgetting, 'storage' | 'forgetInViews'>

export async function forget(forgetting: Forgetting, stream: string, options: ForgetOptions): Promise<ForgetReport> {
  checkStream(stream)
  checkObject(options, 'options')
  const { reasonCode, tombstone = { type: '$forgotten' } } = options
  checkName(reasonCode, 'reasonCode', 'reason code', limits.reasonCodeCharacters)
  checkObject(tombstone, 'tombstone')
  if (options.tombstone !== undefined) checkEventType(tombstone.type, 'tombstone.type')
  options.signal?.throwIfAborted()
  // The same id whenever it is asked, so that asking again is a retry, and finishes what a crash left.
  const id = derivedId(['tombstone', stream])
  const { type, data = null } = tombstone
  const event = makeEvent(forgetting.making, { type, data, meta: { reasonCode }, id }, 'tombstone')
  const job = newForgetJob(forgetting, stream)
  const outcome = await forgetting.queue.add({
    id: forgetting.making.newId(),
    appends: [{ stream, expected: 'exists', events: [event], tombstone: true }],
    documents: putJob(job, { is: 'anything' }),
  })
  if (outcome.outcome === 'conflict') throw new StreamNotFound(stream)
  if (outcome.outcome !== 'committed') throw errorOf(outcome)
  return runNow(forgetting, outcome.repeated ? ((await findJob(forgetting.storage, stream)) ?? job) : job)
}

/** What an earlier process left undone. */
export async function resumeForgetting(forgetting: Forgetting): Promise<void> {
  const { storage } = forgetting
  for (const state of ['running', 'waiting']) {
    let cursor: string | undefined
    do {
      const equals = [forgetKind, state]
      const page = await storage.queryDocuments(indexQuery(jobs, { index: 'kind', equals, ...(cursor && { cursor }) }))
      for (const document of page.documents) {
        await runNow(forgetting, jobBodyOf(document)).catch((error) => {
          // Somebody else knows the views that the stream is in.
          if (!isStoreError(error, 'projection-missing')) throw error
        })
      }
      cursor = page.next
    } while (cursor !== undefined)
  }
}

/** For workers: takes over what the process that began it has left, and tries again what was put off. */
export function forgetHandler(forgetting: Erasing): JobHandler {
  return async ({ job, signal, heartbeat }) => {
    const save = async (progress: Progress) => {
      signal.throwIfAborted()
      await heartbeat(progress)
    }
    const { documents, scrubbed } = await erase(forgetting, job.key, { progress: progressOf(job), save })
    return scrubbed ? { result: { documents } } : { result: { documents }, againInMs: limits.scrubAgainMs }
  }
}

/**
 * At once, and without a lease: each step can be repeated, also by two at the same time. A worker that is at it as well
 * finds that it has lost its lease.
 */
async function runNow(forgetting: Forgetting, job: JobBody): Promise<ForgetReport> {
  const { storage, queue, making, clock } = forgetting
  const stream = job.key
  const put = async (body: JobBody) => {
    const outcome = await queue.add({ id: making.newId(), appends: [], documents: putJob(body, { is: 'anything' }) })
    if (outcome.outcome !== 'committed') throw errorOf(outcome)
  }
  const done = job.state === 'done'
  const save = (progress: Progress) => put({ ...job, state: 'running', at: clock(), progress })
  const erased = done ? undefined : await erase(forgetting, stream, { progress: progressOf(job), save })
  const { documents, scrubbed } = erased ?? { ...(job.result as { documents: number }), scrubbed: true }
  if (!done) {
    const ended = { ...job, held: undefined, error: undefined, result: { documents } }
    if (scrubbed) await put({ ...ended, state: 'done', at: undefined })
    else
      await put({
        ...ended,
        state: 'waiting',
        at: clock() + limits.scrubAgainMs,
        tries: 0,
        progress: { from: 1, documents },
      })
  }
  const { head } = await storage.readStream(stream, { after: 0, direction: 'backwards', limit: 1 })
  if (head === undefined) throw new StreamNotFound(stream)
  const { revision, position, time } = head
  return {
    stream,
    revision,
    ...(position !== undefined && { position }),
    time: formatInstant(time),
    events: revision - 1,
    documents,
    scrub: scrubbed ? 'done' : 'pending',
  }
}

async function erase(
  { storage, forgetInViews }: Erasing,
  stream: string,
  { progress, save }: { readonly progress: Progress; readonly save: (progress: Progress) => Promise<void> },
): Promise<{ readonly documents: number; readonly scrubbed: boolean }> {
  let { from, documents } = progress
  for (let step = await storage.erase({ erase: 'events', stream, from }); !step.done; ) {
    from = step.next ?? from
    await save({ from, documents })
    step = await storage.erase({ erase: 'events', stream, from })
  }
  await forgetInViews(stream)
  for (let done = false; !done; ) {
    const step = await storage.erase({ erase: 'documents', stream })
    documents += step.erased
    done = step.done
  }
  return { documents, scrubbed: (await storage.erase({ erase: 'scrub' })).done }
}

function progressOf({ progress }: Pick<JobBody, 'progress'>): Progress {
  return (progress as Progress | undefined) ?? { from: 1, documents: 0 }
}

/** As if a worker had it, so that others leave it alone as long as this process goes on with it. */
function newForgetJob({ making, clock }: Forgetting, stream: string): JobBody {
  const now = clock()
  return {
    ...{ kind: forgetKind, key: stream, state: 'running', input: null, at: now, addedAt: now },
    ...{ tries: 1, mostTries: limits.jobTriesDefault, backoffMs: limits.jobBackoffMs },
    held: { owner: making.newId(), since: formatInstant(now), termMs: limits.leaseMs, beat: 0 },
  }
}

async function findJob(storage: Storage, stream: string): Promise<JobBody | undefined> {
  const [document] = await storage.getDocuments([jobKey(jobId({ kind: forgetKind, key: stream }))])
  return document && jobBodyOf(document)
}
