/** Snapshots: what they spare, when they hold, who takes them. */
import assert from 'node:assert/strict'
import type { Decider, Fold, LoadOptions } from '../../core/decider.ts'
import type { AnyEvent, EventOf } from '../../core/event.ts'
import type { Snapshotting } from '../../core/snapshots.ts'
import type { Store } from '../../core/store.ts'
import { cases, range } from '../kit.ts'
import { type OpenStore, until } from './kit.ts'

type CounterEvent = EventOf<{ Added: { by: number } }>
interface Counter {
  readonly sum: number
  readonly last: string | null
}

/** Counts what it folds. */
function counter(snapshot: Partial<NonNullable<Snapshotting['snapshot']>> = {}) {
  const folded = { events: 0 }
  const decider: Decider<number, CounterEvent, Counter> = {
    initialState: () => ({ sum: 0, last: null }),
    evolve(state, { data }) {
      folded.events++
      return { sum: state.sum + data.by, last: `by ${data.by}` }
    },
    decide: (by) => [{ type: 'Added', data: { by } }],
    snapshot: { name: 'counter', version: 1, ...snapshot },
  }
  const load = async (store: Store, options: LoadOptions = {}) => {
    folded.events = 0
    const { state, revision } = await store.load('counter/1', decider, options)
    return [state.sum, revision, folded.events]
  }
  return { ...decider, folded, load }
}

const add = (store: Store, numbers: readonly number[], stream = 'counter/1') =>
  store.append(
    stream,
    numbers.map((by) => ({ type: 'Added', data: { by } })),
  )

export const snapshotting = (open: OpenStore) =>
  cases(open, {
    'A load begins at the snapshot, and folds what has come since; without one it folds all': async (open) => {
      const store = await open()
      const decider = counter()
      await add(store, range(1, 10))
      assert.deepEqual(await decider.load(store), [55, 10, 10])
      const snapshot = await store.snapshots.take(decider, 'counter/1')
      const { time, bytes, ...facts } = snapshot
      assert.deepEqual(facts, { decider: 'counter', version: 1, stream: 'counter/1', revision: 10 })
      assert.equal(time, (await store.details('counter/1'))?.updatedAt)
      assert.ok(bytes > 100)
      assert.deepEqual(await decider.load(store), [55, 10, 0])
      await add(store, [100])
      for (const each of [store, await open(), await open({ readOnly: true })]) {
        assert.deepEqual(await decider.load(each), [155, 11, 1])
      }
      assert.equal((await store.snapshots.take(decider, 'counter/1')).revision, 11)
      assert.deepEqual(await store.snapshots.take(decider, 'counter/1'), {
        ...(await store.snapshots.list({ stream: 'counter/1' })).snapshots[0],
      })
      const executed = await store.execute(decider, 'counter/1', 1_000)
      assert.deepEqual([executed.state, executed.revision], [{ sum: 1_155, last: 'by 1000' }, 12])
    },

    'A load of what was takes a snapshot of then or before, and none of later': async (open) => {
      let now = 1_000
      const store = await open({ clock: () => now })
      const decider = counter()
      for (now of [1_000, 2_000, 3_000]) await add(store, [1, 2])
      await store.snapshots.take(decider, 'counter/1')
      now = 4_000
      await add(store, [10])
      assert.deepEqual(await decider.load(store, { at: 7 }), [19, 7, 1])
      assert.deepEqual(await decider.load(store, { at: 6 }), [9, 6, 0])
      assert.deepEqual(await decider.load(store, { at: 5 }), [7, 5, 5])
      assert.deepEqual(await decider.load(store, { at: 0 }), [0, 0, 0])
      assert.deepEqual(await decider.load(store, { at: new Date(3_999) }), [9, 6, 0])
      assert.deepEqual(await decider.load(store, { at: new Date(2_999) }), [6, 4, 4])
      await assert.rejects(decider.load(store, { at: -1 }), { code: 'invalid-argument' })
    },

    'A long tail is folded whole': async (open) => {
      const store = await open()
      const decider = counter()
      await add(store, [5])
      await store.snapshots.take(decider, 'counter/1')
      for (const _ of range(1, 2)) await add(store, range(1, 1_000))
      assert.deepEqual(await decider.load(store), [1_001_005, 2_001, 2_000])
    },

    'Each version of a decider has snapshots of its own': async (open) => {
      const store = await open()
      const [first, second] = [counter(), counter({ version: 2 })]
      await add(store, [1, 2, 3])
      await store.snapshots.take(first, 'counter/1')
      assert.deepEqual(await second.load(store), [6, 3, 3])
      await store.snapshots.take(second, 'counter/1')
      for (const decider of [first, second]) assert.deepEqual(await decider.load(store), [6, 3, 0])
      assert.deepEqual(await counter({ name: 'other' }).load(store), [6, 3, 3])
    },

    'A state that JSON would change is refused with its place, and nothing is kept': async (open) => {
      const store = await open()
      await add(store, [1])
      const keep = async (state: unknown) =>
        store.snapshots.take(
          { initialState: () => 0, evolve: () => state, snapshot: { name: 'odd', version: 1 } },
          'counter/1',
        )
      const bare: object = Object.create(null)
      const table: readonly (readonly [string, unknown])[] = [
        ['state', undefined],
        ['state', new Map()],
        ['state.at', { at: new Date(0) }],
        ['state.left', { left: undefined, right: 1 }],
        ['state.list[1].sum', { list: [0, { sum: Number.NaN }] }],
        ['state.sum', { sum: -0 }],
        ['state[1]', [1, undefined]],
        ['state.run', { run: () => 1 }],
        ['state', { [Symbol('mine')]: 1 }],
        ['state.by', { by: bare }],
      ]
      for (const [path, state] of table) await assert.rejects(keep(state), { code: 'invalid-argument', path })
      await assert.rejects(keep({ text: 'x'.repeat(300_000) }), { code: 'limit-exceeded' })
      assert.deepEqual((await store.snapshots.list({ decider: 'odd' })).snapshots, [])
      await keep({ b: [null, 'ä', { a: 0.1 }], a: {}, 7: true })
    },

    'The order of keys comes back with a state': async (open) => {
      const store = await open()
      const decider: Fold<CounterEvent, object> = {
        initialState: () => ({}),
        evolve: (state, { data }) => ({ ...state, [`key ${data.by}`]: 1 }),
        snapshot: { name: 'ordered', version: 1 },
      }
      await add(store, [3, 1, 2])
      await store.snapshots.take(decider, 'counter/1')
      const { state } = await store.load('counter/1', decider)
      assert.deepEqual(Object.keys(state), ['key 3', 'key 1', 'key 2'])
    },

    'A load that was dear has a snapshot taken by whoever works for the decider': async (open) => {
      const decider = counter({ every: 5 })
      const store = await open()
      await add(store, [1, 2, 3, 4])
      await decider.load(store)
      await add(store, [5])
      await decider.load(store)
      const kind = '$snapshot.counter'
      await until(async () => (await store.jobs.list({ kind })).jobs.length === 1)
      assert.deepEqual((await store.snapshots.list({ decider: 'counter' })).snapshots, [])
      const stranger = await open()
      stranger.jobs.work({})
      const worker = await open({ deciders: [decider] })
      worker.jobs.work({})
      await until(async () => (await store.jobs.list({ kind, state: 'done' })).jobs.length === 1)
      assert.deepEqual(await decider.load(store), [15, 5, 0])
      // Another load asks again.
      const other = await open()
      await add(store, range(1, 5))
      await decider.load(other)
      await until(async () => (await store.snapshots.list({ decider: 'counter' })).snapshots[0]?.revision === 10)
      assert.deepEqual(await decider.load(store), [30, 10, 0])
    },

    'So has one that was slow; one of what was has not': async (open) => {
      const decider = counter({ slowerMs: 1e-9 })
      const store = await open({ deciders: [decider] })
      await add(store, [1, 2])
      await decider.load(store, { at: 2 })
      await counter({ slowerMs: 1e9, every: 3 }).load(store)
      assert.deepEqual((await store.jobs.list()).jobs, [])
      await decider.load(store)
      store.jobs.work({})
      await until(async () => (await store.snapshots.list({ decider: 'counter' })).snapshots[0]?.revision === 2)
    },

    'Snapshots of a whole stream type are taken where it has come on': async (open) => {
      const decider = counter({ every: 3 })
      const store = await open({ deciders: [decider] })
      for (const id of range(1, 4)) await add(store, range(1, id), `counter/${id}`)
      await add(store, range(1, 9), 'other/1')
      await store.forget('counter/4', { reasonCode: 'asked' })
      await until(async () => (await store.streamsPage('counter')).streams.length === 4)
      assert.deepEqual(await store.snapshots.takeAll('counter', 'counter'), { streams: 3, taken: 1 })
      await add(store, [1, 2], 'counter/3')
      assert.deepEqual(await store.snapshots.takeAll(decider, 'counter'), { streams: 3, taken: 0 })
      await add(store, [3], 'counter/3')
      await until(async () => (await store.snapshots.takeAll(decider, 'counter')).taken === 1)
      assert.equal((await store.snapshots.list({ stream: 'counter/3' })).snapshots[0]?.revision, 6)
    },

    'Forgetting a stream deletes its snapshots, and whoever takes one meanwhile leaves none behind': async (open) => {
      const stores = [await open(), await open()]
      const [store = assert.fail()] = stores
      const decider = counter()
      await add(store, [1, 2, 3])
      await store.snapshots.take(decider, 'counter/1')
      const takers = range(1, 6).map((index) =>
        (stores[index % 2] ?? store).snapshots.take(counter({ version: index }), 'counter/1').then(
          () => undefined,
          (error) => assert.equal(error.code, 'stream-forgotten'),
        ),
      )
      await store.forget('counter/1', { reasonCode: 'asked' })
      await Promise.all(takers)
      await until(async () => (await store.snapshots.list({ stream: 'counter/1' })).snapshots.length === 0)
      await assert.rejects(store.snapshots.take(decider, 'counter/1'), { code: 'stream-forgotten' })
      const types: Fold<AnyEvent, string> = {
        initialState: () => '',
        evolve: (_, { type }) => type,
        snapshot: { name: 'counter', version: 1 },
      }
      const { state, revision } = await store.load('counter/1', types)
      assert.deepEqual([state, revision], ['$forgotten', 4])
    },

    'Many who take the same one all have it': async (open) => {
      const stores = [await open(), await open()]
      const [store = assert.fail()] = stores
      await add(store, [1, 2, 3])
      const takers = range(1, 6).map((index) => (stores[index % 2] ?? store).snapshots.take(counter(), 'counter/1'))
      assert.deepEqual(new Set((await Promise.all(takers)).map(({ revision }) => revision)), new Set([3]))
      assert.deepEqual(await counter().load(store), [6, 3, 0])
    },

    'A type whose old events come up in another way makes older snapshots stale': async (open) => {
      const store = await open()
      const decider = counter()
      await add(store, [1, 2])
      const schema = { type: 'object', properties: { by: { type: 'integer' } }, required: ['by'] }
      await store.eventTypes.declare({ type: 'Added', version: 1, schema })
      await store.snapshots.take(decider, 'counter/1')
      await store.eventTypes.declare({ type: 'Other', version: 1, schema: true })
      assert.deepEqual(await decider.load(store), [3, 2, 0])
      const upcast = [{ remove: '/by' }, { default: '/by', value: 10 }]
      await store.eventTypes.declare({ type: 'Added', version: 2, schema, upcast })
      assert.deepEqual(await decider.load(store), [20, 2, 2])
      await store.snapshots.take(decider, 'counter/1')
      assert.deepEqual(await decider.load(store), [20, 2, 0])
    },

    'Snapshots are listed by stream and by decider, in pages, and dropped one by one or all of a version': async (
      open,
    ) => {
      const store = await open()
      for (const id of range(1, 5)) await add(store, [id], `counter/${id}`)
      for (const version of [1, 2]) {
        for (const id of range(1, 5)) await store.snapshots.take(counter({ version }), `counter/${id}`)
      }
      await store.snapshots.take(counter({ name: 'other' }), 'counter/1')
      const listed = async (options: object) => {
        const { snapshots } = await store.snapshots.list({ decider: 'counter', ...options })
        return snapshots.map(({ decider, version, stream }) => `${decider} ${version} ${stream}`).sort()
      }
      const all = [1, 2].flatMap((version) => range(1, 5).map((id) => `counter ${version} counter/${id}`))
      await until(async () => (await listed({})).length === 10)
      assert.deepEqual(await listed({}), all)
      const { snapshots: ofStream } = await store.snapshots.list({ stream: 'counter/1' })
      assert.equal(ofStream.length, 3)
      assert.deepEqual(await listed({ stream: 'counter/1' }), ['counter 1 counter/1', 'counter 2 counter/1'])
      const first = await store.snapshots.list({ decider: 'counter', limit: 7 })
      const rest = await store.snapshots.list({ decider: 'counter', limit: 7, cursor: first.next ?? assert.fail() })
      assert.deepEqual([first.snapshots.length, rest.snapshots.length, rest.next], [7, 3, undefined])
      for (const other of [{ cursor: 'nowhere' }, { stream: 'counter/1', cursor: first.next }]) {
        await assert.rejects(listed(other), { code: 'invalid-argument', path: 'cursor' })
      }

      const one = { decider: 'counter', version: 2, stream: 'counter/3' }
      assert.deepEqual(await store.snapshots.drop(one), { dropped: 1 })
      assert.deepEqual(await store.snapshots.drop(one), { dropped: 0 })
      assert.deepEqual(await store.snapshots.drop({ decider: 'counter', version: 1 }), { dropped: 5 })
      assert.deepEqual(await store.snapshots.drop({ decider: 'counter', stream: 'counter/1' }), { dropped: 1 })
      await until(async () => (await listed({})).length === 3)
      assert.deepEqual(await store.snapshots.drop({ decider: 'counter' }), { dropped: 3 })
      assert.deepEqual(await counter({ version: 2 }).load(store), [1, 1, 1])
      assert.deepEqual(await counter({ name: 'other' }).load(store), [1, 1, 0])
    },

    'What cannot be taken, listed or dropped is told': async (open) => {
      const store = await open({ deciders: [counter()] })
      const { snapshots } = store
      const refused = (path: string) => ({ code: 'invalid-argument', path })
      await assert.rejects(snapshots.take('counter', 'counter/1'), { code: 'stream-not-found', stream: 'counter/1' })
      await assert.rejects(snapshots.take('unknown', 'counter/1'), refused('decider'))
      const bare = { initialState: () => 0, evolve: () => 0 }
      await assert.rejects(snapshots.take(bare, 'counter/1'), refused('decider.snapshot'))
      await assert.rejects(snapshots.take('counter', 'counter'), refused('stream'))
      await assert.rejects(snapshots.takeAll('counter', 'a/b'), refused('stream type'))
      await assert.rejects(snapshots.list({}), refused('options'))
      await assert.rejects(snapshots.list({ decider: 'counter', limit: 0 }), refused('limit'))
      for (const policy of [{ name: 'a b' }, { version: 0 }, { every: 0 }, { slowerMs: 0 }]) {
        const [field] = Object.keys(policy)
        await assert.rejects(store.load('counter/1', counter(policy)), refused(`fold.snapshot.${field}`))
      }
      await assert.rejects(
        open({ deciders: [counter(), counter({ version: 2 })] }),
        refused('deciders[1].snapshot.name'),
      )
      const reader = await open({ readOnly: true })
      await assert.rejects(reader.snapshots.take(counter(), 'counter/1'), { code: 'store-read-only' })
      await assert.rejects(reader.snapshots.drop({ decider: 'counter' }), { code: 'store-read-only' })
    },
  })
