/**
 * Schedules: jobs that are due again and again, by cron patterns in UTC. A schedule knows its next due instant; whoever sees
 * it pass adds the job and moves the schedule on in one commit, so each instant is one job, however many look.
 */
import type { Cron } from 'croner'
import { checkObject } from './argument.ts'
import { type Background, checkWritable } from './background.ts'
import { offerDocuments } from './commit-documents.ts'
import { deleteDocument, guardOf, indexQuery, putDocument } from './document.ts'
import { canonicalJson } from './encoding.ts'
import { InvalidArgument } from './errors.ts'
import { type JobBody, type JobOptions, newJob, putJob } from './job.ts'
import { limits } from './limits.ts'
import { checkName } from './name.ts'
import type { CollectionSpec, Document, DocumentWrite } from './storage.ts'
import { formatInstant } from './time.ts'

export interface ScheduleOptions extends Pick<JobOptions, 'input' | 'tries' | 'backoffMs'> {
  /** Five fields (minute, hour, day, month, weekday), or six with the second first; in UTC. */
  readonly cron: string
  readonly kind: string
}

export interface Schedule extends ScheduleOptions {
  readonly name: string
  /** The instant of its next job, whose key is the name, "@" and the instant. */
  readonly nextAt: string
}

interface ScheduleBody {
  readonly type: 'schedule'
  readonly name: string
  readonly options: ScheduleOptions
  /** Epoch milliseconds. */
  readonly next: number
}

export const schedules: CollectionSpec = {
  collection: '$schedules',
  indexes: [{ name: 'next', equals: ['type'], order: 'next' }],
}

/** Said again as it is, nothing changes; with other options it takes their place, from now on. */
export async function setSchedule(background: Background, name: string, options: ScheduleOptions): Promise<Schedule> {
  checkWritable(background)
  checkName(name, 'name', 'name of a schedule', limits.streamTypeCharacters)
  checkObject(options, 'options')
  const { cron, kind, input, tries, backoffMs } = options
  const asked: ScheduleOptions = {
    cron,
    kind,
    ...(input !== undefined && { input }),
    ...(tries !== undefined && { tries }),
    ...(backoffMs !== undefined && { backoffMs }),
  }
  const text = canonicalJson(asked, 'options')
  newJob(kind, { ...asked }, { newId: () => name, now: background.clock() })
  const next = nextAfter(await patternOf(cron), background.clock())
  for (;;) {
    const found = await find(background, name)
    if (found && canonicalJson(bodyOf(found).options) === text) return scheduleOf(bodyOf(found))
    const body: ScheduleBody = { type: 'schedule', name, options: asked, next }
    if (await offerDocuments(background, putSchedule(body, found))) return scheduleOf(body)
  }
}

export async function listSchedules({ storage }: Background): Promise<readonly Schedule[]> {
  const query = indexQuery(schedules, { index: 'next', equals: ['schedule'], limit: limits.schedules })
  return (await storage.queryDocuments(query)).documents.map((document) => scheduleOf(bodyOf(document)))
}

/** Its jobs stay. */
export async function removeSchedule(background: Background, name: string): Promise<void> {
  checkWritable(background)
  await offerDocuments(background, deleteDocument(schedules, { key: name, if: { is: 'anything' } }))
}

/** Adds the jobs of all instants that have passed; of a schedule that has missed several only the last. True: some were. */
export async function runSchedules(background: Background): Promise<boolean> {
  const { storage, clock } = background
  const now = clock()
  const query = indexQuery(schedules, { index: 'next', equals: ['schedule'], to: now, limit: limits.schedules })
  const { documents } = await storage.queryDocuments(query)
  for (const document of documents) await fire(background, document, now)
  return documents.length > 0
}

async function fire(background: Background, document: Document, now: number): Promise<void> {
  const body = bodyOf(document)
  const { name, options } = body
  const cron = await patternOf(options.cron)
  // Nothing is before itself, so the pattern is asked from a moment later.
  const due = cron.previousRuns(1, new Date(now + 1))[0]?.getTime() ?? body.next
  const { cron: _, kind, ...more } = options
  const key = `${name}@${formatInstant(due)}`
  const job: JobBody = newJob(kind, { ...more, key }, { newId: () => key, now })
  const moved = putSchedule({ ...body, next: nextAfter(cron, now) }, document)
  // Where the job is there already, the schedule was removed and set again, and only moves on.
  if (!(await offerDocuments(background, [...moved, ...putJob(job, { is: 'absent' })])))
    await offerDocuments(background, moved)
}

function putSchedule(body: ScheduleBody, previous: Document | undefined): readonly DocumentWrite[] {
  const guard = guardOf(previous)
  return putDocument(schedules, { key: body.name, body, if: guard })
}

async function find({ storage }: Background, name: string): Promise<Document | undefined> {
  const [document] = await storage.getDocuments([{ collection: schedules.collection, key: name }])
  return document
}

function bodyOf(document: Document): ScheduleBody {
  return JSON.parse(document.body) as ScheduleBody
}

function scheduleOf({ name, options, next }: ScheduleBody): Schedule {
  return { name, ...options, nextAt: formatInstant(next) }
}

/** What reads patterns is loaded with the first schedule. */
async function patternOf(cron: string): Promise<Cron> {
  // The parser also takes a single instant.
  if (typeof cron !== 'string' || !/^@|^\S+\s/.test(cron)) {
    throw new InvalidArgument('cron', 'must be a pattern such as "30 2 * * *"')
  }
  const { Cron } = await import('croner')
  try {
    return new Cron(cron, { timezone: 'UTC', mode: '5-or-6-parts' })
  } catch (error) {
    throw new InvalidArgument('cron', `must be a pattern such as "30 2 * * *": ${(error as Error).message}`)
  }
}

function nextAfter(cron: Cron, now: number): number {
  const next = cron.nextRun(new Date(now))
  if (next === null) throw new InvalidArgument('cron', 'is never due')
  return next.getTime()
}
