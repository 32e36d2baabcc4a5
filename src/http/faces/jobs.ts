/** The client's jobs: added, looked at and mended on the server, whose workers run them. */
import { checkObject } from '../../core/argument.ts'
import { canonicalJson } from '../../core/encoding.ts'
import { InvalidArgument, isStoreError } from '../../core/errors.ts'
import type { Job } from '../../core/job.ts'
import type { Jobs } from '../../core/jobs.ts'
import type { Schedule } from '../../core/schedule.ts'
import { JobNotFound } from '../../core/work-errors.ts'
import { instantText, parameters, segment } from '../parameters.ts'
import type { Requester } from '../request.ts'
import { refuseHandlers } from './handlers.ts'

/** `newId` makes the keys of jobs that are added without one, so that a repeat is the same job. */
export function jobsOver({ ask }: Requester, newId: () => string): Jobs {
  return {
    async add(kind, options = {}) {
      checkObject(options, 'options')
      const { key = newId(), input = null, delayMs, at, tries, backoffMs, streams } = options
      canonicalJson(input, 'input')
      const body = { kind, key, input, delayMs, at: instantText(at, 'at'), tries, backoffMs, streams }
      return ask('POST', '/jobs', { body })
    },
    async list(options = {}) {
      checkObject(options, 'options')
      const { state, kind, cursor, limit } = options
      return ask('GET', '/jobs', { query: parameters({ state, kind, cursor, limit }) })
    },
    async get(id) {
      const path = pathOf(id)
      return path === undefined ? undefined : ask('GET', path, { absent: 'job-not-found' })
    },
    async retry(id) {
      const path = knownPathOf(id)
      const isDone = (failure: Error) => isStoreError(failure, 'job-not-parked')
      return (await ask<Job | undefined>('POST', `${path}/retry`, { isDone })) ?? ask('GET', path)
    },
    async remove(id) {
      await ask('DELETE', knownPathOf(id), { isDone: (failure) => isStoreError(failure, 'job-not-found') })
    },
    work: refuseHandlers('jobs.work', 'open the store on its storage, with its handlers; daybook serve does so'),
    async schedule(name, options) {
      checkObject(options, 'options')
      const { cron, kind, input, tries, backoffMs } = options
      if (input !== undefined) canonicalJson(input, 'input')
      return ask('PUT', schedulePath(name), { body: { cron, kind, input, tries, backoffMs } })
    },
    schedules: async () => (await ask<{ schedules: readonly Schedule[] }>('GET', '/schedules')).schedules,
    async unschedule(name) {
      await ask('DELETE', schedulePath(name))
    },
  }
}

/** Absent where no job has such an id. */
function pathOf(id: string): string | undefined {
  if (typeof id !== 'string') throw new InvalidArgument('id', 'must be a text such as "mail/42"')
  const [, kind, key] = /^([^/]+)\/(.+)$/s.exec(id) ?? []
  return kind === undefined || key === undefined ? undefined : `/jobs/${segment(kind, 'id')}/${segment(key, 'id')}`
}

function knownPathOf(id: string): string {
  const path = pathOf(id)
  if (path === undefined) throw new JobNotFound(id)
  return path
}

function schedulePath(name: string): string {
  return `/schedules/${segment(name, 'name')}`
}
