/** The durable queue: adding, looking, mending; and schedules. Workers run where the store is opened. */
import * as z from 'zod/mini'
import { checkKind, type JobOptions, type JobState, jobStates } from '../../core/job.ts'
import { limits } from '../../core/limits.ts'
import type { ScheduleOptions } from '../../core/schedule.ts'
import { JobNotFound } from '../../core/work-errors.ts'
import { manages, pageOf } from '../asked.ts'
import type { ProblemKind } from '../problem.ts'
import type { Params, Route } from '../route.ts'
import {
  cursor,
  failure,
  held,
  instant,
  instantText,
  keeps,
  list,
  looksLike,
  named,
  type Param,
  pagedAnswer,
  pageLimit,
  record,
  revision,
  streamName,
  text,
  typePattern,
  wholeNumber,
} from '../wire.ts'

const addedKind = text(keeps(checkKind), looksLike(`(\\$archive|\\$states|${typePattern})`))
/** Daybook's own kinds begin with "$": they may be asked for, but most of them not added. */
const askedKind = text(
  z.regex(new RegExp(`^\\$?${typePattern}$`), { error: 'is no kind that a job can have' }),
  looksLike(`\\$?${typePattern}`),
)
const jobKind: Param = { schema: askedKind, description: 'The kind of the job.', example: 'mail' }
const jobKey: Param = {
  // That of Daybook's own may be a stream.
  schema: named('key of a job', limits.streamTypeCharacters + 1 + limits.streamIdCharacters),
  description: 'The key of the job.',
  example: 'order-17',
}
const schedule: Param = {
  schema: named('name of a schedule', limits.streamTypeCharacters),
  description: 'The name of the schedule.',
  example: 'monthly',
}
const any = z.optional(z.unknown().check(z.meta({ description: 'Any JSON value; default null.' })))
const tries = z.optional(wholeNumber(1, limits.workTries))
const backoffMs = z.optional(wholeNumber(1, limits.jobBackoffMsMost))

const job = z.object({
  id: z.string(),
  kind: z.string(),
  key: z.string(),
  state: z.enum(jobStates),
  input: z.unknown(),
  tries: revision,
  mostTries: revision,
  addedAt: instant,
  dueAt: z.optional(instant),
  held: z.optional(held),
  progress: z.optional(z.unknown()),
  result: z.optional(z.unknown()),
  error: z.optional(failure),
})
const day = '2026-01-31T09:30:00.000Z'
const exampleJob = {
  ...{ id: 'mail/order-17', kind: 'mail', key: 'order-17', state: 'waiting', input: { to: 'ann' } },
  ...{ tries: 0, mostTries: 10, addedAt: day, dueAt: day },
}
const addBody = record({
  kind: addedKind,
  key: z.optional(named('key of a job', limits.jobKeyCharacters)),
  input: any,
  delayMs: z.optional(wholeNumber(0)),
  at: z.optional(instantText),
  tries,
  backoffMs,
  streams: z.optional(list(streamName)),
})
type AddBody = JobOptions & { readonly kind: string }
const scheduleBody = record({
  cron: text(),
  kind: addedKind,
  input: any,
  tries,
  backoffMs,
})
const scheduled = z.object({
  name: z.string(),
  cron: z.string(),
  kind: z.string(),
  input: z.optional(z.unknown()),
  tries: z.optional(revision),
  backoffMs: z.optional(revision),
  nextAt: instant,
})
const exampleSchedule = { name: 'monthly', cron: '30 2 1 * *', kind: 'report', nextAt: '2026-02-01T02:30:00.000Z' }

const managed = { tag: 'Jobs', manages: true, needs: manages } as const
const writing: readonly ProblemKind[] = ['store-read-only']
const changed: readonly ProblemKind[] = [...writing, 'job-not-found']

export const jobRoutes: readonly Route[] = [
  {
    ...managed,
    method: 'POST',
    path: '/jobs',
    summary: 'Add a job',
    description:
      'The same kind and key is one job. Without a `key` it gets a new one, or one that follows from `Idempotency-Key`.',
    body: { schema: addBody, example: { kind: 'mail', key: 'order-17', input: { to: 'ann' } } },
    idempotent: true,
    answer: {
      status: 201,
      schema: z.object({ job, repeated: z.boolean() }),
      description: 'The job; `repeated` where it was there already.',
      example: { job: exampleJob, repeated: false },
    },
    problems: writing,
    handle({ store, body, keyed }) {
      const { kind, ...options } = body as AddBody
      const key = options.key ?? keyed?.('job', 0)
      return store.jobs.add(kind, { ...options, ...(key !== undefined && { key }) })
    },
  },
  {
    method: 'GET',
    path: '/jobs',
    tag: 'Jobs',
    summary: 'The jobs there are, of one state after the other: parked, running, waiting, done',
    query: {
      state: {
        schema: z.enum(jobStates, { error: `must be one of ${jobStates.join(', ')}` }),
        description: 'Only of this state.',
        example: 'parked',
      },
      kind: { ...jobKind, description: 'Only of this kind.' },
      limit: pageLimit,
      cursor,
    },
    answer: pagedAnswer('jobs', job, { example: exampleJob }),
    problems: [],
    needs: manages,
    handle: ({ store, query }) =>
      store.jobs.list({
        ...(query['state'] !== undefined && { state: query['state'] as JobState }),
        ...(query['kind'] !== undefined && { kind: String(query['kind']) }),
        ...pageOf(query),
      }),
  },
  {
    method: 'GET',
    path: '/jobs/{jobKind}/{jobKey}',
    tag: 'Jobs',
    summary: 'What became of a job',
    params: { jobKind, jobKey },
    answer: { status: 200, schema: job, description: 'The job.', example: exampleJob },
    problems: ['job-not-found'],
    needs: manages,
    async handle({ store, params }) {
      const found = await store.jobs.get(idIn(params))
      if (found === undefined) throw new JobNotFound(idIn(params))
      return found
    },
  },
  {
    ...managed,
    method: 'POST',
    path: '/jobs/{jobKind}/{jobKey}/retry',
    summary: 'Let a parked job be tried again, as often as at first',
    params: { jobKind, jobKey },
    answer: { status: 200, schema: job, description: 'The job, which waits.', example: exampleJob },
    problems: [...changed, 'job-not-parked'],
    handle: ({ store, params }) => store.jobs.retry(idIn(params)),
  },
  {
    ...managed,
    method: 'DELETE',
    path: '/jobs/{jobKind}/{jobKey}',
    summary: 'Remove a job, whatever its state',
    params: { jobKind, jobKey },
    answer: {
      status: 200,
      schema: z.object({ removed: z.string() }),
      description: 'The id of the job.',
      example: { removed: 'mail/order-17' },
    },
    problems: changed,
    async handle({ store, params }) {
      await store.jobs.remove(idIn(params))
      return { removed: idIn(params) }
    },
  },
  {
    method: 'GET',
    path: '/schedules',
    tag: 'Jobs',
    summary: 'The schedules there are, and when each is due next',
    answer: {
      status: 200,
      schema: z.object({ schedules: z.array(scheduled) }),
      description: 'The next one first.',
      example: { schedules: [exampleSchedule] },
    },
    problems: [],
    // The input may hold anything.
    needs: manages,
    handle: async ({ store }) => ({ schedules: await store.jobs.schedules() }),
  },
  {
    ...managed,
    method: 'PUT',
    path: '/schedules/{schedule}',
    summary: 'Add a job again and again, by a cron pattern in UTC',
    description: 'Said again as it is, nothing changes.',
    params: { schedule },
    body: { schema: scheduleBody, example: { cron: '30 2 1 * *', kind: 'report' } },
    answer: { status: 200, schema: scheduled, description: 'The schedule.', example: exampleSchedule },
    problems: writing,
    handle: ({ store, params, body }) => store.jobs.schedule(String(params['schedule']), body as ScheduleOptions),
  },
  {
    ...managed,
    method: 'DELETE',
    path: '/schedules/{schedule}',
    summary: 'Remove a schedule; its jobs stay',
    params: { schedule },
    answer: {
      status: 200,
      schema: z.object({ removed: z.string() }),
      description: 'Its name, which is free again.',
      example: { removed: 'monthly' },
    },
    problems: writing,
    async handle({ store, params }) {
      await store.jobs.unschedule(String(params['schedule']))
      return { removed: String(params['schedule']) }
    },
  },
]

function idIn(params: Params): string {
  return `${params['jobKind']}/${params['jobKey']}`
}
