import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type MemoryLog, memoryLog, memoryStorage } from '../storage/memory/storage.ts'
import { StorageFailed } from './errors.ts'
import type { EventOf } from './event.ts'
import { type AnyProjection, projection } from './projection.ts'
import type { Storage } from './storage.ts'
import { openStore, type Store } from './store.ts'

type ShopEvent = EventOf<{ Told: { n: number; to: string }; Reset: null; Ignored: null }>

/** Shows which events it holds, and in which order those of a stream came. */
interface Held {
  readonly events: readonly string[]
}
const held = (
  view: Held | undefined,
  { data, stream, revision }: { data: { n: number }; stream: string; revision: number },
) => ({
  events: [...(view?.events ?? []), `${stream} ${revision} ${data.n}`],
})
const byId = projection<ShopEvent, Held>()({
  name: 'by-id',
  lifecycle: 'inline',
  streamTypes: ['a', 'b'],
  on: { Told: held, Reset: () => undefined },
})
const byKey = projection<ShopEvent, Held>()({
  name: 'by-key',
  lifecycle: 'inline',
  key: (event) => (event.type === 'Told' ? event.data.to : undefined),
  on: { Told: held },
})
const totals = projection<ShopEvent, { sum: number; count: number }>()({
  name: 'totals',
  lifecycle: 'inline',
  holds: 'totals',
  key: () => 'all',
  on: { Told: (all, { data }) => ({ sum: (all?.sum ?? 0) + data.n, count: (all?.count ?? 0) + 1 }) },
})
const projections: readonly AnyProjection[] = [byId, byKey, totals]

function opened(log: MemoryLog, change: (storage: Storage) => Partial<Storage> = () => ({})): Promise<Store> {
  const storage = memoryStorage({ log })
  return openStore({ ...storage, ...change(storage) }, { projections })
}

const told = (n: number, to = 'x', id?: string) => ({ type: 'Told', data: { n, to }, ...(id !== undefined && { id }) })

describe('views after any course of events', () => {
  interface Step {
    readonly streams: readonly string[]
    readonly expected: 'any' | 'exists' | 'right' | 'wrong'
    readonly types: readonly ('Told' | 'Reset' | 'Ignored')[]
    readonly store: 0 | 1
    readonly again: boolean
  }
  const step: fc.Arbitrary<Step> = fc.record({
    streams: fc.uniqueArray(fc.constantFrom('a/1', 'b/1', 'a/2', 'c/2'), { minLength: 1, maxLength: 2 }),
    expected: fc.constantFrom('any', 'any', 'exists', 'right', 'wrong'),
    types: fc.array(fc.constantFrom('Told', 'Told', 'Reset', 'Ignored'), { minLength: 1, maxLength: 3 }),
    store: fc.constantFrom(0, 1),
    again: fc.boolean(),
  })

  /** What a view holds, each stream's events in their order; between streams there is none to hold on to. */
  const byStream = (view: Held | undefined) =>
    Object.fromEntries(
      [...new Set(view?.events.map((event) => event.split(' ')[0] ?? ''))]
        .sort()
        .map((stream) => [stream, view?.events.filter((event) => event.startsWith(`${stream} `))]),
    )

  async function check(steps: readonly Step[], atOnce: number): Promise<void> {
    const log = memoryLog()
    const stores = [await opened(log), await opened(log)]
    let n = 0
    for (let start = 0; start < steps.length; start += atOnce) {
      const tries = steps.slice(start, start + atOnce).map(async ({ streams, expected, types, store, again }) => {
        const writer = stores[store] as Store
        const appends = await Promise.all(
          streams.map(async (stream) => {
            const at = (await writer.details(stream))?.revision ?? 0
            return {
              stream,
              expected: expected === 'right' ? at : expected === 'wrong' ? at + 1 : expected,
              events: types.map((type) =>
                type === 'Told' ? told(++n, String(n % 3), `id ${n}`) : { type, id: `id ${++n}` },
              ),
            }
          }),
        )
        await writer.appendMany(appends)
        if (again) await (stores[1 - store] as Store).appendMany(appends)
      })
      await Promise.allSettled(tries)
    }
    const store = stores[0] as Store
    const now = { at: new Date() }
    for (const id of ['1', '2']) {
      const fresh = await store.views.get(byId, id, now).catch(() => undefined)
      expect(byStream(await store.views.get(byId, id))).toEqual(byStream(fresh))
    }
    for (const key of ['0', '1', '2']) {
      expect(byStream(await store.views.get(byKey, key))).toEqual(byStream(await store.views.get(byKey, key, now)))
    }
    expect(await store.views.get(totals, 'all')).toEqual(await store.views.get(totals, 'all', now))
  }

  test('one after the other they are what a fold from nothing makes them', async () => {
    // Where a reset of one stream comes between events of another, the order of the log decides, and nobody else wrote.
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 12 }), (steps) => check(steps, 1)),
      { numRuns: 100 },
    )
  })

  test('so they are when many write at once, on two handles', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 24 }), (steps) => check(steps, 8)),
      { numRuns: 100 },
    )
  })
})

describe('when the storage fails', () => {
  test('a commit whose answer is lost is in the views once', async () => {
    const log = memoryLog()
    let lose = 2
    const store = await opened(log, (storage) => ({
      async commit(commits) {
        const outcomes = await storage.commit(commits)
        if (commits.some(({ appends }) => appends.length > 0) && lose-- > 0) throw new Error('lost')
        return outcomes
      },
    }))
    await Promise.all([1, 2, 3].map((n) => store.append('a/1', [told(n)])))
    expect(await store.views.get(totals, 'all')).toEqual({ sum: 6, count: 3 })
    expect((await store.views.get(byId, '1'))?.events).toEqual(['a/1 1 1', 'a/1 2 2', 'a/1 3 3'])
  })

  test('views that cannot be read are tried again, and then the append is told to come again, with nothing written', async () => {
    const log = memoryLog()
    let failures = 0
    const store = await opened(log, (storage) => ({
      async getDocuments(keys) {
        if (failures-- > 0) throw new Error('unreadable')
        return storage.getDocuments(keys)
      },
    }))
    failures = 2
    await store.append('a/1', [told(1)])
    failures = 99
    await expect(store.append('a/1', [told(2)])).rejects.toMatchObject({ code: 'store-busy' })
    failures = 0
    expect((await store.details('a/1'))?.revision).toBe(1)
    expect(await store.views.get(totals, 'all')).toEqual({ sum: 1, count: 1 })
  })

  test('a view of several streams that cannot be read while one is forgotten stays, until the rest of it can be', async () => {
    const log = memoryLog()
    let unreadable = ''
    const store = await opened(log, (storage) => ({
      async readStream(stream, range) {
        if (stream === unreadable) throw new StorageFailed('read', new Error('unreadable'))
        return storage.readStream(stream, range)
      },
    }))
    await store.append('a/1', [told(1)])
    await store.append('b/1', [told(2)])
    unreadable = 'b/1'
    await expect(store.forget('a/1', { reasonCode: 'asked' })).rejects.toMatchObject({ code: 'storage-failed' })
    unreadable = ''
    await store.forget('a/1', { reasonCode: 'asked' })
    expect(await store.views.get(byId, '1')).toEqual({ events: ['b/1 1 2'] })
  })

  test('what was accepted is folded and committed while the store closes', async () => {
    const log = memoryLog()
    const store = await opened(log)
    const appended = [1, 2].map((n) => store.append('a/1', [told(n)]))
    await new Promise((resolve) => setImmediate(resolve))
    await store.close()
    await Promise.all(appended)
    const after = await opened(log)
    expect(await after.views.get(totals, 'all')).toEqual({ sum: 3, count: 2 })
  })
})

test('a batch asks for all its views at once, and for no stream that it has written before', async () => {
  const log = memoryLog()
  let documents = 0
  let streams = 0
  const store = await opened(log, (storage) => ({
    getDocuments(keys) {
      documents++
      return storage.getDocuments(keys)
    },
    readStream(...asked) {
      streams++
      return storage.readStream(...asked)
    },
  }))
  const all = Array.from({ length: 32 }, (_, index) => `a/${index}`)
  await Promise.all(all.map((stream) => store.append(stream, [told(1, stream)])))
  documents = 0
  streams = 0
  await Promise.all(all.map((stream) => store.append(stream, [told(2, stream)])))
  expect([documents, streams]).toEqual([1, 0])
  await store.append('c/9', [{ type: 'Ignored' }])
  expect([documents, streams]).toEqual([1, 0])
})

test('an append that would take more documents than a commit holds is refused by that limit, and a repeat is none the less one', async () => {
  const log = memoryLog()
  const store = await opened(log)
  const many = Array.from({ length: 60 }, (_, index) => told(index, `key ${index}`, `id ${index}`))
  await expect(store.append('c/1', many)).rejects.toMatchObject({ code: 'limit-exceeded', limit: 'commitDocuments' })
  expect(await store.details('c/1')).toBeUndefined()
  const bare = await openStore(memoryStorage({ log: { ...log, documents: memoryLog().documents } }))
  await bare.append('c/1', many)
  expect((await store.append('c/1', many)).repeated).toBe(true)
})
