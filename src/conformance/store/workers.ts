/** Who works on a job: one worker as long as he lives, another once he has died. */
import assert from 'node:assert/strict'
import { cases, range } from '../kit.ts'
import { collect, mortal, type OpenStore, until } from './kit.ts'

const termMs = 1_000

export const takingOver = (open: OpenStore) =>
  cases(open, {
    'However many work, each job is done once, and what it appends is there once': async (open) => {
      const stores = [await open(), await open(), await open()]
      const [store] = stores
      assert.ok(store)
      const keys = range(1, 60).map(String)
      await Promise.all(keys.map((key) => store.jobs.add('count', { key })))
      for (const { jobs } of stores) {
        jobs.work(
          { count: async ({ job }) => ({ appends: [{ stream: 'counter/1', events: [{ type: job.key }] }] }) },
          { parallel: 7 },
        )
      }
      await until(async () => (await store.jobs.list({ kind: 'count', state: 'done' })).jobs.length === keys.length)
      const types = (await collect(store.read('counter/1'))).map(({ type }) => Number(type))
      assert.deepEqual(
        types.toSorted((a, b) => a - b),
        range(1, 60),
      )
    },

    'A job whose worker has died is taken over after the term, and what the dead one ends later counts for nothing':
      async (open) => {
        const dying = mortal()
        const dead = await open(dying.options)
        const store = await open()
        let finish = () => {}
        const stuck = new Promise<void>((resolve) => {
          finish = resolve
        })
        let lost = false
        const handler = (name: string, wait: Promise<void>) => async () => {
          await wait
          return { appends: [{ stream: 'counter/1', events: [{ type: name }] }] }
        }
        dead.jobs.work(
          {
            count: async ({ signal }) => {
              signal.addEventListener('abort', () => {
                lost = true
              })
              return handler('Dead', stuck)()
            },
          },
          { termMs },
        )
        await dead.jobs.add('count', { key: 'a' })
        await until(async () => (await store.jobs.get('count/a'))?.state === 'running')
        dying.die()
        store.jobs.work({ count: handler('Alive', Promise.resolve()) }, { termMs })
        await until(async () => (await store.jobs.get('count/a'))?.state === 'done')
        // A slow machine may have taken the lease of its worker away before, and given it back.
        assert.ok(((await store.jobs.get('count/a'))?.tries ?? 0) >= 2)
        dying.revive()
        finish()
        await until(() => lost)
        await dead.close()
        assert.deepEqual(
          (await collect(store.read('counter/1'))).map(({ type }) => type),
          ['Alive'],
        )
      },

    'A job is left to its worker well beyond the term, as long as he lives': async (open) => {
      // Who does not get to his heartbeat for a whole term, as on a machine that stands still, counts as dead.
      for (const term of [termMs, 5 * termMs, 20 * termMs]) {
        const [worker, other] = [await open(), await open()]
        const kind = `long-${term}`
        const release = new AbortController()
        worker.jobs.work({ [kind]: () => aborted(release.signal) }, { termMs: term })
        await worker.jobs.add(kind, { key: 'a' })
        const holder = async () => (await other.jobs.get(`${kind}/a`))?.held?.owner
        await until(async () => (await holder()) !== undefined)
        const owner = await holder()
        other.jobs.work({ [kind]: async () => {} }, { termMs: term })
        await new Promise((resolve) => setTimeout(resolve, 2.5 * term))
        const left = (await holder()) === owner
        release.abort()
        await Promise.all([worker.close(), other.close()])
        if (left) return
      }
      assert.fail('the job was taken from a worker that lived')
    },

    'A job that takes its worker down each time is parked in the end': async (open) => {
      const dying = mortal()
      const dead = await open(dying.options)
      const store = await open()
      dead.jobs.work(
        {
          crash: ({ signal }) => {
            dying.die()
            return aborted(signal)
          },
        },
        { termMs },
      )
      await store.jobs.add('crash', { key: 'a', tries: 1 })
      await until(async () => (await store.jobs.get('crash/a'))?.state === 'running')
      store.jobs.work({ crash: async () => {} }, { termMs })
      await until(async () => (await store.jobs.get('crash/a'))?.state === 'parked')
      assert.match((await store.jobs.get('crash/a'))?.error?.message ?? '', /worker was gone/)
    },
  })

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
}
