/**
 * The queue that hands jobs to workers: a port of its own, so that a service can stand behind it, and its form on documents.
 * A worker takes a job under a lease, and ends it in the commit that holds what the job has done.
 */

import { errorOf } from './append.ts'
import type { Background } from './background.ts'
import { indexQuery } from './document.ts'
import { prepareEffect } from './effect.ts'
import { failureOf } from './failure.ts'
import { dueIn, forgetKind, type Job, type JobBody, type JobEnd, jobBodyOf, jobOf, jobs, putJob } from './job.ts'
import { createWatch, type Lease, takeLease } from './lease.ts'
import { limits } from './limits.ts'
import type { Document } from './storage.ts'
import { formatInstant } from './time.ts'
import { backoffMs } from './turn.ts'

export interface JobQueue {
  /** Up to `limit` jobs of these kinds that are due, or whose worker has gone. They are the taker's from then on. */
  take(wanted: { readonly kinds: readonly string[]; readonly limit: number }): Promise<readonly TakenJob[]>
}

/** A job under a lease that is kept alive until it is ended in one of three ways. */
export interface TakenJob {
  readonly job: Job
  /** Aborted once another may have it: what is still done then is not recorded. */
  readonly lost: AbortSignal
  /** Saves how far it is, for all to see and for a next try. Throws once the job is lost. */
  heartbeat(progress: unknown): Promise<void>
  /** It is done, and so is what its end brings, in one commit. Throws where that is refused; the job is still held then. */
  complete(end: JobEnd): Promise<void>
  /** The try has failed: it waits for the next one, or is parked. */
  fail(error: unknown): Promise<void>
  /** As if it had not been tried. */
  giveBack(): Promise<void>
}

/** On documents. The bell rings where a job was added; between rings it is asked now and then. */
export function documentQueue(background: Background, termMs: number): JobQueue {
  const { storage, queue, making, clock } = background
  const leasing = { storage, queue, newId: making.newId }
  const watch = createWatch()
  let nextLook = 0

  async function due(kinds: readonly string[], limit: number): Promise<readonly Document[]> {
    const pages = await Promise.all(
      kinds.map((kind) => {
        const equals = [kind, 'waiting']
        return storage.queryDocuments(indexQuery(jobs, { index: 'kind', equals, to: clock(), limit }))
      }),
    )
    const found = pages.flatMap(({ documents }) => documents)
    return found
      .map((document) => ({ document, at: jobBodyOf(document).at ?? 0 }))
      .sort((a, b) => a.at - b.at)
      .map(({ document }) => document)
  }

  /** Those whose heartbeat has not been seen for a whole term. */
  async function abandoned(kinds: readonly string[]): Promise<readonly Document[]> {
    if (performance.now() < nextLook) return []
    const pages = await Promise.all(
      kinds.map((kind) => {
        const equals = [kind, 'running']
        return storage.queryDocuments(indexQuery(jobs, { index: 'kind', equals, limit: limits.runningJobs }))
      }),
    )
    const running = pages.flatMap(({ documents }) => documents)
    const left = watch.look(running.map((document) => ({ key: document.key, held: jobBodyOf(document).held })))
    nextLook = performance.now() + Math.min(termMs / 3, ...left.filter((ms) => ms > 0))
    return running.filter((_, index) => left[index] === 0)
  }

  async function takeOne(document: Document): Promise<TakenJob | undefined> {
    const found = jobBodyOf(document)
    const now = clock()
    if (found.tries >= found.mostTries) {
      await parkAbandoned(document, found)
      return undefined
    }
    const held = { owner: making.newId(), since: formatInstant(now), termMs, beat: 0 }
    const body = { ...found, state: 'running', at: now, tries: found.tries + 1, held } as const
    const place = { collection: jobs, key: document.key, streams: found.streams }
    const lease = await takeLease<JobBody>(leasing, place, { body, previous: document })
    return lease && takenJob(background, lease)
  }

  /** Its worker has gone in its last try, perhaps because of it. */
  async function parkAbandoned(document: Document, found: JobBody): Promise<void> {
    const error = failureOf(new Error('The worker was gone before the last try had ended'), clock())
    const body: JobBody = { ...found, state: 'parked', at: clock(), held: undefined, error }
    const documents = putJob(body, { is: 'version', version: document.version })
    const outcome = await queue.add({ id: making.newId(), appends: [], documents })
    if (outcome.outcome !== 'committed' && outcome.outcome !== 'document-conflict') throw errorOf(outcome)
  }

  return {
    async take({ kinds, limit }) {
      const candidates = [...(await abandoned(kinds)), ...(await due(kinds, limit))].slice(0, limit)
      const taken = await Promise.all(candidates.map(takeOne))
      return taken.filter((job) => job !== undefined)
    },
  }
}

function takenJob(background: Background, lease: Lease<JobBody>): TakenJob {
  const { clock } = background
  const released = (body: JobBody, next: Partial<JobBody>): JobBody => ({
    ...body,
    at: clock(),
    ...next,
    held: undefined,
  })
  /** Another has it: it is his to end. */
  const end = async (next: (body: JobBody) => JobBody): Promise<void> => {
    await lease.write({ body: next })
    lease.end()
  }
  return {
    job: jobOf(lease.body),
    lost: lease.lost,
    async heartbeat(progress) {
      const kept = await lease.write({ body: (body) => ({ ...body, at: clock(), progress }) })
      if (!kept) lease.lost.throwIfAborted()
    },
    async complete({ result, againInMs, ...effect }) {
      const prepared = await prepareEffect(background, effect)
      const again = againInMs !== undefined && dueIn(againInMs, { now: clock(), path: 'againInMs' })
      const next = (body: JobBody): JobBody => {
        if (again !== false) return released(body, { state: 'waiting', at: again, tries: 0, result })
        return released(body, { state: 'done', at: keptUntil(body, clock()), result, error: undefined })
      }
      await lease.write({ ...prepared, body: next })
      lease.end()
    },
    fail: (error) =>
      end((body) => {
        const { tries, mostTries, backoffMs: firstMs } = body
        const failed = { error: failureOf(error, clock()) }
        if (tries >= mostTries) return released(body, { ...failed, state: 'parked' })
        const waitMs = Math.round(backoffMs(tries, firstMs, limits.jobBackoffMsMost))
        return released(body, { ...failed, state: 'waiting', at: clock() + waitMs })
      }),
    giveBack: () => end((body) => released(body, { state: 'waiting', tries: body.tries - 1 })),
  }
}

/** That something was forgotten is told for good. */
export function keptUntil({ kind }: Pick<JobBody, 'kind'>, now: number): number | undefined {
  return kind === forgetKind ? undefined : now + limits.jobKeepMs
}
