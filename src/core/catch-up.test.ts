import { describe, expect, test } from 'vitest'
import { until } from '../conformance/store/kit.ts'
import { type MemoryLog, memoryLog, memoryStorage } from '../storage/memory/storage.ts'
import type { Recorded } from './event.ts'
import { type AnyProjection, projection } from './projection.ts'
import type { Storage } from './storage.ts'
import { openStore, type Store } from './store.ts'
import type { StoreOptions } from './store-options.ts'

type Told = {
  readonly type: 'Told'
  readonly data: { readonly text?: string; readonly to?: string; readonly n?: number }
}

interface Heard {
  readonly texts: readonly (string | number | undefined)[]
}

function heard(view: Heard | undefined, { data }: { readonly data: Told['data'] }): Heard {
  return { texts: [...(view?.texts ?? []), data.text ?? data.n] }
}

const people = projection<Told, Heard>()({
  name: 'people',
  lifecycle: 'async',
  streamTypes: ['person'],
  on: { Told: heard },
})
const topics = projection<Told, Heard>()({
  name: 'topics',
  lifecycle: 'async',
  key: ({ data }) => data.to,
  on: { Told: heard },
})
const counts = projection<Told, { count: number }>()({
  name: 'counts',
  lifecycle: 'async',
  holds: 'totals',
  key: ({ data }) => data.to,
  on: { Told: (view) => ({ count: (view?.count ?? 0) + 1 }) },
})
const projections: readonly AnyProjection[] = [people, topics, counts]

async function opened(
  log: MemoryLog,
  options: StoreOptions = {},
  change: (storage: Storage) => Partial<Storage> = () => ({}),
): Promise<Store> {
  const storage = memoryStorage({ log })
  return openStore({ ...storage, ...change(storage) }, { projections, ...options })
}

const tell = (store: Store, stream: string, data: Told['data'], count = 1) =>
  store.append(
    stream,
    Array.from({ length: count }, () => ({ type: 'Told', data })),
  )

/** What is stored of a view. */
function viewOf<View = Heard>(log: MemoryLog, name: string, key: string): View | undefined {
  const document = log.documents.get({ collection: name.includes('@') ? name : `${name}@1`, key })
  return document && (JSON.parse(document.body) as { view?: View }).view
}

async function caughtUp(store: Store, ...names: readonly string[]): Promise<void> {
  for (const name of names) await until(async () => (await store.projections.status(name)).lag === 0)
}

describe('a runner', () => {
  test('folds what is there and what comes, each view over several streams or events', async () => {
    const log = memoryLog()
    await using store = await opened(log)
    await tell(store, 'person/1', { text: 'a', to: 'x' })
    await tell(store, 'person/2', { text: 'b', to: 'x' })
    store.projections.start()
    await caughtUp(store, 'people', 'topics', 'counts')
    expect(viewOf(log, 'people', '1')).toEqual({ texts: ['a'] })
    expect(viewOf(log, 'topics', 'x')).toEqual({ texts: ['a', 'b'] })
    await tell(store, 'person/1', { text: 'c', to: 'y' })
    await until(() => viewOf(log, 'topics', 'y') !== undefined && viewOf(log, 'people', '1')?.texts.length === 2)
    expect(viewOf(log, 'people', '1')).toEqual({ texts: ['a', 'c'] })
    expect(viewOf(log, 'counts', 'x')).toEqual({ count: 2 })
  })

  test('nothing runs unless it is told to, and closing ends it', async () => {
    const log = memoryLog()
    const store = await opened(log)
    await tell(store, 'person/1', { text: 'a' })
    const runner = store.projections.start()
    await caughtUp(store, 'people')
    await store.close()
    await runner.ended
    await using other = await opened(log)
    await tell(other, 'person/1', { text: 'b' })
    expect(await other.projections.status('people')).toMatchObject({ lag: 1, checkpoint: 1 })
    expect((await other.projections.status('people')).running).toBeUndefined()
  })

  test('a batch that was split and broken off in between is in each view once', async () => {
    const log = memoryLog()
    let left = 3
    const breaking = (storage: Storage): Partial<Storage> => ({
      async commit(commits) {
        if (!commits.some(({ documents = [] }) => documents.some(({ key }) => key.collection === 'counts@1')))
          return storage.commit(commits)
        // Dies after some of the commits of a batch.
        if (left-- <= 0) throw new Error('killed')
        return storage.commit(commits.slice(0, 1)).then(() => Promise.reject(new Error('killed')))
      },
    })
    const dying = await opened(log, {}, breaking)
    await Promise.all(
      Array.from({ length: 400 }, (_, index) =>
        tell(dying, `person/${index % 3}`, { to: `t${index % 200}`, n: index }),
      ),
    )
    const runner = dying.projections.run('counts', { onTrouble: () => runner.stop() })
    await runner.ended
    const begun = Array.from({ length: 200 }, (_, index) => viewOf<{ count: number }>(log, 'counts', `t${index}`))
    expect(begun.filter((view) => view !== undefined).length).toBeGreaterThan(0)
    expect(begun.filter((view) => view !== undefined).length).toBeLessThan(200)
    await using store = await opened(log)
    store.projections.start()
    await caughtUp(store, 'counts')
    for (let index = 0; index < 200; index++) {
      expect(viewOf(log, 'counts', `t${index}`), `t${index}`).toEqual({ count: 2 })
    }
  })

  test('one at a time works on a version; another goes on once it is gone', async () => {
    const log = memoryLog()
    const first = await opened(log)
    const stuck = new AbortController()
    await tell(first, 'person/1', { text: 'a' })
    first.projections.run('people', { termMs: 200, signal: stuck.signal })
    await caughtUp(first, 'people')
    await using second = await opened(log)
    second.projections.run('people', { termMs: 200 })
    await new Promise((resolve) => setTimeout(resolve, 400))
    expect(await first.projections.status('people')).toMatchObject({ running: { here: true } })
    stuck.abort()
    await tell(second, 'person/1', { text: 'b' })
    await until(() => viewOf(log, 'people', '1')?.texts.length === 2)
    await first.close()
  })

  test('who was taken for dead writes nothing more', async () => {
    const log = memoryLog()
    let frozen: Promise<void> | undefined
    let thaw = () => {}
    const freezing = (storage: Storage): Partial<Storage> => ({
      async commit(commits) {
        if (
          commits.some(({ documents = [] }) => documents.some(({ key }) => key.collection.startsWith('$projections')))
        )
          await frozen
        return storage.commit(commits)
      },
    })
    const slow = await opened(log, {}, freezing)
    await tell(slow, 'person/1', { text: 'a' })
    slow.projections.run('people', { termMs: 150 })
    await caughtUp(slow, 'people')
    frozen = new Promise((resolve) => {
      thaw = resolve
    })
    await using quick = await opened(log)
    await tell(quick, 'person/1', { text: 'b' })
    quick.projections.run('people', { termMs: 150 })
    await until(() => viewOf(log, 'people', '1')?.texts.length === 2)
    await tell(quick, 'person/1', { text: 'c' })
    await until(() => viewOf(log, 'people', '1')?.texts.length === 3)
    frozen = undefined
    thaw()
    await new Promise((resolve) => setTimeout(resolve, 100))
    expect(viewOf(log, 'people', '1')).toEqual({ texts: ['a', 'b', 'c'] })
    await slow.close()
  })

  test('trouble is told, and it heals by itself', async () => {
    const log = memoryLog()
    let failing = false
    const flaky = (storage: Storage): Partial<Storage> => ({
      readLog: (query) =>
        failing && query.direction === 'forwards' ? Promise.reject(new Error('gone')) : storage.readLog(query),
    })
    await using store = await opened(log, {}, flaky)
    const told: unknown[] = []
    store.projections.run('people', { onTrouble: (error) => told.push(error) })
    failing = true
    await tell(store, 'person/1', { text: 'a' })
    await until(() => told.length >= 2)
    expect(await store.projections.status('people')).toMatchObject({
      trouble: { message: expect.stringContaining('gone') },
    })
    failing = false
    await until(() => viewOf(log, 'people', '1') !== undefined)
    await until(async () => (await store.projections.status('people')).trouble === undefined)
  })

  test('a log that has lost its tail, or is another one, is seen', async () => {
    const log = memoryLog()
    const store = await opened(log)
    await tell(store, 'person/1', { text: 'a' }, 3)
    store.projections.start()
    await caughtUp(store, 'people')
    await store.close()
    const lost = { ...memoryLog(), documents: log.documents, id: log.id }
    await using shorter = await opened(lost)
    await tell(shorter, 'person/1', { text: 'a' })
    await expect(shorter.projections.run('people').ended).rejects.toMatchObject({ code: 'position-beyond-head' })
    await using foreign = await opened({ ...log, id: 'another' })
    await expect(foreign.projections.run('people').ended).rejects.toMatchObject({ code: 'foreign-log' })
  })

  test('paused it folds nothing, from the next commit on; resumed it goes on', async () => {
    const log = memoryLog()
    await using store = await opened(log)
    await using other = await opened(log)
    store.projections.run('people')
    await tell(store, 'person/1', { text: 'a' })
    await caughtUp(store, 'people')
    await other.projections.pause('people')
    await tell(store, 'person/1', { text: 'b' })
    await new Promise((resolve) => setTimeout(resolve, 100))
    expect(viewOf(log, 'people', '1')).toEqual({ texts: ['a'] })
    expect(await store.projections.status('people')).toMatchObject({ paused: true, lag: 1 })
    await store.projections.resume('people')
    await until(() => viewOf(log, 'people', '1')?.texts.length === 2)
  })
})

describe('a failing handler', () => {
  const picky = (refuses: (event: Recorded) => boolean): AnyProjection => ({
    name: 'picky',
    lifecycle: 'async',
    streamTypes: ['person'],
    on: {
      Told: (view: never, event: never) => {
        if (refuses(event)) throw new Error('no such thing')
        return heard(view, event)
      },
    },
  })

  test('parks its entity after some tries; the others go on, and after a fix it is replayed in order', async () => {
    const log = memoryLog()
    let tries = 0
    const bad = (event: Recorded) => {
      const refused = (event.data as Told['data']).text === 'bad'
      if (refused) tries++
      return refused
    }
    const store = await opened(log, { projections: [picky(bad)] })
    const runner = store.projections.start()
    await tell(store, 'person/1', { text: 'a' })
    await tell(store, 'person/1', { text: 'bad' })
    await tell(store, 'person/1', { text: 'c' })
    await tell(store, 'person/2', { text: 'd' })
    await until(async () => (await store.projections.status('picky')).parked === 1)
    expect(tries).toBeGreaterThanOrEqual(3)
    await tell(store, 'person/1', { text: 'e' })
    await tell(store, 'person/2', { text: 'f' })
    await until(() => viewOf(log, 'picky', '2')?.texts.length === 2)
    expect(viewOf(log, 'picky', '1')).toEqual({ texts: ['a'] })
    const { parked } = await store.projections.parked('picky')
    expect(parked).toMatchObject([
      {
        key: '1',
        stream: 'person/1',
        revision: 2,
        type: 'Told',
        tries: 3,
        failure: { message: 'no such thing' },
        waiting: 2,
      },
    ])
    expect(await store.projections.replayParked('picky')).toEqual({ replayed: 0, parked: 1 })
    await runner.stop()
    await store.close()
    await using mended = await opened(log, { projections: [picky(() => false)] })
    mended.projections.start()
    expect(await mended.projections.replayParked('picky', { key: '1' })).toEqual({ replayed: 1, parked: 0 })
    await tell(mended, 'person/1', { text: 'g' })
    await until(() => viewOf(log, 'picky', '1')?.texts.length === 5)
    expect(viewOf(log, 'picky', '1')).toEqual({ texts: ['a', 'bad', 'c', 'e', 'g'] })
    expect((await mended.projections.parked('picky')).parked).toEqual([])
  })

  test('what it makes that no document can hold parks the entity too', async () => {
    const log = memoryLog()
    const large: AnyProjection = {
      name: 'large',
      lifecycle: 'async',
      streamTypes: ['person'],
      on: { Told: (_: never, event: never) => ({ text: 'x'.repeat((event as Told).data.n ?? 0) }) },
    }
    await using store = await opened(log, { projections: [large] })
    store.projections.start()
    await tell(store, 'person/1', { n: 300_000 })
    await tell(store, 'person/2', { n: 3 })
    await until(() => viewOf(log, 'large', '2') !== undefined)
    const { parked } = await store.projections.parked('large')
    expect(parked).toMatchObject([{ key: '1', failure: { code: 'limit-exceeded' } }])
  })

  test('a value that is taken parks who wants it; one that was given back meanwhile is free', async () => {
    const log = memoryLog()
    const named: AnyProjection = {
      name: 'named',
      lifecycle: 'async',
      streamTypes: ['person'],
      indexes: [{ name: 'text', equals: ['text'], unique: true }],
      on: { Told: (_: never, event: never) => ({ text: (event as Told).data.text }) },
    }
    await using store = await opened(log, { projections: [named] })
    await tell(store, 'person/1', { text: 'x' })
    await tell(store, 'person/2', { text: 'y' })
    await tell(store, 'person/1', { text: 'z' })
    await tell(store, 'person/2', { text: 'x' })
    await tell(store, 'person/1', { text: 'y' })
    await tell(store, 'person/3', { text: 'y' })
    await tell(store, 'person/4', { text: 'w' })
    store.projections.start()
    await caughtUp(store, 'named')
    expect([1, 2, 3, 4].map((key) => viewOf(log, 'named', String(key)))).toEqual([
      { text: 'y' },
      { text: 'x' },
      undefined,
      { text: 'w' },
    ])
    expect((await store.projections.parked('named')).parked).toMatchObject([{ key: '3' }])
  })
})

describe('forgetting', () => {
  test('takes the views of the stream away, and makes joined ones anew from the streams that remain', async () => {
    const log = memoryLog()
    await using store = await opened(log)
    store.projections.start()
    await tell(store, 'person/1', { text: 'a', to: 'x' })
    await tell(store, 'person/2', { text: 'b', to: 'x' })
    await tell(store, 'person/1', { text: 'c', to: 'y' })
    await caughtUp(store, 'people', 'topics', 'counts')
    await store.forget('person/1', { reasonCode: 'asked' })
    await caughtUp(store, 'people', 'topics', 'counts')
    await until(() => viewOf(log, 'topics', 'x')?.texts.length === 1)
    expect(viewOf(log, 'people', '1')).toBeUndefined()
    expect(viewOf(log, 'topics', 'x')).toEqual({ texts: ['b'] })
    expect(viewOf(log, 'topics', 'y')).toBeUndefined()
    expect(viewOf(log, 'counts', 'x')).toEqual({ count: 2 })
    await tell(store, 'person/2', { text: 'd', to: 'x' })
    await until(() => viewOf(log, 'topics', 'x')?.texts.length === 2)
  })

  test('a runner tells of each view that it folds what it took, with the last event in it', async () => {
    const log = memoryLog()
    await using store = await opened(log)
    await tell(store, 'person/1', { text: 'a' }, 3)
    await tell(store, 'person/2', { text: 'b' })
    const told: (readonly [string, string, string, number])[] = []
    store.projections.run('people', {
      onFolded({ projection, version, key, stream, revision, ms }) {
        expect([version, ms >= 0]).toEqual([1, true])
        told.push([projection, key, stream, revision])
      },
    })
    await caughtUp(store, 'people')
    await tell(store, 'person/1', { text: 'c' })
    await caughtUp(store, 'people')
    expect(told).toEqual([
      ['people', '1', 'person/1', 3],
      ['people', '2', 'person/2', 1],
      ['people', '1', 'person/1', 4],
    ])
  })

  test('what a runner has read of the stream before is not written after it', async () => {
    const log = memoryLog()
    let held: Promise<void> | undefined
    let release = () => {}
    let waiting = false
    const holding = (storage: Storage): Partial<Storage> => ({
      async commit(commits) {
        if (commits.some(({ documents = [] }) => documents.some(({ key }) => key.collection === 'people@1'))) {
          waiting = true
          await held
        }
        return storage.commit(commits)
      },
    })
    await using slow = await opened(log, {}, holding)
    held = new Promise((resolve) => {
      release = resolve
    })
    await tell(slow, 'person/1', { text: 'secret' })
    await tell(slow, 'person/2', { text: 'b' })
    slow.projections.run('people')
    await until(() => waiting)
    await using other = await opened(log)
    await other.forget('person/1', { reasonCode: 'asked' })
    release()
    await until(() => viewOf(log, 'people', '2') !== undefined)
    expect(viewOf(log, 'people', '1')).toBeUndefined()
    await caughtUp(slow, 'people')
    expect(viewOf(log, 'people', '1')).toBeUndefined()
  })
})
