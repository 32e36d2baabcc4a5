/** Jobs: added once, run under a lease, tried again, parked; what they do is there once; schedules. */
import assert from 'node:assert/strict'
import type { Job } from '../../core/job.ts'
import type { Jobs } from '../../core/jobs.ts'
import { cases, range } from '../kit.ts'
import { clocked, type OpenStore, until } from './kit.ts'

const termMs = 1_000

export const working = (open: OpenStore) =>
  cases(open, {
    'A job is run with its input, and shows what became of it': async (open) => {
      const { store, jobs } = await clocked(open)
      const { job, repeated } = await jobs.add('mail', { key: 'ann', input: { to: 'ann' } })
      const added = { id: 'mail/ann', kind: 'mail', key: 'ann', state: 'waiting', input: { to: 'ann' }, tries: 0 }
      const at = '2026-01-31T09:30:00.000Z'
      assert.deepEqual([job, repeated], [{ ...added, mostTries: 10, addedAt: at, dueAt: at }, false])
      const seen: Job[] = []
      jobs.work({
        mail: async ({ job }) => {
          seen.push(job)
          return { result: `sent to ${(job.input as { to: string }).to}` }
        },
      })
      await ended(jobs, 'mail/ann')
      assert.deepEqual([seen.length, seen[0]?.state, seen[0]?.tries], [1, 'running', 1])
      const { held: _, ...shown } = seen[0] ?? assert.fail()
      assert.deepEqual(await jobs.get('mail/ann'), { ...shown, state: 'done', result: 'sent to ann' })
      assert.equal(await jobs.get('mail/bob'), undefined)
      await store.close()
    },

    'The same job is added once, whoever adds it and however often': async (open) => {
      const stores = [await open(), await open()]
      const adding = range(1, 10).map((index) => (stores[index % 2] ?? assert.fail()).jobs.add('mail', { key: 'ann' }))
      const answers = await Promise.all(adding)
      assert.equal(answers.filter(({ repeated }) => !repeated).length, 1)
      const { jobs } = stores[0] ?? assert.fail()
      await jobs.add('mail', { key: 'bob' })
      await jobs.add('bill', { key: 'ann' })
      await jobs.add('mail')
      assert.equal((await jobs.list()).jobs.length, 4)
      jobs.work({ mail: async () => {}, bill: async () => {} })
      await until(async () => (await jobs.list({ state: 'done' })).jobs.length === 4)
      assert.equal((await jobs.add('mail', { key: 'ann' })).repeated, true)
    },

    'A job with a delay, or for an instant, is not run before': async (open) => {
      const { jobs, clock } = await clocked(open)
      const run: string[] = []
      jobs.work({ mail: async ({ job }) => void run.push(job.key) })
      await jobs.add('mail', { key: 'later', delayMs: 60_000 })
      await jobs.add('mail', { key: 'latest', at: '2026-01-31T10:30:00.5+01:00' })
      assert.equal((await jobs.get('mail/later'))?.dueAt, '2026-01-31T09:31:00.000Z')
      await jobs.add('mail', { key: 'now' })
      await until(() => run.length === 1)
      await clock.pass(500)
      await until(() => run.length === 2)
      await clock.pass(59_500)
      await until(() => run.length === 3)
      assert.deepEqual(run, ['now', 'latest', 'later'])
    },

    'A job that fails is tried again after a while, then parked with its error, and can be retried': async (open) => {
      const { jobs, clock } = await clocked(open)
      let works = false
      const tries: number[] = []
      jobs.work({
        mail: async ({ job }) => {
          if (job.key === 'bob') return
          tries.push(job.tries)
          if (!works) throw new RangeError(`no server, try ${job.tries}`)
        },
      })
      await jobs.add('mail', { key: 'ann', tries: 3, backoffMs: 1_000 })
      await until(async () => (await jobs.get('mail/ann'))?.error !== undefined)
      const waiting = (await jobs.get('mail/ann')) ?? assert.fail()
      const waitMs = Date.parse(waiting.dueAt ?? '') - clock.now
      assert.ok(waiting.state === 'waiting' && waitMs >= 500 && waitMs <= 1_000, JSON.stringify(waiting))
      await clock.pass(1_000)
      await until(() => tries.length === 2)
      await jobs.add('mail', { key: 'bob' })
      await ended(jobs, 'mail/bob')
      await clock.pass(2_000)
      await until(async () => (await jobs.get('mail/ann'))?.state === 'parked')
      const [parked] = (await jobs.list({ state: 'parked' })).jobs
      assert.deepEqual([parked?.id, parked?.tries], ['mail/ann', 3])
      const { time: _, ...error } = parked?.error ?? assert.fail()
      assert.deepEqual(error, { name: 'RangeError', message: 'no server, try 3' })
      works = true
      assert.equal((await jobs.retry('mail/ann')).state, 'waiting')
      await ended(jobs, 'mail/ann')
      assert.deepEqual(tries, [1, 2, 3, 1])
      assert.equal((await jobs.get('mail/ann'))?.error, undefined)
      await assert.rejects(jobs.retry('mail/ann'), { code: 'job-not-parked', job: 'mail/ann', state: 'done' })
      await assert.rejects(jobs.retry('mail/eve'), { code: 'job-not-found', job: 'mail/eve' })
    },

    'What a handler returns is committed with the end of the job, or neither is': async (open) => {
      const { store, jobs, clock } = await clocked(open)
      let expected = 7
      jobs.work({
        count: async () => ({ appends: [{ stream: 'counter/1', expected, events: [{ type: 'Counted' }] }] }),
      })
      await jobs.add('count', { key: 'a' })
      await until(async () => (await jobs.get('count/a'))?.error !== undefined)
      assert.equal((await jobs.get('count/a'))?.error?.code, 'revision-conflict')
      assert.equal(await store.details('counter/1'), undefined)
      expected = 0
      await clock.pass(1_000)
      await ended(jobs, 'count/a')
      assert.equal((await store.details('counter/1'))?.revision, 1)
    },

    'Events that are in the log already, by their ids, do not keep a job from being done': async (open) => {
      const store = await open()
      const events = [{ type: 'Counted', id: 'mine' }]
      await store.append('counter/1', events)
      store.jobs.work({ count: async () => ({ appends: [{ stream: 'counter/1', events }], result: 1 }) })
      await store.jobs.add('count', { key: 'a' })
      await ended(store.jobs, 'count/a')
      assert.equal((await store.details('counter/1'))?.revision, 1)
    },

    'A heartbeat saves how far the job is, for all to see and for the next try': async (open) => {
      const { jobs, clock } = await clocked(open)
      const seen: unknown[] = []
      jobs.work({
        build: async ({ job, heartbeat }) => {
          seen.push(job.progress)
          if (job.tries === 2) return
          await heartbeat({ at: 7 })
          throw new Error('later')
        },
      })
      await jobs.add('build', { key: 'a' })
      await until(async () => (await jobs.get('build/a'))?.error !== undefined)
      assert.deepEqual((await jobs.get('build/a'))?.progress, { at: 7 })
      await clock.pass(1_000)
      await ended(jobs, 'build/a')
      assert.deepEqual(seen, [undefined, { at: 7 }])
    },

    'A handler whose job is not done yet puts it off, which is no failed try': async (open) => {
      const { jobs, clock } = await clocked(open)
      let runs = 0
      jobs.work({ poll: async () => (++runs < 3 ? { againInMs: 60_000, result: runs } : undefined) })
      await jobs.add('poll', { key: 'a', tries: 1 })
      for (const run of [1, 2]) {
        await until(async () => (await jobs.get('poll/a'))?.result === run)
        const { state, tries, dueAt } = (await jobs.get('poll/a')) ?? assert.fail()
        assert.deepEqual([state, tries, Date.parse(dueAt ?? '')], ['waiting', 0, clock.now + 60_000])
        await clock.pass(60_000)
      }
      await ended(jobs, 'poll/a')
    },

    'Jobs are listed by state and kind, page after page': async (open) => {
      const { jobs } = await clocked(open)
      for (const key of ['a', 'b', 'c']) await jobs.add('bill', { key })
      for (const key of ['a', 'b']) await jobs.add('mail', { key })
      jobs.work({ bill: async () => {} })
      await until(async () => (await jobs.list({ state: 'done' })).jobs.length === 3)
      const all = async (options: object) => {
        const ids: string[] = []
        for (let cursor: string | undefined; ; ) {
          const page = await jobs.list({ ...options, ...(cursor !== undefined && { cursor }) })
          ids.push(...page.jobs.map(({ id }) => id))
          if (page.next === undefined) return ids
          cursor = page.next
        }
      }
      const mails = ['mail/a', 'mail/b']
      const bills = ['bill/a', 'bill/b', 'bill/c']
      for (const limit of [1, 2, 100]) {
        assert.deepEqual(new Set(await all({ limit })), new Set([...mails, ...bills]))
        assert.deepEqual((await all({ limit })).slice(0, 2).toSorted(), mails)
        assert.deepEqual((await all({ limit, kind: 'bill' })).toSorted(), bills)
        assert.deepEqual((await all({ limit, state: 'waiting' })).toSorted(), mails)
        assert.deepEqual(await all({ limit, state: 'waiting', kind: 'bill' }), [])
      }
      const { next = assert.fail() } = await jobs.list({ kind: 'bill', limit: 1 })
      for (const other of [
        { cursor: 'nowhere' },
        { cursor: next },
        { kind: 'bill', state: 'done', cursor: next },
      ] as const) {
        await assert.rejects(jobs.list(other), { code: 'invalid-argument', path: 'cursor' })
      }
    },

    'A job is removed for good, also from the hands of a worker': async (open) => {
      const { store, jobs } = await clocked(open)
      let begun = false
      jobs.work(
        {
          count: async ({ signal }) => {
            begun = true
            await until(() => signal.aborted)
            return { appends: [{ stream: 'counter/1', events: [{ type: 'Counted' }] }] }
          },
        },
        { termMs },
      )
      await jobs.add('count', { key: 'a' })
      await until(() => begun)
      await jobs.remove('count/a')
      await store.close()
      const again = await open()
      assert.deepEqual((await again.jobs.list()).jobs, [])
      assert.equal(await again.details('counter/1'), undefined)
      await assert.rejects(again.jobs.remove('count/a'), { code: 'job-not-found' })
    },

    'Forgetting is a job as well, which is seen and kept': async (open) => {
      const store = await open()
      await store.append('person/1', [{ type: 'Told', data: 'secret' }])
      const { scrub } = await store.forget('person/1', { reasonCode: 'asked' })
      const { jobs } = await store.jobs.list({ kind: '$forget' })
      // Where somebody else's long read holds the engine up, it comes again.
      const ended = scrub === 'done' ? ['done', 1] : ['waiting', 0]
      assert.deepEqual(
        jobs.map(({ id, state, tries }) => [id, state, tries]),
        [['$forget/person/1', ...ended]],
      )
    },

    'A job that holds content of a stream is gone once that is forgotten': async (open) => {
      const store = await open()
      await store.append('person/1', [{ type: 'Told', data: 'secret' }])
      await store.jobs.add('mail', { key: 'a', input: 'secret', streams: ['person/1'] })
      await store.forget('person/1', { reasonCode: 'asked' })
      assert.equal(await store.jobs.get('mail/a'), undefined)
    },

    'Closing the store lets what is at work finish, and begins nothing more': async (open) => {
      const store = await open()
      let running = 0
      let release = () => {}
      const held = new Promise<void>((resolve) => {
        release = resolve
      })
      store.jobs.work(
        {
          count: async () => {
            running++
            await held
            return { appends: [{ stream: 'counter/1', events: [{ type: 'Counted' }] }] }
          },
        },
        { parallel: 2 },
      )
      for (const key of ['a', 'b', 'c']) await store.jobs.add('count', { key })
      await until(() => running === 2)
      const closing = store.close()
      release()
      await closing
      const again = await open()
      assert.equal((await again.jobs.list({ state: 'done' })).jobs.length, 2)
      assert.equal((await again.jobs.list({ state: 'waiting' })).jobs.length, 1)
      assert.equal((await again.details('counter/1'))?.revision, 2)
      assert.throws(() => store.jobs.work({}), { code: 'store-closed' })
    },

    'What cannot be a job, a schedule or a worker is refused, and changes nothing': async (open) => {
      const { jobs } = await clocked(open)
      const bad: readonly (readonly [string, object, string])[] = [
        ['$forget', {}, 'kind'],
        ['not a kind', {}, 'kind'],
        ['mail', { key: '' }, 'key'],
        ['mail', { delayMs: -1 }, 'delayMs'],
        ['mail', { delayMs: 1e300 }, 'delayMs'],
        ['mail', { at: 'tomorrow' }, 'at'],
        ['mail', { at: new Date(), delayMs: 1 }, 'at'],
        ['mail', { tries: 0 }, 'tries'],
        ['mail', { tries: 101 }, 'tries'],
        ['mail', { backoffMs: 0 }, 'backoffMs'],
        ['mail', { streams: ['nowhere'] }, 'streams[0]'],
      ]
      for (const [kind, options, path] of bad) {
        await assert.rejects(jobs.add(kind, options), { code: 'invalid-argument', path }, path)
      }
      await assert.rejects(jobs.add('mail', { input: Number.NaN }), { code: 'invalid-argument' })
      for (const cron of ['', 'daily', '61 * * * *', '0 0 30 2 *', '2027-01-01T00:00:00', '* * * * * * *']) {
        await assert.rejects(
          jobs.schedule('x', { cron, kind: 'mail' }),
          { code: 'invalid-argument', path: 'cron' },
          cron,
        )
      }
      await assert.rejects(jobs.schedule('x', { cron: '@daily', kind: '' }), { code: 'invalid-argument', path: 'kind' })
      const handler = async () => {}
      assert.throws(() => jobs.work({ 'not a kind': handler }), { code: 'invalid-argument' })
      assert.throws(() => jobs.work({ mail: 'handler' } as never), { code: 'invalid-argument' })
      assert.throws(() => jobs.work({ mail: handler }, { parallel: 0 }), { code: 'invalid-argument', path: 'parallel' })
      assert.throws(() => jobs.work({ mail: handler }, { termMs: 1 }), { code: 'invalid-argument', path: 'termMs' })
      assert.deepEqual([(await jobs.list()).jobs, await jobs.schedules()], [[], []])
    },

    'A store opened for reading only shows jobs, and neither adds nor runs any': async (open) => {
      const writer = await open()
      await writer.jobs.add('mail', { key: 'a' })
      const { jobs } = await open({ readOnly: true })
      assert.equal((await jobs.get('mail/a'))?.state, 'waiting')
      await assert.rejects(jobs.add('mail'), { code: 'store-read-only' })
      await assert.rejects(jobs.remove('mail/a'), { code: 'store-read-only' })
      assert.throws(() => jobs.work({}), { code: 'store-read-only' })
    },
  })

async function ended(jobs: Jobs, id: string): Promise<void> {
  await until(async () => (await jobs.get(id))?.state === 'done')
}
