import { describe, expect, test } from 'vitest'
import { until } from '../conformance/store/kit.ts'
import { type MemoryLog, memoryLog, memoryStorage } from '../storage/memory/storage.ts'
import { type AnyProjection, projection } from './projection.ts'
import type { BuildProgress } from './projection-status.ts'
import type { Storage } from './storage.ts'
import { openStore, type Store, type StoreOptions } from './store.ts'

type Told = { readonly type: 'Told'; readonly data: { readonly text: string; readonly to: string } }

const texts = (version: number, made: (text: string) => string = (text) => text): AnyProjection =>
  projection<Told, { texts: readonly string[] }>()({
    name: 'topics',
    version,
    lifecycle: 'async',
    key: ({ data }) => data.to,
    indexes: [{ name: 'first', equals: ['texts.0'] }],
    on: { Told: (view, { data }) => ({ texts: [...(view?.texts ?? []), made(data.text)] }) },
  })
const first = texts(1)
const second = texts(2, (text) => text.toUpperCase())

function opened(
  log: MemoryLog,
  projections: readonly AnyProjection[],
  { change = () => ({}), ...options }: StoreOptions & { change?: (storage: Storage) => Partial<Storage> } = {},
): Promise<Store> {
  const storage = memoryStorage({ log })
  return openStore({ ...storage, ...change(storage) }, { projections, ...options })
}

async function fill(store: Store, count = 20): Promise<void> {
  for (let index = 0; index < count; index++) {
    await store.append(`person/${index % 3}`, [{ type: 'Told', data: { text: `t${index}`, to: `k${index % 7}` } }])
  }
}

function viewsOf(log: MemoryLog, version: number): Record<string, unknown> {
  return Object.fromEntries(
    Array.from({ length: 8 }, (_, index) => {
      const document = log.documents.get({ collection: `topics@${version}`, key: `k${index}` })
      return [`k${index}`, document && (JSON.parse(document.body) as { view?: unknown }).view]
    }),
  )
}

/** As one process that nothing happens to folds it. */
async function fresh(log: MemoryLog, definition: AnyProjection): Promise<Record<string, unknown>> {
  const copy = { ...memoryLog(), rows: log.rows, streams: log.streams, ids: log.ids, id: log.id }
  await using store = await opened(copy, [definition])
  await store.projections.rebuild('topics')
  return viewsOf(copy, definition.version ?? 1)
}

const caughtUp = (store: Store) => until(async () => (await store.projections.status('topics')).lag === 0)

describe('a new version', () => {
  test('is built beside the one that is read, switched to in one step, and back again', async () => {
    const log = memoryLog()
    const old = await opened(log, [first])
    await fill(old)
    old.projections.start()
    await caughtUp(old)
    await using store = await opened(log, [first, second])
    store.projections.start()
    expect(await store.projections.status('topics')).toMatchObject({ version: 1, state: 'active', reads: 1 })
    expect(viewsOf(log, 2)['k1']).toBeUndefined()
    const progress: BuildProgress[] = []
    const built = await store.projections.rebuild('topics', {
      switch: 'by-hand',
      onProgress: (to) => progress.push(to),
    })
    expect(built).toMatchObject({ version: 1, reads: 1 })
    expect(built.versions).toMatchObject([
      { version: 1, state: 'active', whole: true },
      { version: 2, state: 'dual', whole: true },
    ])
    expect(progress.at(-1)).toMatchObject({ version: 2, position: 20, of: 20 })
    await store.append('person/1', [{ type: 'Told', data: { text: 'new', to: 'k1' } }])
    const switched = await store.projections.switch('topics')
    expect(switched).toMatchObject({ version: 2, state: 'active', reads: 2, before: 1 })
    await caughtUp(store)
    expect(viewsOf(log, 2)).toEqual(await fresh(log, second))
    // The one before is kept by whoever knows it.
    await until(() => JSON.stringify(viewsOf(log, 1)['k1'])?.includes('new') === true)
    expect(await store.projections.rollBack('topics')).toMatchObject({ version: 1, reads: 1, before: 2 })
    expect(await store.projections.rollBack('topics')).toMatchObject({ version: 2, reads: 2, before: 1 })
    await store.projections.drop('topics')
    const left = await store.projections.status('topics')
    expect(left.versions).toMatchObject([{ version: 2 }])
    expect(left.before).toBeUndefined()
    expect(Object.values(viewsOf(log, 1)).filter((view) => view !== undefined)).toEqual([])
    await expect(store.projections.rollBack('topics')).rejects.toMatchObject({ code: 'invalid-argument' })
    await old.close()
  })

  test('cannot be switched to before it is whole', async () => {
    const log = memoryLog()
    const old = await opened(log, [first])
    await fill(old)
    await old.close()
    await using store = await opened(log, [first, second])
    const early = { code: 'view-not-ready', projection: 'topics', version: 2 }
    await expect(store.projections.switch('topics')).rejects.toMatchObject(early)
    await expect(store.projections.drop('topics', { version: 1 })).rejects.toMatchObject({ code: 'invalid-argument' })
  })

  test('is built by one runner only, however many are asked', async () => {
    const log = memoryLog()
    const old = await opened(log, [first])
    await fill(old)
    await using one = await opened(log, [first, second])
    await using two = await opened(log, [first, second])
    const both = await Promise.all([one, two].map((store) => store.projections.rebuild('topics')))
    for (const status of both) expect(status).toMatchObject({ reads: 2 })
    expect(viewsOf(log, 2)).toEqual(await fresh(log, second))
    await old.close()
  })

  test('that clashes with what is stored of it is refused, and nothing is changed', async () => {
    const log = memoryLog()
    await (await opened(log, [first])).close()
    const other = { ...first, indexes: [] }
    await expect(opened(log, [other])).rejects.toMatchObject({
      code: 'projection-clash',
      version: 1,
      differs: ['indexes'],
    })
    await expect(opened(log, [other], { readOnly: true })).rejects.toMatchObject({ code: 'projection-clash' })
    await (await opened(log, [first])).close()
  })

  test('that the store does not have, or a projection that it does not have, is told by its name, and nothing is changed', async () => {
    const log = memoryLog()
    await using store = await opened(log, [first])
    const before = await store.projections.status('topics')
    const none = { code: 'invalid-argument', message: 'version: projection "topics" has no version 9' }
    await expect(store.projections.switch('topics', { version: 9 })).rejects.toMatchObject(none)
    await expect(store.projections.drop('topics', { version: 9 })).rejects.toMatchObject(none)
    await expect(store.projections.parked('topics', { version: 9 })).rejects.toMatchObject(none)
    const unknown = { code: 'projection-not-found', message: 'There is no projection "tropics" in the store' }
    await expect(store.projections.pause('tropics')).rejects.toMatchObject(unknown)
    await expect(store.projections.status('tropics')).rejects.toMatchObject(unknown)
    expect(await store.projections.status('topics')).toEqual(before)
  })
})

describe('the same version', () => {
  test('is built again after the loss of all views, identical', async () => {
    const log = memoryLog()
    await using store = await opened(log, [first])
    await fill(store)
    store.projections.start()
    await caughtUp(store)
    const before = viewsOf(log, 1)
    log.documents.eraseCollection('topics@1', 1_000)
    log.documents.eraseCollection('topics@1~links', 1_000)
    expect(await store.projections.rebuild('topics')).toMatchObject({ version: 1, state: 'active', reads: 1, lag: 0 })
    expect(viewsOf(log, 1)).toEqual(before)
    await store.append('person/1', [{ type: 'Told', data: { text: 'new', to: 'k1' } }])
    await caughtUp(store)
    expect(viewsOf(log, 1)).toEqual(await fresh(log, first))
  })

  test('is dropped as a whole, and built again', async () => {
    const log = memoryLog()
    await using store = await opened(log, [first])
    await fill(store)
    await store.projections.rebuild('topics')
    await store.projections.drop('topics')
    expect(Object.values(viewsOf(log, 1)).filter((view) => view !== undefined)).toEqual([])
    await expect(store.projections.status('topics')).rejects.toMatchObject({ code: 'projection-not-found' })
    expect(await store.projections.list()).toEqual([])
    expect(await store.projections.rebuild('topics')).toMatchObject({ reads: 1, lag: 0 })
    expect(viewsOf(log, 1)).toEqual(await fresh(log, first))
  })

  test('one view that is lost or wrong is made anew from its streams', async () => {
    const log = memoryLog()
    await using store = await opened(log, [first])
    await fill(store)
    await store.projections.rebuild('topics')
    const before = viewsOf(log, 1)
    log.documents.write({
      id: 'other hands',
      appends: [],
      documents: [
        { kind: 'delete', key: { collection: 'topics@1', key: 'k2' }, if: { is: 'anything' } },
        {
          kind: 'put',
          key: { collection: 'topics@1', key: 'k3' },
          body: '{"view":{"texts":[]}}',
          index: [],
          if: { is: 'anything' },
        },
      ],
    })
    for (const key of ['k2', 'k3', 'k99']) await store.projections.rebuild('topics', { key })
    expect(viewsOf(log, 1)).toEqual(before)
    store.projections.start()
    await fill(store)
    await caughtUp(store)
    expect(viewsOf(log, 1)).toEqual(await fresh(log, first))
  })
})

test('wherever a rebuild breaks off, another finishes it', async () => {
  const total = await countWrites()
  expect(total).toBeGreaterThan(8)
  for (let most = 0; most <= total; most++) {
    const log = memoryLog()
    const old = await opened(log, [first])
    await fill(old, 12)
    await old.projections.rebuild('topics')
    await old.close()
    const life = { left: Number.POSITIVE_INFINITY }
    const dying = await opened(log, [first, second], { change: mortal(life) })
    life.left = most
    await Promise.race([rebuildAll(dying).catch(() => {}), new Promise((resolve) => setTimeout(resolve, 150))])
    await dying.close().catch(() => {})
    await using store = await opened(log, [first, second])
    await store.append('person/1', [{ type: 'Told', data: { text: 'after', to: 'k1' } }])
    await rebuildAll(store)
    expect(viewsOf(log, 2), `after ${most} writes`).toEqual(await fresh(log, second))
    expect(await store.projections.status('topics')).toMatchObject({ reads: 2, lag: 0 })
  }
}, 120_000)

/** To the second version, and that once more. */
async function rebuildAll(store: Store, termMs = 100): Promise<void> {
  await store.projections.rebuild('topics', { termMs: termMs, onTrouble: () => {} })
  await store.projections.rebuild('topics', { termMs: termMs, onTrouble: () => {} })
}

async function countWrites(): Promise<number> {
  const log = memoryLog()
  const old = await opened(log, [first])
  await fill(old, 12)
  await old.projections.rebuild('topics')
  await old.close()
  let writes = 0
  await using store = await opened(log, [first, second], {
    change: (storage) => ({
      commit: (commits) => {
        writes++
        return storage.commit(commits)
      },
      erase: (step) => {
        writes++
        return storage.erase(step)
      },
    }),
  })
  writes = 0
  await rebuildAll(store)
  return writes
}

/** As a process that is killed: from then on nothing of it comes through. */
function mortal(life: { left: number }): (storage: Storage) => Partial<Storage> {
  const alive = <Answer>(run: () => Promise<Answer>): Promise<Answer> =>
    life.left-- > 0 ? run() : Promise.reject(new Error('killed'))
  return (storage) => ({
    commit: (commits) => alive(() => storage.commit(commits)),
    erase: (step) => alive(() => storage.erase(step)),
  })
}
