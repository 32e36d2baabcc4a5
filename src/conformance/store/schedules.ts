/** Schedules: one job for each due instant, however many look. */
import assert from 'node:assert/strict'
import type { Job } from '../../core/job.ts'
import { cases } from '../kit.ts'
import { clocked, type OpenStore, until } from './kit.ts'

export const scheduling = (open: OpenStore) =>
  cases(open, {
    'A schedule makes one job for each due instant, however many work': async (open) => {
      const { store, jobs, clock } = await clocked(open)
      const other = await open({ clock: () => clock.now })
      const run: string[] = []
      const handlers = { report: async ({ job }: { job: Job }) => void run.push(job.key) }
      const options = { cron: '*/5 * * * *', kind: 'report', input: 'all' }
      const set = await Promise.all([jobs.schedule('five', options), other.jobs.schedule('five', options)])
      assert.deepEqual(set[0], { name: 'five', ...options, nextAt: '2026-01-31T09:35:00.000Z' })
      assert.deepEqual(set[1], set[0])
      for (const { jobs } of [store, other]) jobs.work(handlers)
      for (const minute of [35, 40, 45]) {
        await clock.pass(Date.UTC(2026, 0, 31, 9, minute) - clock.now)
        await until(() => run.length === (minute - 30) / 5)
      }
      // Nobody was there at 9:50, 9:55 and 10:00.
      await clock.pass(Date.UTC(2026, 0, 31, 10, 4) - clock.now)
      await until(async () => (await jobs.schedules())[0]?.nextAt === '2026-01-31T10:05:00.000Z')
      await until(async () => (await jobs.list({ state: 'done' })).jobs.length === 4)
      const instants = ['09:35', '09:40', '09:45', '10:00'].map((time) => `five@2026-01-31T${time}:00.000Z`)
      assert.deepEqual(run, instants)
      await jobs.unschedule('five')
      assert.deepEqual(await jobs.schedules(), [])
    },

    'A schedule that is set again as it is goes on; with another pattern it begins anew': async (open) => {
      const { jobs, clock } = await clocked(open)
      const options = { cron: '0 0 1 * *', kind: 'report' }
      await jobs.schedule('monthly', options)
      clock.now = Date.UTC(2026, 1, 3)
      assert.equal((await jobs.schedule('monthly', options)).nextAt, '2026-02-01T00:00:00.000Z')
      const other = { ...options, cron: '30 2 * * MON' }
      assert.equal((await jobs.schedule('monthly', other)).nextAt, '2026-02-09T02:30:00.000Z')
    },
  })
