/**
 * Forgetting. One commit appends the tombstone, which closes the stream for good and hides its content at once, together
 * with a job; the job then empties the events, deletes the documents that hold their content, and has the engine
 * overwrite what is left of the bytes. Every step is bounded and can be repeated, so a crash anywhere loses nothing: the
 * next opening for writing goes on.
 */

import { errorOf, type Making, makeEvent } from './append.ts'
import { checkObject } from './argument.ts'
import type { CommitQueue } from './commit-queue.ts'
import { indexQuery, putDocument } from './document.ts'
import { StreamNotFound } from './errors.ts'
import { derivedId } from './id.ts'
import { limits } from './limits.ts'
import { checkEventType, checkName, checkStream } from './name.ts'
import type { CollectionSpec, DocumentWrite, Storage } from './storage.ts'
import { formatInstant } from './time.ts'

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

/** What is left to do, or was done; a document until it is a job of the queue. */
interface ForgetJob {
  readonly kind: 'forget'
  readonly state: 'open' | 'done'
  readonly stream: string
  /** Revision from which events are still to be emptied. */
  readonly from: number
  readonly documents: number
}

export const jobs: CollectionSpec = { collection: '$jobs', indexes: [{ name: 'state', equals: ['kind', 'state'] }] }

export interface Forgetting {
  readonly storage: Storage
  readonly queue: CommitQueue
  readonly making: Making
  /** Takes the content of a closed stream out of inline views that hold other streams too. */
  readonly forgetInViews: (stream: string) => Promise<void>
}

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
  const job: ForgetJob = { kind: 'forget', state: 'open', stream, from: 1, documents: 0 }
  const outcome = await forgetting.queue.add({
    id: forgetting.making.newId(),
    appends: [{ stream, expected: 'exists', events: [event], tombstone: true }],
    documents: jobWrites(job),
  })
  if (outcome.outcome === 'conflict') throw new StreamNotFound(stream)
  if (outcome.outcome !== 'committed') throw errorOf(outcome)
  return run(forgetting, outcome.repeated ? ((await findJob(forgetting.storage, stream)) ?? job) : job)
}

/** What an earlier process left undone. */
export async function resumeForgetting(forgetting: Forgetting): Promise<void> {
  const { storage } = forgetting
  let cursor: string | undefined
  do {
    const equals = ['forget', 'open']
    const page = await storage.queryDocuments(indexQuery(jobs, { index: 'state', equals, ...(cursor && { cursor }) }))
    for (const { body } of page.documents) await run(forgetting, JSON.parse(body) as ForgetJob)
    cursor = page.next
  } while (cursor !== undefined)
}

async function run(forgetting: Forgetting, job: ForgetJob): Promise<ForgetReport> {
  const { storage } = forgetting
  const { stream } = job
  let { from, documents } = job
  let scrubbed = job.state === 'done'
  if (!scrubbed) {
    for (let step = await storage.erase({ erase: 'events', stream, from }); !step.done; ) {
      from = step.next ?? from
      await saveJob(forgetting, { ...job, from })
      step = await storage.erase({ erase: 'events', stream, from })
    }
    await forgetting.forgetInViews(stream)
    for (let done = false; !done; ) {
      const step = await storage.erase({ erase: 'documents', stream })
      documents += step.erased
      done = step.done
    }
    scrubbed = (await storage.erase({ erase: 'scrub' })).done
    await saveJob(forgetting, { ...job, state: scrubbed ? 'done' : 'open', from, documents })
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

async function saveJob({ queue, making }: Forgetting, job: ForgetJob): Promise<void> {
  const outcome = await queue.add({ id: making.newId(), appends: [], documents: jobWrites(job) })
  if (outcome.outcome !== 'committed') throw errorOf(outcome)
}

function jobWrites(job: ForgetJob): readonly DocumentWrite[] {
  return putDocument(jobs, { key: jobKey(job.stream), body: job, if: { is: 'anything' } })
}

async function findJob(storage: Storage, stream: string): Promise<ForgetJob | undefined> {
  const [document] = await storage.getDocuments([{ collection: jobs.collection, key: jobKey(stream) }])
  return document && (JSON.parse(document.body) as ForgetJob)
}

function jobKey(stream: string): string {
  return `forget/${stream}`
}
