/** Live views of long streams: what their snapshots spare, and that they lose and double nothing. */
import assert from 'node:assert/strict'
import type { EventOf } from '../../core/event.ts'
import { projection } from '../../core/projection.ts'
import type { Store } from '../../core/store.ts'
import { cases, range } from '../kit.ts'
import { type OpenStore, until } from './kit.ts'

type UserEvent = EventOf<{ Seen: { in: string }; Left: null }>

const lateness = 60_000

/** Counts what it folds. */
function journey(more: { readonly latenessMs?: number; readonly version?: number } = {}, every = 5) {
  const folded = { events: 0 }
  const view = projection<UserEvent, { places: string[] }>()({
    name: 'journey',
    lifecycle: 'live',
    streamTypes: ['user'],
    on: {
      Seen(view, { data }) {
        folded.events++
        return { places: [...(view?.places ?? []), data.in] }
      },
      Left: () => undefined,
    },
    snapshot: { every },
    ...more,
  })
  const get = async (store: Store, id = '1') => {
    folded.events = 0
    const found = await store.views.get(view, id)
    return [found?.places.join(' '), folded.events]
  }
  return { view, get }
}

const seen = (places: string, occurredAt?: number) =>
  [...places].map((place) => ({
    type: 'Seen',
    data: { in: place },
    ...(occurredAt !== undefined && { meta: { occurredAt: new Date(occurredAt).toISOString() } }),
  }))

const taken = async (store: Store) =>
  (await store.snapshots.list({ decider: 'journey' })).snapshots.map(({ revision, version }) => [version, revision])

export const liveSnapshotting = (open: OpenStore) =>
  cases(open, {
    'A live view that was dear to read has a snapshot taken, and is read from it': async (open) => {
      const { view, get } = journey()
      const store = await open({ projections: [view] })
      await store.append('user/1', seen('abc'))
      assert.deepEqual(await get(store), ['a b c', 3])
      await store.append('user/1', [{ type: 'Other' }, ...seen('de')])
      assert.deepEqual(await get(store), ['a b c d e', 5])
      store.jobs.work({})
      await until(async () => (await taken(store)).length === 1)
      assert.deepEqual(await taken(store), [[1, 6]])
      assert.deepEqual(await get(store), ['a b c d e', 0])
      await store.append('user/1', seen('f'))
      assert.deepEqual(await get(await open({ projections: [view], readOnly: true })), ['a b c d e f', 1])
      assert.deepEqual((await store.views.get(view, '1', { at: 3 }))?.places, ['a', 'b', 'c'])
      await store.append('user/1', [{ type: 'Left' }])
      assert.deepEqual(await get(store), [undefined, 1])
      assert.equal((await store.snapshots.take('journey', 'user/1')).revision, 8)
      assert.deepEqual(await get(store), [undefined, 0])
      const second = journey({ version: 2 })
      assert.deepEqual(await second.get(await open({ projections: [second.view] })), [undefined, 6])
      assert.deepEqual(await get(store, 'nobody'), [undefined, 0])
    },

    'Forgetting a stream takes the snapshots of its view along': async (open) => {
      const { view, get } = journey()
      const store = await open({ projections: [view] })
      await store.append('user/1', seen('abc'))
      await store.snapshots.take('journey', 'user/1')
      await store.forget('user/1', { reasonCode: 'asked', tombstone: { type: 'Left' } })
      assert.deepEqual(await get(store), [undefined, 0])
      await until(async () => (await taken(store)).length === 0)
    },

    'By event time only what is settled is kept, and an event of a lower revision and a younger time is not lost':
      async (open) => {
        let now = 10 * lateness
        const { view, get } = journey({ latenessMs: lateness })
        const store = await open({ projections: [view], clock: () => now })
        // Its producer's clock is ahead of the next one's: the revision is lower, the time younger.
        await store.append('user/1', seen('b', now))
        now += 10
        await store.append('user/1', seen('a', now - lateness + 20))
        assert.deepEqual(await get(store), ['a b', 2])
        await assert.rejects(store.snapshots.take('journey', 'user/1'), { code: 'invalid-argument', path: 'stream' })
        assert.deepEqual(await store.snapshots.takeAll('journey', 'user'), { streams: 1, taken: 0 })
        now += lateness - 1
        await store.append('user/1', seen('d'))
        // The first event is still as young as what may come.
        assert.deepEqual(await taken(store), [])
        now += lateness / 2
        await store.append('user/1', seen('c', now - lateness / 2 - 10))
        await store.snapshots.take('journey', 'user/1')
        assert.deepEqual(await taken(store), [[1, 2]])
        assert.deepEqual(await get(store), ['a b c d', 2])
        now += 2 * lateness
        await store.append('user/1', seen('e'))
        await store.append('user/1', seen('x', now - 3 * lateness))
        await store.snapshots.take('journey', 'user/1')
        assert.deepEqual(await taken(store), [[1, 4]])
        assert.deepEqual(await get(store), ['a b c d e x', 2])
        assert.deepEqual((await store.views.get(view, '1', { at: 3 }))?.places, ['a', 'b', 'd'])
      },

    'What the clock has settled is kept without a younger event; one recorded by a clock that was behind is not lost':
      async (open) => {
        const begun = 10 * lateness
        let now = begun
        const { view, get } = journey({ latenessMs: lateness })
        const store = await open({ projections: [view], clock: () => now })
        await store.append('user/1', seen('bc'))
        now = begun + lateness
        await assert.rejects(store.snapshots.take('journey', 'user/1'), { code: 'invalid-argument', path: 'stream' })
        now++
        assert.equal((await store.snapshots.take('journey', 'user/1')).revision, 2)
        assert.deepEqual(await get(store), ['b c', 0])
        now = begun + 5
        await store.append('user/1', seen('a', begun - 5))
        now = begun + lateness + 10
        assert.equal((await get(store))[0], 'a b c')
        assert.equal((await store.snapshots.take('journey', 'user/1')).revision, 3)
        assert.deepEqual(await get(store), ['a b c', 0])
      },

    'Read and kept at any moment, it is what all its events make': async (open) => {
      let now = 10 * lateness
      const { view, get } = journey({ latenessMs: lateness })
      const store = await open({ projections: [view], clock: () => now })
      // Differences and ages that put events before, within and behind what is settled.
      for (const step of range(0, 24)) {
        now += ((step * 7) % 5) * (lateness / 4)
        await store.append('user/1', seen(String.fromCharCode(97 + step), now - ((step * 11) % 7) * (lateness / 5)))
        if (step % 3 === 0) await store.snapshots.takeAll('journey', 'user')
        const [places] = await get(store)
        const whole = await store.views.get(view, '1', { at: step + 1 })
        assert.equal(places, whole?.places.join(' '))
        assert.equal(whole?.places.length, step + 1)
      }
    },

    'Snapshots are for live views of one stream': async (open) => {
      const { view } = journey()
      const wrong = [{ lifecycle: 'async' }, { key: () => 'x' }, { streamTypes: ['user', 'cart'] }] as const
      for (const more of wrong) {
        await assert.rejects(open({ projections: [{ ...view, ...more }] }), {
          code: 'invalid-argument',
          path: 'projection "journey", snapshot',
        })
      }
      await assert.rejects(open({ projections: [{ ...view, snapshot: { every: 0 } }] }), { code: 'invalid-argument' })
    },
  })
