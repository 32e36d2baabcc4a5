/**
 * Jobs: work that is to be done once, by whichever process gets to it. A job is a document, known by its kind and its key;
 * this file says what it looks like, to those who ask for it and to the storage.
 */
import { checkObject } from './argument.ts'
import { checkCount } from './background.ts'
import { putDocument } from './document.ts'
import type { Effect } from './effect.ts'
import { InvalidArgument } from './errors.ts'
import type { Failure } from './failure.ts'
import type { Held, Leased } from './lease.ts'
import { limits } from './limits.ts'
import { checkName, checkStream, checkStreamType } from './name.ts'
import type { CollectionSpec, Document, DocumentKey, DocumentWrite, Guard } from './storage.ts'
import { formatInstant, parseInstant } from './time.ts'

export const jobStates = ['parked', 'running', 'waiting', 'done'] as const
export type JobState = (typeof jobStates)[number]

export interface Job {
  /** Kind and key with "/" between. */
  readonly id: string
  readonly kind: string
  readonly key: string
  readonly state: JobState
  readonly input: unknown
  /** Tries that were begun, since it was added or retried. */
  readonly tries: number
  /** After so many it is parked. */
  readonly mostTries: number
  readonly addedAt: string
  /** While it waits: not before. */
  readonly dueAt?: string
  /** While it runs: who has it. */
  readonly held?: Held
  /** What the handler has saved by its heartbeat. */
  readonly progress?: unknown
  /** What the handler has left when it was done. */
  readonly result?: unknown
  /** Of the last try that failed; gone once a later one succeeds. */
  readonly error?: Failure
}

export interface JobOptions {
  /** The same job is added once, as long as it is there; done, it is kept for a week. Default: a new one each time. */
  readonly key?: string
  /** Any JSON value; default null. */
  readonly input?: unknown
  /** Not before so many milliseconds from now. */
  readonly delayMs?: number
  /** Not before this instant. */
  readonly at?: string | Date
  /** 1 to 100; default 10. */
  readonly tries?: number
  /** The wait after the first try that failed; it doubles with each, up to an hour. Default 1,000. */
  readonly backoffMs?: number
  /** Streams of whose content it holds something: forgetting one of them deletes the job. */
  readonly streams?: readonly string[]
}

export interface AddedJob {
  readonly job: Job
  /** It was there already, as `job` shows it, and nothing was written. */
  readonly repeated: boolean
}

/** How a handler ends its job. */
export interface JobEnd extends Effect {
  /** Any JSON value; kept with the job. */
  readonly result?: unknown
  /** Not done yet: it waits so long, and is tried anew. */
  readonly againInMs?: number
}

/** As it is stored. */
export interface JobBody extends Leased {
  readonly kind: string
  readonly key: string
  readonly state: JobState
  /** Epoch ms by which lists of one state sort: due; taken or saved; parked; to be removed. Without it, kept for good. */
  readonly at?: number | undefined
  readonly input: unknown
  readonly tries: number
  readonly mostTries: number
  readonly backoffMs: number
  /** Epoch milliseconds. */
  readonly addedAt: number
  readonly streams?: readonly string[] | undefined
  readonly progress?: unknown
  readonly result?: unknown
  readonly error?: Failure | undefined
}

export const jobs: CollectionSpec = {
  collection: '$queue',
  indexes: [
    { name: 'kind', equals: ['kind', 'state'], order: 'at' },
    { name: 'state', equals: ['state'], order: 'at' },
  ],
}

/** Of the jobs that forget; their key is the stream. */
export const forgetKind = '$forget'
/** Of those that forget subjects, by whose name they are known. */
export const forgetSubjectKind = '$forget-subject'
/** Of those that move events to the archive, by all policies of the worker's store. */
export const archiveKind = '$archive'
/** Of those that write the views down, where the worker's store has a place for them. */
export const statesKind = '$states'

/** Of a job that anybody may add, or set a schedule for. Throws `InvalidArgument`. */
export function checkKind(kind: string): void {
  if (kind !== archiveKind && kind !== statesKind) checkStreamType(kind, 'kind')
}

export function jobId({ kind, key }: Pick<JobBody, 'kind' | 'key'>): string {
  return `${kind}/${key}`
}

export function jobKey(id: string): DocumentKey {
  return { collection: jobs.collection, key: id }
}

export function jobOf(body: JobBody): Job {
  const { kind, key, state, at, input, tries, mostTries, addedAt, held, progress, result, error } = body
  return {
    id: jobId(body),
    ...{ kind, key, state, input, tries, mostTries },
    addedAt: formatInstant(addedAt),
    ...(state === 'waiting' && at !== undefined && { dueAt: formatInstant(at) }),
    ...(held && { held }),
    ...(progress !== undefined && { progress }),
    ...(result !== undefined && { result }),
    ...(error && { error }),
  }
}

export function jobBodyOf(document: Document): JobBody {
  return JSON.parse(document.body) as JobBody
}

export function putJob(body: JobBody, guard: Guard): readonly DocumentWrite[] {
  return putDocument(jobs, { key: jobId(body), body, streams: body.streams, if: guard })
}

/** A job as it is added, from what a caller gives. */
export function newJob(kind: string, options: JobOptions, making: { newId: () => string; now: number }): JobBody {
  checkKind(kind)
  checkObject(options, 'options')
  const { key = making.newId(), input = null, tries = limits.jobTriesDefault, streams } = options
  const { backoffMs = limits.jobBackoffMs, delayMs, at } = options
  checkName(key, 'key', 'key of a job', limits.jobKeyCharacters)
  checkCount(tries, 'tries', limits.workTries)
  checkCount(backoffMs, 'backoffMs', limits.jobBackoffMsMost)
  for (const [index, stream] of streams?.entries() ?? []) checkStream(stream, `streams[${index}]`)
  return {
    ...{ kind, key, state: 'waiting', input, tries: 0, mostTries: tries, backoffMs },
    at: at === undefined ? dueIn(delayMs ?? 0, { now: making.now, path: 'delayMs' }) : dueAt(at, delayMs),
    addedAt: making.now,
    ...(streams && { streams }),
  }
}

/** As if a worker had it, so that others leave it alone as long as this process goes on with it. */
export function heldJob(
  job: Pick<JobBody, 'kind' | 'key' | 'input'>,
  { newId, now }: { readonly newId: () => string; readonly now: number },
): JobBody {
  return {
    ...{ ...job, state: 'running', at: now, addedAt: now },
    ...{ tries: 1, mostTries: limits.jobTriesDefault, backoffMs: limits.jobBackoffMs },
    held: { owner: newId(), since: formatInstant(now), termMs: limits.leaseMs, beat: 0 },
  }
}

function dueAt(at: string | Date, delayMs: number | undefined): number {
  if (delayMs !== undefined) throw new InvalidArgument('at', 'stands beside delayMs')
  return parseInstant(at, 'at', 'up')
}

export function dueIn(delayMs: number, { now, path }: { readonly now: number; readonly path: string }): number {
  if (!Number.isSafeInteger(delayMs) || delayMs < 0) throw new InvalidArgument(path, 'must be 0, 1, 2 …')
  return parseInstant(new Date(now + delayMs), path)
}
