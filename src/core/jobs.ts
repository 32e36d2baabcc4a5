/** The store's jobs: adding, looking, mending, working, schedules. What they are is in `job.ts`, how they are run in `worker.ts`. */
import { errorOf } from './append.ts'
import { checkObject } from './argument.ts'
import { type Background, checkWritable } from './background.ts'
import { deleteDocument, indexQuery } from './document.ts'
import { InvalidArgument } from './errors.ts'
import {
  type AddedJob,
  type Job,
  type JobBody,
  type JobOptions,
  type JobState,
  jobBodyOf,
  jobId,
  jobKey,
  jobOf,
  jobStates,
  jobs,
  newJob,
  putJob,
} from './job.ts'
import { documentQueue } from './job-queue.ts'
import { checkTerm } from './lease.ts'
import { pageKey, placeIn } from './page-key.ts'
import { pageSize } from './read.ts'
import {
  listSchedules,
  removeSchedule,
  runSchedules,
  type Schedule,
  type ScheduleOptions,
  setSchedule,
} from './schedule.ts'
import type { Document, DocumentWrite } from './storage.ts'
import { createBell } from './wake.ts'
import { JobNotFound, JobNotParked } from './work-errors.ts'
import { checkHandlers, type JobHandlers, startWorker, type Worker, type WorkOptions } from './worker.ts'

export interface Jobs {
  /** Durable when it resolves. The same kind and key again is answered with the job that is there. */
  add(kind: string, options?: JobOptions): Promise<AddedJob>
  /** One page, of one state after the other: parked, running, waiting, done; within a state those first that come first. */
  list(options?: JobListOptions): Promise<JobsPage>
  /** By its id, which is `kind/key`. */
  get(id: string): Promise<Job | undefined>
  /** Lets a parked job be tried again, as often as at first. Throws `JobNotFound`, `JobNotParked`. */
  retry(id: string): Promise<Job>
  /** Whatever its state; a handler that is at it can record nothing any more. Throws `JobNotFound`. */
  remove(id: string): Promise<void>
  /** Begins to run jobs of the kinds that have a handler, and Daybook's own; adds the jobs of every schedule. */
  work(handlers: JobHandlers, options?: WorkOptions): Worker
  /** One job for each due instant, however many processes work; of those that nobody was there to see only for the last. */
  schedule(name: string, options: ScheduleOptions): Promise<Schedule>
  schedules(): Promise<readonly Schedule[]>
  unschedule(name: string): Promise<void>
}

export interface JobListOptions {
  readonly state?: JobState
  readonly kind?: string
  /** `next` of the page before. */
  readonly cursor?: string
  /** 1 to 1,000; default 100. */
  readonly limit?: number
}

export interface JobsPage {
  readonly jobs: readonly Job[]
  readonly next?: string
}

/** How often what was done long ago is looked for. */
const tidyMs = 60_000

export function createJobs(background: Background, ownHandlers: JobHandlers): Jobs {
  const { storage, queue, making, clock } = background
  const bell = createBell()

  async function commit(documents: readonly DocumentWrite[]): Promise<'written' | 'conflict'> {
    const outcome = await queue.add({ id: making.newId(), appends: [], documents })
    if (outcome.outcome === 'committed') return 'written'
    if (outcome.outcome === 'document-conflict') return 'conflict'
    throw errorOf(outcome)
  }

  async function find(id: string): Promise<Document | undefined> {
    if (typeof id !== 'string') throw new InvalidArgument('id', 'must be a text such as "mail/42"')
    const [document] = await storage.getDocuments([jobKey(id)])
    return document
  }

  /** Until nobody comes between. */
  async function change(
    id: string,
    write: (document: Document, body: JobBody) => readonly DocumentWrite[],
  ): Promise<void> {
    checkWritable(background)
    for (;;) {
      const document = await find(id)
      if (document === undefined) throw new JobNotFound(id)
      if ((await commit(write(document, jobBodyOf(document)))) === 'written') return bell.ring()
    }
  }

  async function removeDone(kinds: readonly string[]): Promise<void> {
    for (const kind of kinds) {
      const old = { index: 'kind', equals: [kind, 'done'], from: 0, to: clock() }
      const { documents } = await storage.queryDocuments(indexQuery(jobs, old))
      await Promise.all(
        documents.map(({ key, version }) => commit(deleteDocument(jobs, { key, if: { is: 'version', version } }))),
      )
    }
  }

  return {
    async add(kind, options = {}) {
      checkWritable(background)
      const body = newJob(kind, options, { newId: making.newId, now: clock() })
      for (;;) {
        if ((await commit(putJob(body, { is: 'absent' }))) === 'written') {
          bell.ring()
          return { job: jobOf(body), repeated: false }
        }
        const document = await find(jobId(body))
        if (document) return { job: jobOf(jobBodyOf(document)), repeated: true }
      }
    },
    async list(options = {}) {
      checkObject(options, 'options')
      const { state, kind, limit } = options
      if (state !== undefined && !jobStates.includes(state)) {
        throw new InvalidArgument('state', `must be one of ${jobStates.join(', ')}`)
      }
      const states = state === undefined ? jobStates : [state]
      const listing = [jobs.collection, kind ?? null, states]
      const [start, inside] = options.cursor === undefined ? [0] : placeOf(placeIn(listing, options.cursor), states)
      for (let at = start, cursor = inside; ; at++, cursor = undefined) {
        const current = states[at] as JobState
        const index = kind === undefined ? 'state' : 'kind'
        const equals = kind === undefined ? [current] : [kind, current]
        const query = { index, equals, limit: pageSize(limit), ...(cursor !== undefined && { cursor }) }
        const { documents, next } = await storage.queryDocuments(indexQuery(jobs, query))
        const last = at === states.length - 1
        if (documents.length === 0 && !last) continue
        const found = documents.map((document) => jobOf(jobBodyOf(document)))
        if (next !== undefined) return { jobs: found, next: pageKey(listing, `${current}:${next}`) }
        return last ? { jobs: found } : { jobs: found, next: pageKey(listing, `${states[at + 1]}:`) }
      }
    },
    async get(id) {
      const document = await find(id)
      return document && jobOf(jobBodyOf(document))
    },
    async retry(id) {
      let retried: JobBody | undefined
      await change(id, ({ version }, body) => {
        if (body.state !== 'parked') throw new JobNotParked({ job: id, state: body.state })
        retried = { ...body, state: 'waiting', at: clock(), tries: 0 }
        return putJob(retried, { is: 'version', version })
      })
      return jobOf(retried as JobBody)
    },
    remove: (id) =>
      change(id, ({ key, version }, { kind, state }) => {
        if (kind.startsWith('$') && state !== 'done') {
          throw new InvalidArgument('id', `"${id}" is a job of Daybook's own, and must be done first`)
        }
        return deleteDocument(jobs, { key, if: { is: 'version', version } })
      }),
    work(handlers, options = {}) {
      checkHandlers(handlers)
      checkObject(options, 'options')
      let tidied = Number.NEGATIVE_INFINITY
      const tidy = async () => {
        if (await runSchedules(background)) bell.ring()
        if (performance.now() - tidied < tidyMs) return
        tidied = performance.now()
        await removeDone(Object.keys({ ...handlers, ...ownHandlers }))
      }
      const queue = documentQueue(background, checkTerm(options.termMs))
      return startWorker(background, { queue, bell, tidy }, { handlers: { ...handlers, ...ownHandlers }, options })
    },
    schedule: (name, options) => setSchedule(background, name, options),
    schedules: () => listSchedules(background),
    unschedule: (name) => removeSchedule(background, name),
  }
}

/** Which of the states it is in, and where. */
function placeOf(place: string, states: readonly JobState[]): readonly [number, string | undefined] {
  const colon = place.indexOf(':')
  return [states.indexOf(place.slice(0, colon) as JobState), place.slice(colon + 1) || undefined]
}
